"""The ASGI apps around the Flask apps: a request reaches a worker thread only when it is complete.

The tablet API's app gives sync requests to the sync thread instead, which answers all that are ready together. What
that thread leaves goes to the Flask app like any other request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask

from server.api.sync_thread import SyncThread
from sync.exchange.messages import CONTENT_TYPE, PATH, SIGNATURE_HEADER, Message

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_SIGNATURE = SIGNATURE_HEADER.lower().encode()


class WholeRequests:
    """An ASGI app around a Flask app. A slow sender takes no worker thread."""

    def __init__(self, app: Flask, threads: int) -> None:
        self._app = WSGIMiddleware(app, workers=threads)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = await _read_body(receive)
        if body is not None:
            await self.answer(scope, body, send)

    async def answer(self, scope: Scope, body: bytes, send: Send) -> None:
        """Answer a complete request in a worker thread."""

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive, send)  # type: ignore[arg-type]

    def close(self) -> None:
        """End the worker threads."""
        self._app.executor.shutdown()


class TabletRequests(WholeRequests):
    """The tablet API's app: sync requests go to the sync thread, all others to the Flask app."""

    def __init__(self, app: Flask, threads: int, syncs: SyncThread) -> None:
        super().__init__(app, threads)
        self._syncs = syncs

    async def answer(self, scope: Scope, body: bytes, send: Send) -> None:
        """Answer a complete request."""
        if scope["path"] == PATH and scope["method"] == "POST":
            signature = next((value for name, value in scope["headers"] if name == _SIGNATURE), b"")
            message = Message(body, signature.decode("latin-1"))
            answered = await self._syncs.answer(message, asyncio.get_running_loop())
            if answered is not None:
                await _send_message(answered, send)
                return
        await super().answer(scope, body, send)


async def _read_body(receive: Receive) -> bytes | None:
    """Return a request's body, or None if the client disconnected before its end."""
    event = await receive()
    body = event.get("body", b"")
    while event["type"] == "http.request" and event.get("more_body", False):
        event = await receive()
        body += event.get("body", b"")
    return body if event["type"] == "http.request" else None


async def _send_message(message: Message, send: Send) -> None:
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(message.body)).encode()),
        (_SIGNATURE, message.signature.encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": message.body})
