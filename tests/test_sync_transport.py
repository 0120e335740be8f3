"""Tests of the HTTP client of tablets and staff: it counts each byte, and no response exceeds its limits."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from urllib3.util import Timeout

from sync.errors import SyncError
from sync.exchange import codings
from sync.exchange.connections import UnreachableError
from sync.exchange.staff_session import StaffSession
from sync.exchange.transport import MAX_BODY_BYTES, RefusedError, Traffic, Transport

PIN = "0" * 64


@dataclass
class Wire:
    """A listening socket that answers every request with the same bytes, and records what it read."""

    port: int
    answer: bytes
    hang_up: bool = False
    heard: bytes = b""
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def whole(asked: bytes) -> bool:
    head, end, body = asked.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


@contextmanager
def wire(answer: bytes, *, hang_up: bool = False) -> Iterator[Wire]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        opened = Wire(listening.getsockname()[1], answer, hang_up)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                opened.connections += 1
                with connection, contextlib.suppress(OSError):
                    asked = b""
                    while data := connection.recv(65536):
                        opened.heard += data
                        asked += data
                        if whole(asked):
                            asked = b""
                            connection.sendall(opened.answer)
                            if opened.hang_up:
                                break

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield opened
        listening.shutdown(socket.SHUT_RDWR)


def said(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_every_byte_of_heads_and_bodies_is_counted() -> None:
    with wire(said(b"hello", "Date: Sat, 21 Nov 2026 18:00:00 GMT")) as opened:
        transport = Transport(opened.url)
        for number in range(1, 3):
            assert transport.send("POST", "/v1/sync", b"x" * 100, {"Chaski-Signature": "k.s"}).body == b"hello"
            assert transport.traffic == Traffic(number, len(opened.heard), number * len(opened.answer))
        transport.close()
    assert opened.connections == 1, "one connection is kept"
    assert b"user-agent" not in opened.heard.lower()
    assert b"accept" not in opened.heard.lower()


def test_a_path_in_the_address_stands_in_front() -> None:
    with wire(said(b"{}")) as opened:
        transport = Transport(f"{opened.url}/chaski/")
        transport.get("/v1/trust")
        transport.close()
    assert opened.heard.startswith(b"GET /chaski/v1/trust HTTP/1.1\r\n")


def test_gzip_is_undone_and_only_up_to_the_limit() -> None:
    with wire(said(gzip.compress(b"a" * 1000), "Content-Encoding: gzip")) as opened:
        transport = Transport(opened.url)
        assert transport.get("/v1/forms/a/b") == b"a" * 1000
        transport.close()
    for bomb in (gzip.compress(bytes(MAX_BODY_BYTES + 1)), gzip.compress(b"whole")[:-9], b"no gzip"):
        with pytest.raises(SyncError, match=r"transport\.bad_coding"):
            codings.decode(bomb, codings.GZIP, most=MAX_BODY_BYTES)


def test_an_endless_response_is_given_up_and_the_next_request_reconnects() -> None:
    with wire(said(bytes(2 * MAX_BODY_BYTES))) as opened:
        transport = Transport(opened.url)
        with pytest.raises(SyncError, match=r"transport\.too_large"):
            transport.get("/v1/trust")
        opened.answer = said(b"hello")
        assert transport.get("/v1/trust") == b"hello"
        transport.close()
    assert opened.connections == 2


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (
            said(b'{"code":"device.unknown"}', "Content-Type: application/problem+json", status="401 No"),
            "device.unknown",
            401,
        ),
        (said(b"<html>", "Content-Type: text/html", status="502 Bad Gateway"), "transport.refused", 502),
        (said(b"nonsense", "Content-Type: application/problem+json", status="500 No"), "transport.refused", 500),
        (said(b"", "Location: http://elsewhere.example/", status="302 Found"), "transport.refused", 302),
    ],
)
def test_an_error_keeps_its_problem_code(answer: bytes, code: str, status: int) -> None:
    with wire(answer) as opened:
        transport = Transport(opened.url)
        with pytest.raises(RefusedError) as refused:
            transport.get("/v1/trust")
        transport.close()
    assert (refused.value.code, refused.value.status) == (code, status)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"", b"not http at all\r\n\r\n"]
)
def test_an_incomplete_response_is_an_error(answer: bytes) -> None:
    with wire(answer) as opened:
        transport = Transport(opened.url, timeout=Timeout(connect=1, read=0.3))
        with pytest.raises(SyncError, match=r"transport\.broken"):
            transport.send("POST", "/v1/sync", b"x")
        transport.close()


@pytest.mark.parametrize("kept", [12, 15, 17, 22, 36, 38, 41, 60])
def test_a_response_cut_inside_its_head_is_an_error(kept: int) -> None:
    answer = said(b"hello", "Chaski-Signature: k.s")
    with wire(answer[:kept], hang_up=True) as opened:
        transport = Transport(opened.url)
        with pytest.raises(SyncError, match=r"transport\.broken"):
            transport.send("POST", "/v1/sync", b"x")
        transport.close()


MANY = "9" * 5000
ODD = ("-5", f"-{MANY}", MANY, "\u00b2", "\u0661".encode().decode("latin-1"))


@pytest.mark.parametrize(
    "head",
    [
        *(f"Content-Length: {size}\r\n\r\n" for size in ODD),
        *(f"Transfer-Encoding: chunked\r\n\r\n{size}\r\n" for size in ODD),
    ],
)
def test_an_answer_of_a_size_that_is_none_is_no_answer(head: str) -> None:
    with wire(f"HTTP/1.1 200 OK\r\n{head}hello".encode("latin-1"), hang_up=True) as opened:
        transport = Transport(opened.url)
        with pytest.raises(SyncError, match=r"transport\.broken"):
            transport.send("POST", "/v1/sync", b"x")
        transport.close()
        with pytest.raises(SyncError, match=r"transport\."):
            StaffSession.sign_in(opened.url, "autora", "uno dos tres", pin=PIN)


def test_an_error_reads_as_one_line_that_says_what_to_do() -> None:
    problem = {
        "code": "http.invalid",
        "title": "A field is not valid",
        "detail": "",
        "advice": "Correct the fields named.",
        "fields": {"json": {"region": ["Too long.", "No region."], "label": ["Missing."]}},
    }
    assert str(RefusedError(422, problem)) == (
        "http.invalid: A field is not valid. region: Too long. No region; label: Missing. Correct the fields named"
    )
    assert str(RefusedError(502, {})) == "transport.refused: HTTP 502"
    hostile = {"code": "a\x1b[2J", "title": "two\nlines \x1b[31m", "fields": {"x": 1}, "advice": None, "request": "a1"}
    assert str(RefusedError(500, hostile)).isprintable()


def test_english_is_asked_for_except_in_a_sync_where_every_byte_counts() -> None:
    with wire(said(b"{}")) as opened:
        transport = Transport(opened.url)
        transport.get("/v1/trust")
        transport.close()
    assert b"Accept-Language: en\r\n" in opened.heard


def test_without_a_listening_server_nothing_is_sent() -> None:
    with pytest.raises(SyncError, match=r"transport\.unreachable"):
        Transport("http://127.0.0.1:9").get("/v1/trust")


BAD_ADDRESSES = [
    "ftp://127.0.0.1",
    "127.0.0.1:8080",
    "http://",
    "foo",
    "",
    "http://a:port",
    "http://[::1",
    "http://a b",
]


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(SyncError, match=r"transport\.bad_address"):
        Transport(url)
    with pytest.raises(SyncError, match=r"transport\.bad_address"):
        StaffSession.sign_in(url, "autora", "uno dos tres", pin=PIN)


@pytest.mark.parametrize("host", ["a..b", "." * 3, "a" * 64])
def test_a_host_that_no_name_can_have_is_a_bad_address(host: str) -> None:
    with pytest.raises(SyncError, match=r"transport\.bad_address"):
        Transport(f"http://{host}").get("/v1/trust")
    with pytest.raises(SyncError, match=r"transport\.bad_address"):
        StaffSession.sign_in(f"https://{host}", "autora", "uno dos tres", pin=PIN)


def test_staff_learn_in_one_short_sentence_that_no_connection_was_made() -> None:
    with pytest.raises(UnreachableError) as refused:
        StaffSession.sign_in("http://127.0.0.1:9", "autora", "uno dos tres", pin=PIN)
    assert str(refused.value) == "transport.unreachable: no connection to 127.0.0.1:9"


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nServ", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
)
def test_staff_get_an_error_for_an_incomplete_response(answer: bytes) -> None:
    with wire(answer, hang_up=True) as opened, pytest.raises(SyncError) as broken:
        StaffSession.sign_in(opened.url, "autora", "uno dos tres", pin=PIN)
    said_so = "transport.broken: GET /v1/trust had no complete response"
    assert re.fullmatch(rf"{re.escape(said_so)}( \(\w+\))?", str(broken.value))


# Limits of a response


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "chunks": (CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"),
    "chunk extensions": (CHUNKED, b"1;" + b"x" * 60_000 + b"\r\n0\r\n"),
    "trailers": (CHUNKED + b"0\r\n", b"x: " + b"x" * 60_000 + b"\r\n"),
    "one trailer": (CHUNKED + b"0\r\n", b"x" * 65536),
    "informational heads": (b"", b"HTTP/1.1 100 Continue\r\n" + (b"x: " + b"x" * 60_000 + b"\r\n") * 90 + b"\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: " + b"x" * 60_000 + b"\r\n"),
    "many headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\n", b"x" * 65536),
}


@contextmanager
def endless(first: bytes, again: bytes, pause: threading.Event | None = None) -> Iterator[str]:
    """A server that sends `first` and then `again` without end; with `pause`, one byte at a time."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(first)
                    while not ended.is_set():
                        connection.sendall(again)
                        if pause:
                            pause.wait(0.02)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_response_without_end_is_given_up_whatever_does_not_end(kind: str) -> None:
    with (
        endless(*ENDLESS[kind]) as url,
        contextlib.closing(Transport(url)) as transport,
        pytest.raises(SyncError) as refused,
    ):
        transport.get("/v1/trust")
    assert refused.value.code in ("transport.too_large", "transport.broken")


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nx: ", CHUNKED + b"100000\r\n"])
def test_a_response_that_drips_is_given_up_after_its_time(first: bytes) -> None:
    with (
        endless(first, b"1", threading.Event()) as url,
        contextlib.closing(Transport(url, seconds=0.3)) as transport,
        pytest.raises(SyncError, match=r"transport\.too_slow"),
    ):
        transport.get("/v1/trust")


