"""The ASGI apps around the Flask apps: a request reaches a worker thread only when it is complete.

The tablet API's app gives sync requests to the sync thread instead, which answers all that are ready together. What
that thread leaves goes to the Flask app like any other request.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from flask import Flask
from werkzeug.test import run_wsgi_app

from server import problems
from server.api.flask_app import BEGAN
from server.api.sync_thread import SyncThread
from server.channel import WHEN_GONE
from server.listener import MAX_CONNECTIONS
from sync.exchange.messages import CONTENT_TYPE, PATH, SIGNATURE_HEADER, Message

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_SIGNATURE = SIGNATURE_HEADER.lower().encode()
_WITHOUT_BODY = (204, 304)
# The client's address if its connection was reset before the address was read.
_GONE = ("0.0.0.0", 0)
_log = logging.getLogger("chaski")
# Bytes of requests in work per API, of large and of small ones, and what each takes beside its body.
MAX_BYTES_IN_WORK, HEAD_BYTES = 32 * 1024 * 1024, 16 * 1024
# The largest body of a small one. A small one of each connection that the listener has at most is always let in.
SMALL_BYTES = MAX_BYTES_IN_WORK // MAX_CONNECTIONS - HEAD_BYTES


@dataclass(frozen=True)
class WholeAnswer:
    """A whole response: the status, the headers in lower case, the body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class WholeRequests:
    """An ASGI app around a Flask app. A slow sender takes no worker thread."""

    def __init__(self, app: Flask, threads: int) -> None:
        self._app, self._workers = app, ThreadPoolExecutor(threads, thread_name_prefix=app.name)
        self._places, self._in_work = asyncio.Semaphore(threads), Counter[bool]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it (`server.busy`) if too many bytes are in work."""
        body = await _read_body(receive)
        if body is None:
            return
        scope["began"] = time.perf_counter()
        size, is_small = len(body) + HEAD_BYTES, len(body) <= SMALL_BYTES
        left = MAX_BYTES_IN_WORK - self._in_work[is_small]
        if size > (left if is_small else left // 2):  # A very large one leaves room for others.
            await _send(_refuse(scope), send)
            return
        self._in_work[is_small] += size
        try:
            await self.answer(scope, body, send)
        finally:
            self._in_work[is_small] -= size
            scope.pop(WHEN_GONE, None)  # The connection keeps the scope, and this the body.

    def is_crowded(self, body: bytes) -> bool:
        """True if requests like this one are forgotten when their connection ends while they wait. What a tablet sent
        on a bad line is stored all the same, but senders that vanish must not take the others' room."""
        return self._in_work[len(body) <= SMALL_BYTES] > MAX_BYTES_IN_WORK // 2

    async def answer(self, scope: Scope, body: bytes, send: Send) -> None:
        """Answer a complete request in a worker thread, unless its connection ends while it waits in a crowd."""
        place = asyncio.ensure_future(self._places.acquire())
        scope[WHEN_GONE] = lambda: place.cancel() if self.is_crowded(body) else None
        await asyncio.wait((place,))
        if place.cancelled():
            return
        try:
            loop, environ = asyncio.get_running_loop(), _build_environ(scope, body)
            made = await loop.run_in_executor(self._workers, self._run, environ)
            await _send(made, send)
        finally:  # Only when it is sent: the workers must not make large responses faster than they leave.
            self._places.release()

    def _run(self, environ: dict[str, Any]) -> WholeAnswer:
        parts, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        body, code = b"".join(parts), int(status.partition(" ")[0])
        if code not in _WITHOUT_BODY:
            headers.setdefault("Content-Length", str(len(body)))
        headers.pop("Date", None)  # The listener writes it into every response.
        told = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return WholeAnswer(code, told, body)

    def close(self) -> None:
        """End the worker threads, after the requests in work."""
        self._workers.shutdown()


class TabletRequests(WholeRequests):
    """The tablet API's app: sync requests go to the sync thread, all others to the Flask app."""

    def __init__(self, app: Flask, threads: int, syncs: SyncThread) -> None:
        super().__init__(app, threads)
        self._syncs = syncs

    async def answer(self, scope: Scope, body: bytes, send: Send) -> None:
        """Answer a complete request, unless its connection ends while it waits in a crowd."""
        if scope["path"] == PATH and scope["method"] == "POST":
            signatures = [value for name, value in scope["headers"] if name == _SIGNATURE]
            if len(signatures) == 1:
                waiting = self._syncs.put(Message(body, signatures[0].decode("latin-1")), asyncio.get_running_loop())
                scope[WHEN_GONE] = lambda: self._syncs.forget(waiting) if self.is_crowded(body) else None
                try:
                    answered = await waiting.answered
                except asyncio.CancelledError:  # It is forgotten.
                    return
                if answered is not None:
                    await _send(_answer_of(answered), send)
                    return
        await super().answer(scope, body, send)


async def _read_body(receive: Receive) -> bytes | None:
    """Return a request's body, or None if the client disconnected before its end."""
    event, body = await receive(), bytearray()
    while event["type"] == "http.request":
        body += event.get("body", b"")
        if not event.get("more_body", False):
            return bytes(body)
        event = await receive()
    return None


def _refuse(scope: Scope) -> WholeAnswer:
    asked = dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1")
    status, document = problems.document_of_status(503, problems.choose_language(asked))
    _log.info("refused", extra={"fields": {"status": status}})
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"content-length", str(len(document)).encode()),
        (b"retry-after", str(problems.RETRY_AFTER[status]).encode()),
    ]
    return WholeAnswer(status, headers, document)


def _answer_of(message: Message) -> WholeAnswer:
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(message.body)).encode()),
        (_SIGNATURE, message.signature.encode()),
    ]
    return WholeAnswer(200, headers, message.body)


def _build_environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return what WSGI (PEP 3333) gives an app."""
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "REMOTE_ADDR": (scope["client"] or _GONE)[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        BEGAN: scope["began"],
    }
    for name, value in scope["headers"]:
        if b"_" in name:  # WSGI could not tell it from the header with a hyphen, which a proxy may have checked.
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


async def _send(answer: WholeAnswer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
