"""Figures for whoever operates the server, as Prometheus reads them: at /metrics on the people's door, for a token.

Labels are words of closed lists: a door, an address as a template, a status, an outcome, a kind. Never a tablet, a
person, an id, a network address or anything that somebody wrote.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Sequence

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from server.flows.operations.health import HealthFigures
from server.problems import Problem

_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """What is counted while the server runs; one for both doors."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "chaski_requests", "Requests answered.", ["door", "method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "chaski_request_seconds", "Time to answer.", ["door"], registry=self.registry, buckets=_BUCKETS_SECONDS
        )
        self._envelopes = Counter(
            "chaski_envelopes", "Envelopes received, by what became of them.", ["outcome"], registry=self.registry
        )

    def count_request(self, *, door: str, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(door, method, route, str(status)).inc()
        self._seconds.labels(door).observe(seconds)

    def count_envelopes(self, outcomes: dict[str, int]) -> None:
        """Count envelopes by outcome."""
        for outcome, count in outcomes.items():
            self._envelopes.labels(outcome).inc(count)


class _DatabaseGauges:
    """Figures out of the database, asked for when somebody reads the metrics."""

    def __init__(self, read_figures: Callable[[], HealthFigures]) -> None:
        self._read_figures = read_figures

    def collect(self) -> Iterator[Metric]:
        """Turn the figures into gauges."""
        figures = self._read_figures()
        # Totals only: by kind or urgency, a one that appears would tell of the child who was just met.
        yield _gauge("chaski_referrals_waiting", "Field referrals that no desk has accepted.", figures.queued.waiting)
        yield _gauge("chaski_referrals_overdue", "Of these, past their deadline.", figures.queued.overdue)
        # A kind of work and an envelope's outcome say what is wrong with a tablet or a message, of nobody what she is.
        yield _labelled_gauge(
            "chaski_work_open", "Open work.", ["kind"], [((kind,), n) for kind, n in figures.work.items()]
        )
        yield _gauge("chaski_tablets_silent", "Tablets that stopped speaking.", figures.work.get("silent", 0))
        yield _gauge("chaski_status_events", "Status events kept for tablets.", figures.events)
        yield _gauge("chaski_database_bytes", "Size of the database.", figures.database)
        yield _gauge("chaski_database_log_bytes", "Size of its write-ahead log.", figures.log)
        yield _gauge("chaski_disk_free_bytes", "Room on the database's disk.", figures.free)
        runs = [((run.name,), run.at / 1000) for run in figures.runs.values()]
        yield _labelled_gauge("chaski_job_success_timestamp_seconds", "When each job last succeeded.", ["job"], runs)
        if figures.backup is not None:
            yield _gauge("chaski_backup_timestamp_seconds", "When the newest backup was made.", figures.backup / 1000)


def _labelled_gauge(
    name: str, about: str, labels: Sequence[str], values: Sequence[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for where, value in values:
        family.add_metric(list(where), value)
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def install(app: Flask, metrics: Metrics, token: str, read_figures: Callable[[], HealthFigures]) -> None:
    """Put /metrics on a door, for whoever shows the token; with no token set there is no such address."""
    if not token:
        return
    metrics.registry.register(_DatabaseGauges(read_figures))

    def show() -> Response:
        """All figures, as text."""
        shown = request.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), f"Bearer {token}".encode()):
            raise Problem("metrics.refused")
        return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    app.add_url_rule("/metrics", endpoint="metrics", view_func=show)