def test_a_long_response_on_a_slow_line_arrives_since_each_kib_adds_time() -> None:
    with (
        wire(said(bytes(4 * 1024 * 1024))) as opened,
        contextlib.closing(Transport(opened.url, seconds=60)) as transport,
    ):
        assert len(transport.get("/v1/trust")) == 4 * 1024 * 1024


def test_a_small_answer_does_not_become_a_large_one_at_a_desk() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    for body in (bomb, bomb[:-9]):
        with (
            wire(said(body, "Content-Encoding: gzip")) as opened,
            pytest.raises(SyncError, match=r"transport\.bad_coding"),
        ):
            StaffSession.sign_in(opened.url, "autora", "uno dos tres", pin=PIN)


@pytest.mark.parametrize("coding", ["deflate", "br", "dcz", "zstd", "gzip, gzip"])
def test_a_content_coding_that_was_not_asked_for_is_refused(coding: str) -> None:
    packed = zlib.compress(bytes(1_000_000))
    with (
        wire(said(packed, f"Content-Encoding: {coding}")) as opened,
        contextlib.closing(Transport(opened.url)) as transport,
        pytest.raises(SyncError, match=r"transport\.bad_coding"),
    ):
        transport.get("/v1/trust")


def test_more_than_a_server_takes_is_not_sent() -> None:
    with (
        wire(said(b"{}")) as opened,
        contextlib.closing(Transport(opened.url)) as transport,
        pytest.raises(SyncError, match=r"transport\.too_large"),
    ):
        transport.send("POST", "/v1/sync", bytes(MAX_BODY_BYTES + 1))
    assert (opened.heard, opened.connections) == (b"", 0)


def test_a_name_and_a_password_in_an_address_are_refused() -> None:
    for url in ("http://ana:secreto@127.0.0.1:9", "https://127.0.0.1@evil.example"):
        with pytest.raises(SyncError, match=r"transport\.bad_address"):
            Transport(url)


@pytest.mark.parametrize("status", ["101 Switching", "204 No Content", "205 Reset", "304 Not Modified", "302 Found"])
def test_an_answer_without_the_document_that_was_asked_for_is_no_success(status: str) -> None:
    with wire(said(b"", status=status)) as opened, pytest.raises(SyncError) as refused:
        Transport(opened.url, timeout=Timeout(5)).get("/v1/trust")
    assert refused.value.code in ("transport.refused", "transport.broken")


def test_members_of_a_problem_that_are_no_text_are_ignored() -> None:
    refused = RefusedError(400, {"code": ["device.unknown"], "title": {"a": 1}, "detail": 7, "advice": None})
    assert (refused.code, str(refused)) == ("transport.refused", "transport.refused: HTTP 400")
