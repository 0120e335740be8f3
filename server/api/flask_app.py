"""The Flask app that the tablet API and the staff API share.

It contains the services for flows, request limits, problem documents, one log line per request, and responses with
signed bytes. Each API adds its own endpoints. A log line must never contain a query, a body or an id.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
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
"""Header of every problem response: the request number that the log line also contains."""
# Responses are data. A browser that renders one must not load anything or show it in a frame.
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
DOCUMENT_TYPE = "application/octet-stream"
"""Media type of signed documents and public keys."""


@dataclass(frozen=True)
class Services:
    """What an endpoint needs to call a flow. `now` returns the time, `started` is the start time; both milliseconds."""

    config: Config
    db: Database
    keys: ServerKeys
    rules: tuple[RoutingRule, ...]
    now: Callable[[], int]
    started: int = 0
    metrics: Metrics = field(default_factory=Metrics)
    tasks: BackgroundTasks = field(default_factory=BackgroundTasks)


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


class OnceMade:
    """Bytes that the process makes once, at the first request for them. Requests at the same time wait for them."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: tuple[bytes, str] | None = None

    def answer(self, mimetype: str) -> Response:
        """Return the bytes with an ETag, or 304 to a client that has them."""
        with self._lock:
            if self._made is None:
                body = self._make()
                self._made = body, hashlib.sha256(body).hexdigest()
            made = self._made
        return signed_bytes(*made, immutable=False, mimetype=mimetype)


def signed_bytes(body: bytes, name: str, *, immutable: bool, mimetype: str = DOCUMENT_TYPE) -> Response:
    """Return signed bytes unchanged. `name` is the ETag. `immutable`: the bytes under this name never change."""
    response = Response(body, mimetype=mimetype)
    response.vary.add("Accept-Encoding")
    if immutable:
        cache_forever(response)
    else:
        response.cache_control.no_cache = True
    # A weak ETag, because the same name stands for the plain and the gzip coding.
    response.set_etag(name, weak=True)
    response.make_conditional(request)
    if response.status_code != HTTPStatus.NOT_MODIFIED and request.accept_encodings.quality("gzip") > 0:
        packed = _packed.get(body)
        if len(packed) < len(body):
            response.set_data(packed)
            response.content_encoding = "gzip"
    return response


class PackedBytes:
    """Compressed bytes by the hash of the plain ones, the last used ones, at most `most` bytes of them.

    A count would not do: a stranger who asks for more documents than fit makes the server compress each one again.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held, self._lock = most, 0, threading.Lock()
        self._packed: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, body: bytes) -> bytes:
        """Return bytes compressed, or as they are if they are short. Requests at the same time wait for them."""
        name = hashlib.sha256(body).digest()
        with self._lock:
            if name in self._packed:
                self._packed.move_to_end(name)
                return self._packed[name]
            packed = gzip.compress(body, mtime=0) if len(body) >= _GZIP_MIN_BYTES else body
            self._packed[name] = packed
            self._held += len(packed)
            while self._held > self._most and len(self._packed) > 1:
                self._held -= len(self._packed.popitem(last=False)[1])
            return packed

    def held(self) -> list[bytes]:
        """Return what is kept, the last used last."""
        return list(self._packed.values())


_packed = PackedBytes(most=64 * 2**20)


def cache_forever(response: Response) -> None:
    """Let clients cache a response for ever. Its path contains the hash of its bytes."""
    response.cache_control.max_age = YEAR // SECOND
    response.cache_control.public = True
    response.cache_control.immutable = True


def _start_request() -> None:
    g.request_id = secrets.token_hex(6)
    g.began = time.perf_counter()
    if isinstance(request.routing_exception, RequestRedirect):
        raise NotFound


def finish_request(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    # The log contains the route template, because a path may contain an id. It never contains a query or a body.
    method = request.method if request.method in _METHODS else "-"
    route, status = request.url_rule.rule if request.url_rule else "-", response.status_code
    outcomes = g.get("outcomes", {})
    line = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1), "request": g.request_id}
    _log.info("request", extra={"fields": {**line, **outcomes}})
    metrics = current_services().metrics
    metrics.count_request(door=current_app.name, method=method, route=route, status=status, seconds=seconds)
    metrics.count_envelopes(outcomes)
    if response.mimetype != CONTENT_TYPE:  # Sync responses must be small, and browsers never request them.
        for name, value in _SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    if status >= 400:
        response.headers[REQUEST_ID] = g.request_id
    return response


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
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # Its info level logs every run of every job.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # Its lower levels log client addresses.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
