"""The Flask app that the tablet API and the staff API share.

It contains the services for flows, request limits, problem documents, and one log line per request. Each API adds its
own endpoints. A log line must never contain a query, a body or an id.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO, cast

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import IntegerConverter, RequestRedirect

from server import problems
from server.api.coded_bytes import DOCUMENT_TYPE
from server.api.metrics import Metrics
from server.config import Config
from server.database.connection import Database
from server.flows.desks.routing import RoutingRule
from server.flows.forms.background_tasks import BackgroundTasks
from server.server_keys import ServerKeys
from sync.exchange.messages import CONTENT_TYPE, MAX_BODY_BYTES

_log = logging.getLogger("chaski")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_ID = "Chaski-Request-Id"
"""Header of every problem response: the request number that the log line also contains."""
BEGAN = "chaski.began"
"""Where the WSGI environment has the time (perf_counter) at which the whole request had arrived."""
# A browser must not guess another type than the one that a response has.
_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
# Responses are data. A browser that renders one must not load anything or show it in a frame.
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    **_NO_SNIFFING,
}


@dataclass(frozen=True)
class Services:
    """What an endpoint needs to call a flow. `now` returns the time, `started` is the start time; both milliseconds.

    `vital`: threads without which the server is not healthy.
    """

    config: Config
    db: Database
    keys: ServerKeys
    rules: tuple[RoutingRule, ...]
    now: Callable[[], int]
    started: int = 0
    metrics: Metrics = field(default_factory=Metrics)
    tasks: BackgroundTasks = field(default_factory=BackgroundTasks)
    vital: list[threading.Thread] = field(default_factory=list)


class Number(IntegerConverter):
    """A number in a path. Only ASCII digits: the default pattern `\\d` matches the digits of every script."""

    regex = "[0-9]+"


def create_app(name: str, parts: Services) -> Flask:
    """Create a Flask app with the shared parts of both APIs and without endpoints."""
    app = Flask(name, static_folder=None)
    # Each path has one spelling, and the server never redirects (SPEC 12): a redirect would name the sender's Host.
    app.url_map.merge_slashes = False
    app.url_map.converters["int"] = Number
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["chaski"] = parts
    problems.install_error_handlers(app)
    app.before_request(_start_request)
    app.after_request(finish_request)
    return app


def current_services() -> Services:
    """Return the services of the app that handles this request."""
    return cast(Services, current_app.extensions["chaski"])


def _start_request() -> None:
    g.request_id = secrets.token_hex(6)
    g.began = request.environ.get(BEGAN, time.perf_counter())
    # Werkzeug strips the slashes before a path.
    if isinstance(request.routing_exception, RequestRedirect) or request.environ["PATH_INFO"].startswith("//"):
        raise NotFound


@dataclass(frozen=True)
class AnsweredRequest:
    """What the log and the metrics say about a request: the API, the route's template and the outcomes of its
    envelopes, but nothing that a client sent."""

    door: str
    method: str
    route: str
    status: int
    seconds: float
    id: str
    outcomes: Mapping[str, int]


def record_answered(answered: AnsweredRequest, metrics: Metrics) -> None:
    """Log and count one answered request."""
    line = {"method": answered.method, "route": answered.route, "status": answered.status}
    line |= {"ms": round(answered.seconds * 1000, 1), "request": answered.id}
    _log.info("request", extra={"fields": {**line, **answered.outcomes}})
    metrics.count_request(
        door=answered.door,
        method=answered.method,
        route=answered.route,
        status=answered.status,
        seconds=answered.seconds,
    )
    metrics.count_envelopes(answered.outcomes)


def finish_request(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    # The log contains the route template, because a path may contain an id. It never contains a query or a body.
    method = request.method if request.method in _METHODS else "-"
    route, status = request.url_rule.rule if request.url_rule else "-", response.status_code
    outcomes = g.get("outcomes", {})
    answered = AnsweredRequest(current_app.name, method, route, status, seconds, g.request_id, outcomes)
    record_answered(answered, current_services().metrics)
    for name, value in _security_headers(response.mimetype).items():
        response.headers.setdefault(name, value)
    if status >= 400:
        response.headers[REQUEST_ID] = g.request_id
    return response


def _security_headers(mimetype: str | None) -> Mapping[str, str]:
    """Return what protects the browser that requests bytes of this type. Responses to tablets must be small."""
    if mimetype == CONTENT_TYPE:  # Browsers never request it.
        return {}
    return _NO_SNIFFING if mimetype == DOCUMENT_TYPE else _SECURITY_HEADERS  # Browsers never show plain bytes.


class JsonFormatter(logging.Formatter):
    """Formats log records as JSON lines. It omits exception texts and arguments, because they may quote content."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time in milliseconds, level, logger, event and the event's fields.

        The event of a library's record is its message template. A field never replaces one of these members: a field
        with the same name gets a trailing `_`.
        """
        line = {"at": int(record.created * 1000), "level": record.levelname.lower(), "from": record.name}
        line["event"] = str(record.msg)[:80]
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        for name, value in getattr(record, "fields", {}).items():
            line[f"{name}_" if name in line else name] = value
        return json.dumps(line)


def configure_logging(stream: TextIO, level: str) -> None:
    """Format every log line of the process with JsonFormatter."""
    # Every request writes a line, and no line names a thread, a process or a place in the code.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # Documented as an optimization ("Logging HOWTO").
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # Its info level logs every run of every job.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # Its lower levels log client addresses.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
