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
from server.db import Db
from server.flows.routing import Rule
from server.flows.tasks import Tasks
from server.keys import ServerKeys
from sync.exchange import CONTENT_TYPE, MAX_BODY_BYTES

_log = logging.getLogger("chaski")
_YEAR = 365 * 24 * 60 * 60
_GZIP_FROM = 512
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_ID = "Chaski-Request-Id"
"""On every problem: the number under which the log has the request."""
# No answer is anything but data: whatever a browser makes of it may load nothing and stand in no frame.
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
DOCUMENT = "application/octet-stream"
"""Media type of signed documents and public keys."""


@dataclass(frozen=True)
class Parts:
    """What an address needs to call a flow. `now` is the clock, in milliseconds; `started` is when they were opened."""

    config: Config
    db: Db
    keys: ServerKeys
    rules: tuple[Rule, ...]
    now: Callable[[], int]
    started: int = 0
    metrics: Metrics = field(default_factory=Metrics)
    tasks: Tasks = field(default_factory=Tasks)


class Number(IntegerConverter):
    """A number in an address: `\\d`, which it would be otherwise, takes the digits of every script."""

    regex = "[0-9]+"


def open_door(name: str, parts: Parts) -> Flask:
    """Make a Flask app with everything the doors share and no address yet."""
    app = Flask(name, static_folder=None)
    # An address has one spelling, and none leads to another (SPEC 12): it would by way of the host that was sent.
    app.url_map.merge_slashes = False
    app.url_map.converters["int"] = Number
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["chaski"] = parts
    problems.install(app)
    app.before_request(_arrive)
    app.after_request(_leave)
    return app


def parts() -> Parts:
    """The parts of the app that serves this request."""
    return cast(Parts, current_app.extensions["chaski"])


def signed_bytes(body: bytes, name: str, *, immutable: bool) -> Response:
    """Serve bytes that somebody signed, unchanged. `name` identifies them; what it names never changes if immutable."""
    response = Response(body, mimetype=DOCUMENT)
    response.vary.add("Accept-Encoding")
    if immutable:
        keep_for_ever(response)
    else:
        response.cache_control.no_cache = True
    if request.accept_encodings.quality("gzip") > 0 and len(packed := _packed(body)) < len(body):
        response.set_data(packed)
        response.content_encoding = "gzip"
    # The name stands for the signed bytes in whatever coding: hence weak, and compared as such.
    response.set_etag(name, weak=True)
    response.make_conditional(request)
    return response


def keep_for_ever(response: Response) -> None:
    """Say of an answer that it never changes: its address is its hash."""
    response.cache_control.max_age = _YEAR
    response.cache_control.public = True
    response.cache_control.immutable = True


@lru_cache(maxsize=16)
def _packed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0) if len(body) >= _GZIP_FROM else body


def _arrive() -> None:
    g.request_id = secrets.token_hex(6)
    g.began = time.perf_counter()
    if isinstance(request.routing_exception, RequestRedirect):
        raise NotFound


def _leave(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    # The address as a template: an id in a path is nobody's business in a log, and no query or body is ever written.
    method = request.method if request.method in _METHODS else "-"
    route, status = request.url_rule.rule if request.url_rule else "-", response.status_code
    outcomes = g.get("outcomes", {})
    line = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1), "request": g.request_id}
    _log.info("request", extra={"fields": {**line, **outcomes}})
    metrics = parts().metrics
    metrics.answered(door=current_app.name, method=method, route=route, status=status, seconds=seconds)
    metrics.received(outcomes)
    if response.mimetype != CONTENT_TYPE:  # A tablet's every byte counts, and no browser asks for these.
        for name, value in _SAFE.items():
            response.headers.setdefault(name, value)
    if status >= 400:
        response.headers[REQUEST_ID] = g.request_id
    return response


class JsonLines(logging.Formatter):
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


def log_to(stream: TextIO, level: str) -> None:
    """Send every log line of the process through JsonLines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # It would say every minute that all is well.
    logging.getLogger("waitress").setLevel(logging.WARNING)  # It would name the address of whoever hangs up.
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
