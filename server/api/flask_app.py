"""What both doors have in common: the parts they hand to flows, limits before work, problem documents, one log line per
request without content, and signed bytes served as they were signed. Each door adds its own addresses."""

from __future__ import annotations

import gzip
import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TextIO, cast

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import IntegerConverter, RequestRedirect

from server import problems
from server.api.metrics import Metrics
from server.config import Config
from server.database.connection import Database
from server.flows.desks.routing import RoutingRule
from server.flows.forms.background_tasks import BackgroundTasks
from server.server_keys import ServerKeys
from sync.durations import SECOND, YEAR
from sync.exchange.messages import CONTENT_TYPE, MAX_BODY_BYTES

_log = logging.getLogger("chaski")
_GZIP_MIN_BYTES = 512
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_ID = "Chaski-Request-Id"
"""On every problem: the number under which the log has the request."""
# No answer is anything but data: whatever a browser makes of it may load nothing and stand in no frame.
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
DOCUMENT_TYPE = "application/octet-stream"
"""Media type of signed documents and public keys."""


@dataclass(frozen=True)
class Services:
    """What an address needs to call a flow. `now` is the clock, in milliseconds; `started` is when they were opened."""

    config: Config
    db: Database
    keys: ServerKeys
    rules: tuple[RoutingRule, ...]
    now: Callable[[], int]
    started: int = 0
    metrics: Metrics = field(default_factory=Metrics)
    tasks: BackgroundTasks = field(default_factory=BackgroundTasks)


class Number(IntegerConverter):
    """A number in an address: `\\d`, which it would be otherwise, takes the digits of every script."""

    regex = "[0-9]+"


def create_app(name: str, parts: Services) -> Flask:
    """Make a Flask app with everything the doors share and no address yet."""
    app = Flask(name, static_folder=None)
    # An address has one spelling, and none leads to another (SPEC 12): it would by way of the host that was sent.
    app.url_map.merge_slashes = False
    app.url_map.converters["int"] = Number
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["chaski"] = parts
    problems.install_error_handlers(app)
    app.before_request(_start_request)
    app.after_request(finish_request)
    return app


def current_services() -> Services:
    """The parts of the app that serves this request."""
    return cast(Services, current_app.extensions["chaski"])


def signed_bytes(body: bytes, name: str, *, immutable: bool) -> Response:
    """Serve bytes that somebody signed, unchanged. `name` identifies them; what it names never changes if immutable."""
    response = Response(body, mimetype=DOCUMENT_TYPE)
    response.vary.add("Accept-Encoding")
    if immutable:
        cache_forever(response)
    else:
        response.cache_control.no_cache = True
    if request.accept_encodings.quality("gzip") > 0 and len(packed := _gzipped(body)) < len(body):
        response.set_data(packed)
        response.content_encoding = "gzip"
    # The name stands for the signed bytes in whatever coding: hence weak, and compared as such.
    response.set_etag(name, weak=True)
    response.make_conditional(request)
    return response


def cache_forever(response: Response) -> None:
    """Say of an answer that it never changes: its address is its hash."""
    response.cache_control.max_age = YEAR // SECOND
    response.cache_control.public = True
    response.cache_control.immutable = True


@lru_cache(maxsize=16)
def _gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0) if len(body) >= _GZIP_MIN_BYTES else body


def _start_request() -> None:
    g.request_id = secrets.token_hex(6)
    g.began = time.perf_counter()
    if isinstance(request.routing_exception, RequestRedirect):
        raise NotFound


def finish_request(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    # The address as a template: an id in a path is nobody's business in a log, and no query or body is ever written.
    method = request.method if request.method in _METHODS else "-"
    route, status = request.url_rule.rule if request.url_rule else "-", response.status_code
    outcomes = g.get("outcomes", {})
    line = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1), "request": g.request_id}
    _log.info("request", extra={"fields": {**line, **outcomes}})
    metrics = current_services().metrics
    metrics.count_request(door=current_app.name, method=method, route=route, status=status, seconds=seconds)
    metrics.count_envelopes(outcomes)
    if response.mimetype != CONTENT_TYPE:  # A tablet's every byte counts, and no browser asks for these.
        for name, value in _SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    if status >= 400:
        response.headers[REQUEST_ID] = g.request_id
    return response


class JsonFormatter(logging.Formatter):
    """One JSON object per line. Leaves out exception texts and arguments, which may quote content."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, logger, event, and the event's fields; a foreign record gives its template as the event.

        No field replaces a member of the record itself: one of the same name is written with `_` behind it.
        """
        line = {"at": int(record.created * 1000), "level": record.levelname.lower(), "from": record.name}
        line["event"] = str(record.msg)[:80]
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        for name, value in getattr(record, "fields", {}).items():
            line[f"{name}_" if name in line else name] = value
        return json.dumps(line)


def configure_logging(stream: TextIO, level: str) -> None:
    """Send every log line of the process through JsonFormatter."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # It would say every minute that all is well.
    logging.getLogger("waitress").setLevel(logging.WARNING)  # It would name the address of whoever hangs up.
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
