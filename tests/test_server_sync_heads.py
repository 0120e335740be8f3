"""A sync request has one signature and one body, however its bytes arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

import pytest
from flask import Flask, request

from server.api.asgi import WholeRequests
from server.flows.intake import sync_group
from support.hostile_server import Answer, send_bytes, send_request
from support.intake import Field, run_servers
from sync.exchange.messages import MAX_BODY_BYTES, PATH, Message


def post(port: int, body: bytes, *signatures: str) -> Answer:
    """Send a sync request with these signature headers."""
    told = "".join(f"Chaski-Signature: {signature}\r\n" for signature in signatures)
    return send_bytes(port, f"POST {PATH} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{told}\r\n".encode() + body)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
@pytest.mark.parametrize("other", ["x", "", None])
def test_a_request_with_two_signatures_is_refused_whichever_comes_first(
    field: Field, order: slice, other: str | None
) -> None:
    tablet = field.tablet()
    with run_servers(field) as (port, _):
        message = field.message(tablet, field.envelope(tablet))
        two = [message.signature, message.signature if other is None else other]
        answer = post(port, message.body, *two[order])
        assert answer.code in ("exchange.bad_signature", "exchange.malformed")
        assert field.rows("select count(*) from envelopes") == [(0,)]
        assert post(port, message.body, message.signature).status == 200


async def seconds_to_read(size: int, part: int) -> float:
    """Return the time in which the app reads a body that arrives in parts, and answers with its length."""
    flask, left, sent = Flask("tests"), [size // part], list[MutableMapping[str, Any]]()
    flask.add_url_rule("/", view_func=lambda: str(len(request.get_data())), methods=["POST"])
    scope = {"method": "POST", "path": "/", "query_string": b"", "http_version": "1.1", "server": ("h", 1)}
    scope |= {"client": ("127.0.0.1", 1), "headers": [(b"content-length", str(size).encode())]}

    async def receive() -> MutableMapping[str, Any]:
        if not left[0]:
            await asyncio.Event().wait()  # The connection stays.
        left[0] -= 1
        return {"type": "http.request", "body": b"x" * part, "more_body": left[0] > 0}

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    app, began = WholeRequests(flask, 1), time.process_time()
    await app(scope, receive, send)
    spent = time.process_time() - began
    app.close()
    assert sent[1]["body"] == str(size).encode()
    return spent


@pytest.mark.parametrize("part", [512, 128])
def test_a_body_in_small_parts_costs_by_its_size_and_not_by_its_square(part: int) -> None:
    small = min(asyncio.run(seconds_to_read(MAX_BODY_BYTES // 8, part)) for _ in range(3))
    large = min(asyncio.run(seconds_to_read(MAX_BODY_BYTES, part)) for _ in range(2))
    assert large < 24 * small + 0.2


@pytest.mark.parametrize(
    "told",
    [
        {},
        *({"Content_Type": kind} for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x")),
        {"Content_Type": "application/x-www-form-urlencoded"},
        *({"Accept": kind} for kind in ("text/html", "application/problem+json", "*/*;q=0", "no kind")),
        *({"Accept_Encoding": coding} for coding in ("gzip", "zstd, dcz", "identity;q=0", "*;q=0")),
        *({"Content_Encoding": coding} for coding in ("gzip", "zstd", "identity")),
        {"Expect": "100-continue"},
        {"Range": "bytes=0-9"},
        {"If_None_Match": "*"},
    ],
    ids=str,
)
def test_a_request_answered_alone_gets_the_same_kind_of_answer_as_in_a_group(
    field: Field, monkeypatch: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    tablet, alone = field.tablet(), list[int]()

    def leave_all(db: object, group: list[Message], **_: object) -> list[None]:
        alone.append(len(group))
        return [None] * len(group)

    def push() -> tuple[int, dict[str, str], bytes, bool]:
        message = field.message(tablet, *[field.envelope(tablet) for _ in range(5)])
        answer = send_request(port, "POST", PATH, message.body, Chaski_Signature=message.signature, **told)
        changing = {"date": "", "content-length": "", "chaski-signature": ""}
        return answer.status, answer.headers | changing, answer.body[:1], b"\n" in answer.body[-1:]

    with run_servers(field) as (port, _):
        together = push()
        assert not alone
        monkeypatch.setattr(sync_group, "answer_group", leave_all)
        assert push() == together
        assert alone == [1]
    assert together[0] == 200
    assert "content-encoding" not in together[1]
