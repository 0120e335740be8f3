"""Prometheus metrics for the operator: `GET /metrics` on the staff API, with a bearer token.

Each label value comes from a closed list: the API, the route template, the status, the outcome, the kind. A label must
never contain a tablet, a person, an id, a network address or text that a client sent.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from server.flows.operations.health import HealthFigures
from server.problems import Problem

_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The counters of the running server. Both APIs share one instance."""

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
            "chaski_envelopes", "Envelopes received, by outcome.", ["outcome"], registry=self.registry
        )

    def count_request(self, *, door: str, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response and its time in seconds."""
        self._requests.labels(door, method, route, str(status)).inc()
        self._seconds.labels(door).observe(seconds)

    def count_envelopes(self, outcomes: Mapping[str, int]) -> None:
        """Count received envelopes per outcome."""
        for outcome, count in outcomes.items():
            self._envelopes.labels(outcome).inc(count)


class _DatabaseGauges:
    """Gauges that the server reads from the database for each request of the metrics."""

    def __init__(self, read_figures: Callable[[], HealthFigures]) -> None:
        self._read_figures = read_figures

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge per figure."""
        figures = self._read_figures()
        # Totals only. Per kind or urgency, a new 1 would reveal that an enumerator has just met a child.
        yield _gauge(
            "chaski_referrals_waiting", "Field referrals that wait for a desk to accept them.", figures.queued.waiting
        )
        yield _gauge(
            "chaski_referrals_overdue", "Waiting field referrals that are past their deadline.", figures.queued.overdue
        )
        # The kind of a work item describes a fault of a tablet or a message. It reveals nothing about a respondent.
        yield _labelled_gauge(
            "chaski_work_open", "Open work.", ["kind"], [((kind,), n) for kind, n in figures.work.items()]
        )
        yield _gauge("chaski_tablets_silent", "Tablets that have stopped syncing.", figures.work.get("silent", 0))
        yield _gauge("chaski_status_events", "Status events kept for tablets.", figures.events)
        yield _gauge("chaski_database_bytes", "Size of the database.", figures.database)
        yield _gauge("chaski_database_log_bytes", "Size of its write-ahead log.", figures.log)
        yield _gauge("chaski_disk_free_bytes", "Free space on the database's disk.", figures.free)
        yield _gauge("chaski_envelopes_damaged", "Stored screenings whose bytes are damaged or gone.", figures.damaged)
        runs = [((run.name,), run.at / 1000) for run in figures.runs.values()]
        yield _labelled_gauge("chaski_job_success_timestamp_seconds", "When each job last succeeded.", ["job"], runs)
        if figures.trust_left is not None:
            yield _gauge(
                "chaski_trust_expires_seconds",
                "Time until the trust expires; negative when it has. Staff clients work 45 days longer.",
                figures.trust_left / 1000,
            )
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
    """Install /metrics on an app. A client must send the token; if `token` is empty, the endpoint does not exist."""
    if not token:
        return
    metrics.registry.register(_DatabaseGauges(read_figures))

    def show() -> Response:
        """Return all metrics as text. Raises Problem `metrics.refused` for a wrong token."""
        shown = request.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), f"Bearer {token}".encode()):
            raise Problem("metrics.refused")
        return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    app.add_url_rule("/metrics", endpoint="metrics", view_func=show)
