"""The faults of tests/test_flow_sabotage.py, one function each; sitecustomize calls one of them in each process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import request

from server.api import flask_app
from server.flows.desks import routing
from sync.documents import receipt, signed
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.content import Content
from sync.exchange.transport import Transport
from sync.keys.key_pairs import SigningKey, VerifyKey


def signature_check_off() -> None:
    """Every signature counts as valid."""
    VerifyKey.verify = lambda self, signature, data: None  # type: ignore[method-assign]
    signed.verify = lambda payload, jws, typ, keys: signed.read_signer(jws, typ)


def wrong_key_accepted() -> None:
    """The signer of a document is not checked: a stranger's valid signature is accepted."""

    def require(self: Document, typ: str, keys: Mapping[str, Any], threshold: int = 1) -> set[str]:
        return set(list(keys)[:threshold])

    Document.require = require  # type: ignore[method-assign]


def receipt_forged() -> None:
    """A key that is not the server's signs the receipts."""
    make = receipt.make
    receipt.make = lambda key, **said: make(SigningKey.generate(), **said)


def routing_shuffled() -> None:
    """Each rule leads to the queue of the next rule; the last rule keeps the national desk."""
    read_rules = routing.read_rules

    def shuffled() -> tuple[routing.RoutingRule, ...]:
        *rules, last = read_rules()
        queues = [rule.queue for rule in rules]
        moved = (replace(rule, queue=queue) for rule, queue in zip(rules, [*queues[1:], queues[0]], strict=True))
        return (*moved, last)

    routing.read_rules = shuffled


def plaintext_logged() -> None:
    """A forgotten debugging aid: the tablet sends each interview in a request header, and the server logs headers."""
    interviews: list[str] = []
    sealed, send, leave = seal.seal_envelope, Transport.send, flask_app.finish_request

    def watched_seal(content: Content, **how: Any) -> bytes:
        interviews.append(content.instance.decode())
        return sealed(content, **how)

    def chatty_send(self: Transport, method: str, path: str, body: bytes = b"", headers: Any = None) -> Any:
        return send(self, method, path, body, {**(headers or {}), "X-Debug": " ".join(interviews)})

    def chatty_leave(response: Any) -> Any:
        logging.getLogger("chaski").info("headers", extra={"fields": dict(request.headers)})
        return leave(response)

    seal.seal_envelope, flask_app.finish_request = watched_seal, chatty_leave
    Transport.send = chatty_send  # type: ignore[method-assign]
