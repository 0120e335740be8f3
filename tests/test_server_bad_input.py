"""Malformed and hostile requests: the server names each problem, stores valid envelopes and stays reachable."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import chain, islice, repeat
from pathlib import Path

import pytest

from conftest import FOUNDED, World
from server.channel import LINGER_SECONDS, MAX_HEAD_BYTES, MIN_BYTES_PER_SECOND, allowed_seconds
from server.flows.trust import enrolment
from server.listener import MAX_CONNECTIONS
from support.hostile_server import (
    Answer,
    ServerUnderTest,
    assert_intact,
    connect,
    post_message,
    read_answer,
    run_server,
    send_bytes,
    send_request,
)
from support.intake import ROUTE, Tablet, open_field
from support.waiting import PATIENCE, wait_until
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.verify import ChainPosition, envelope_id
from sync.exchange import messages
from sync.exchange.messages import MAX_BODY_BYTES, SIGNATURE_HEADER, Message
from sync.keys.key_pairs import SealKey, SigningKey
from sync.wire.encoding import b64u

GIB = 1024**3
CRLF = b"\r\n"
BOMB = zlib.compress(b" " * 20_000_000, 9, wbits=31)


@contextmanager
def host_with(founded_world: World, folder: Path, request_seconds: int) -> Iterator[ServerUnderTest]:
    """A server with this time limit for requests (seconds). It must survive all tests that use it."""
    copied = World(folder / "server", folder / "people")
    shutil.copytree(founded_world.data, copied.data)
    shutil.copytree(founded_world.people, copied.people)
    field = open_field(copied)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHASKI_REQUEST_SECONDS", str(request_seconds))
        with run_server(field) as running:
            yield running
            assert running.server.running is not None
            assert running.server.running.poll() is None
    assert_intact(copied.config.database)
    field.services.db.close()


@pytest.fixture(scope="module")
def host(founded_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    """One server for all tests of this module. It closes late connections soon."""
    with host_with(founded_world, tmp_path_factory.mktemp("hostile"), 2) as running:
        yield running


@pytest.fixture(scope="module")
def patient_host(founded_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    """A server that closes no connection as late during a test."""
    with host_with(founded_world, tmp_path_factory.mktemp("patient"), 600) as running:
        yield running


@pytest.fixture
def tablet(host: ServerUnderTest) -> Iterator[Tablet]:
    """A certified tablet. It can sync before and after each test."""
    made = host.field.tablet()
    assert host.outcomes(made, host.field.envelope(made)) == ["stored"]
    yield made
    assert host.outcomes(made, host.field.envelope(made)) == ["stored"]


def signed(tablet: Tablet, body: bytes) -> Message:
    """Sign a malformed body with the tablet's key."""
    return Message(body, f"{tablet.key.kid}.{messages.sign_bare(body, tablet.key, messages.REQUEST_TYP)}")


# Envelopes


def test_an_envelope_with_swapped_fields_is_rejected_and_the_others_are_stored(
    host: ServerUnderTest, tablet: Tablet
) -> None:
    good, other = host.field.envelope(tablet), host.field.envelope(tablet)
    services = good.split(b".")
    swapped = [b".".join([*services[:1], services[2], services[1], *services[3:]]), b".".join(reversed(services))]
    told = host.outcomes(tablet, *swapped, other, good)
    assert all(code.startswith("envelope.") for code in told[:2]), told
    assert told[2:] == ["stored", "stored"]


def test_a_batch_in_any_order_is_stored_without_gaps(host: ServerUnderTest, tablet: Tablet) -> None:
    batch = [host.field.envelope(tablet) for _ in range(6)]
    assert host.outcomes(tablet, *batch[::-1]) == ["stored"] * 6
    assert host.sync(tablet, host.field.envelope(tablet)).seq == {tablet.chain: tablet.seq}
    assert host.field.rows("select kind from work_items where dev = ? and closed is null", tablet.key.kid) == []


def test_an_envelope_for_an_unknown_key_is_stored_and_put_on_the_work_list(
    host: ServerUnderTest, tablet: Tablet
) -> None:
    tablet.seq += 1
    raw = seal.seal_envelope(
        Content(b"<data/>", Context(host.field.form_sha)),
        to=SealKey.generate().public,
        route=replace(ROUTE, sha=host.field.form_sha),
        route_key=host.field.route_key(),
        device=tablet.key,
        jti=seal.new_screening_id(),
        position=ChainPosition(chain=tablet.chain, seq=tablet.seq, kseq=1, prev=tablet.prev),
        bucket=1024,
    )
    tablet.prev = envelope_id(raw)
    (outcome,) = host.outcomes(tablet, raw)
    assert outcome in ("stored", "held")
    assert host.field.referrals(raw)


def test_an_envelope_with_an_unknown_form_version_is_held_and_routed(host: ServerUnderTest, tablet: Tablet) -> None:
    raw = host.field.envelope(tablet, replace(ROUTE, sha="0" * 64))
    assert host.outcomes(tablet, raw) == ["held"]
    assert [referral.mark for referral in host.field.referrals(raw)] == ["held"]


def test_an_envelope_from_a_revoked_tablet_is_quarantined_not_lost(host: ServerUnderTest) -> None:
    revoked = host.field.tablet()
    with host.field.services.db.write() as w:
        enrolment.revoke_devices(w, {revoked.key.kid}, actor="tests", now=FOUNDED)
    assert host.outcomes(revoked, host.field.envelope(revoked)) == ["quarantined"]


def test_a_batch_of_ten_thousand_is_rejected_whole_and_memory_stays_bounded(
    host: ServerUnderTest, tablet: Tablet
) -> None:
    before = host.peak_from_here()
    real = host.field.envelope(tablet)
    for envelopes in ((b"x",) * 10_000, (real,) * 10_000):
        answer = post_message(host.port, host.field.message(tablet, *envelopes))
        assert (answer.status, answer.code) in ((422, "document.malformed"), (413, "exchange.too_large"))
    assert host.outcomes(tablet, *(real,) * 500) == ["stored", *["duplicate"] * 499]
    assert host.memory("VmHWM") - before < 60


# Requests


def refusal(host: ServerUnderTest, tablet: Tablet, name: str) -> Answer:
    """Send one malformed request of the table below."""
    body = b'{"at":1,"n":99,"protocol":"chaski-1"}'
    good = signed(tablet, body).signature
    wrong = {
        "no JSON": signed(tablet, b"{"),
        "no UTF-8": signed(tablet, b'{"\xff":1}'),
        "an array": signed(tablet, b"[]"),
        "deep nesting": signed(tablet, b'{"a":' * 100_000),
        "an endless number": signed(tablet, b'{"n":' + b"9" * 100_000 + b"}"),
        "a member twice": signed(tablet, b'{"n":1,"n":2,"at":1,"protocol":"chaski-1"}'),
        "another protocol": signed(tablet, b'{"at":1,"n":99,"protocol":"chaski-2"}'),
        "a gzip bomb": signed(tablet, BOMB),
        "half a gzip": signed(tablet, zlib.compress(body, wbits=31)[:-3]),
        "no signature": Message(body, ""),
        "a garbled signature": Message(body, good[:-4] + "AAAA"),
        "a signature of nothing": Message(body, "%%%.???"),
        "somebody else's signature": Message(body, signed(Tablet(SigningKey.generate()), body).signature),
        "a signature of another body": Message(body + b" ", good),
        "a long signature": Message(body, f"{b64u(bytes(16))}.{'A' * 8000}"),
        "nothing": signed(tablet, b""),
    }
    return post_message(host.port, wrong[name])


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("no JSON", 400, "encoding.json"),
        ("no UTF-8", 400, "encoding.json"),
        ("an array", 400, "encoding.json"),
        ("deep nesting", 400, "encoding.json"),
        ("an endless number", 400, "encoding.json"),
        ("a member twice", 400, "encoding.duplicate_member"),
        ("another protocol", 400, "exchange.wrong_protocol"),
        ("a gzip bomb", 413, "exchange.too_large"),
        ("half a gzip", 400, "exchange.malformed"),
        ("no signature", 400, "exchange.malformed"),
        ("a garbled signature", 403, "exchange.bad_signature"),
        ("a signature of nothing", 400, "exchange.malformed"),
        ("somebody else's signature", 401, "device.unknown"),
        ("a signature of another body", 403, "exchange.bad_signature"),
        ("a long signature", 401, "device.unknown"),
        ("nothing", 400, "encoding.json"),
    ],
)
def test_a_malformed_request_gets_its_own_problem_code(
    host: ServerUnderTest, tablet: Tablet, name: str, status: int, code: str
) -> None:
    answer = refusal(host, tablet, name)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02garbage\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nA: b\rc\r\n\r\n", 400),
        (b"POST /v1/sync HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/sync HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n", 400),
        (b"POST /v1/sync HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", 411),
        (b"POST /v1/sync HTTP/1.1\r\nTransfer-Encoding: zip\r\n\r\n", 400),
        (b"POST /v1/sync HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % GIB, 413),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES + CRLF * 2, 431),
        (b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"x" * (MAX_HEAD_BYTES + 1), 400),
        (b"BREW /v1/sync HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        (b"DELETE /v1/sync HTTP/1.1\r\n\r\n", 405),
        (b"GET /v1/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /v1/forms/%00/%ff HTTP/1.1\r\n\r\n", 404),
    ],
)
def test_both_apis_answer_malformed_http_with_a_problem(host: ServerUnderTest, sent: bytes, status: int) -> None:
    for port in (host.port, host.server.people_port):
        answer = send_bytes(port, sent)
        assert answer.code
        # The staff API first requires its guard header or a session.
        assert answer.status == status or (port != host.port and answer.status in (401, 403, 404))


def test_the_problem_for_malformed_http_is_in_the_requested_language(host: ServerUnderTest) -> None:
    head = b"POST /v1/sync HTTP/1.1\r\nContent-Length: %d\r\n" % GIB
    for asked, title in ((b"", "La petición es demasiado grande"), (b"Accept-Language: en\r\n", "The request is too")):
        assert json.loads(send_bytes(host.port, head + asked + CRLF).body)["title"].startswith(title)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "x", ""])
def test_another_content_type_is_refused_for_json_and_ignored_for_signed_bytes(
    host: ServerUnderTest, tablet: Tablet, kind: str
) -> None:
    people = send_request(
        host.server.people_port, "POST", "/v1/session", b"a=b", **{"Chaski_Request": "1", "Content_Type": kind}
    )
    assert people.code
    assert 400 <= people.status < 500
    message = host.field.message(tablet)
    headers = {"Content_Type": kind, SIGNATURE_HEADER: message.signature}
    assert send_request(host.port, "POST", messages.PATH, message.body, **headers).status == 200


def test_garbage_after_a_request_gets_one_response_and_ends_the_connection(host: ServerUnderTest) -> None:
    with connect(host.port) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\n\r\n" * 3 + b"\x00" * 50_000)
        said = b"".join(iter(lambda: line.recv(65536), b""))
        assert re.findall(rb"HTTP/1.. (\d+)", said) == [b"200", b"200", b"200", b"400"]


def test_a_thousand_pipelined_requests_end_the_connection(host: ServerUnderTest, tablet: Tablet) -> None:
    with connect(host.port) as line, suppress(ConnectionResetError, BrokenPipeError):
        line.sendall(b"GET /v1/registry HTTP/1.1\r\n\r\n" * 1000)
        said = b"".join(iter(lambda: line.recv(65536), b""))
        assert said.count(b"HTTP/1.1") < 1000


# Size


def stream(port: int, head: bytes, piece: bytes, total: int) -> tuple[Answer, int]:
    """Send a body until it is complete or the server stops reading. Then read the response."""
    sent = 0
    with connect(port) as line:
        line.sendall(head)
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < total:
                line.sendall(piece)
                sent += len(piece)
        return read_answer(line), sent


def test_a_body_of_a_gigabyte_is_rejected_early_and_fills_neither_memory_nor_disk(
    host: ServerUnderTest, tablet: Tablet
) -> None:
    before, files = host.peak_from_here(), host.files()
    piece = b"x" * (1024 * 1024)
    for head, part, status in (
        (b"POST /v1/sync HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % GIB, piece, 413),
        (b"POST /v1/sync HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + piece + CRLF, 411),
    ):
        answer, sent = stream(host.port, head, part, GIB)
        assert (answer.status, answer.code[:5]) == (status, "http.")
        assert answer.headers["connection"] == "close"
        assert sent < GIB / 10
    assert host.memory("VmHWM") - before < 60
    assert host.files() - files < 1024 * 1024


def test_many_concurrent_large_bodies_stay_within_the_memory_limit(host: ServerUnderTest, tablet: Tablet) -> None:
    before, files = host.peak_from_here(), host.files()
    with ExitStack() as stack:
        for _ in range(40):
            line = stack.enter_context(connect(host.port))
            line.settimeout(2)
            line.sendall(b"POST /v1/sync HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES - 1))
            with suppress(OSError):
                line.sendall(bytes(MAX_BODY_BYTES // 2))
        assert host.outcomes(tablet, host.field.envelope(tablet)) == ["stored"]
        assert host.memory("VmHWM") - before < 128  # 40 bodies of 4 MiB would take 160 MiB.
    assert host.files() - files < 1024 * 1024


# Slowness


def alive(line: socket.socket) -> bool:
    """True if the server still keeps the connection open."""
    line.settimeout(0)
    try:
        return line.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def one_byte_each(lines: list[socket.socket]) -> Iterator[None]:
    """At each step, send one more letter of a request that never ends on each connection."""
    for letter in chain("POST /", repeat("x")):
        for line in lines:
            with suppress(OSError):
                line.sendall(letter.encode())
        yield


@pytest.mark.parametrize("bytes_a_second", [0, 1])
def test_many_slow_senders_never_keep_a_tablet_out(patient_host: ServerUnderTest, bytes_a_second: int) -> None:
    """The tablet syncs while the slow connections are still open, before the server closes them as late."""
    tablet = patient_host.field.tablet()
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(patient_host.port)) for _ in range(MAX_CONNECTIONS + 100)]
        for _ in islice(one_byte_each(lines if bytes_a_second else []), 3):
            assert patient_host.outcomes(tablet, patient_host.field.envelope(tablet)) == ["stored"]
            assert any(alive(line) for line in lines)


@pytest.mark.parametrize("bytes_a_second", [0, 1])
def test_many_slow_senders_are_closed(host: ServerUnderTest, tablet: Tablet, bytes_a_second: int) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(host.port)) for _ in range(MAX_CONNECTIONS + 100)]
        until, sending = time.monotonic() + PATIENCE, one_byte_each(lines if bytes_a_second else [])
        while any(alive(line) for line in lines):
            assert time.monotonic() < until, "a slow sender stayed"
            next(sending)
            assert host.outcomes(tablet, host.field.envelope(tablet)) == ["stored"]
            time.sleep(1)


def test_a_sender_is_late_after_the_set_time_and_that_of_its_bytes_at_minimum_rate() -> None:
    for moved, patience, seconds in (
        (0, 2, 2),
        (0, 10, 10),
        (MIN_BYTES_PER_SECOND, 2, 3),
        (6 * MIN_BYTES_PER_SECOND, 2, 8),
    ):
        assert allowed_seconds(moved, patience, lingering=False) == seconds
    assert allowed_seconds(0, 1000, lingering=True) == LINGER_SECONDS


def test_the_server_waits_for_an_honest_sender_on_a_slow_line(host: ServerUnderTest, tablet: Tablet) -> None:
    """At 8 KiB per second a transfer takes longer than the time limit, and the server allows it in both directions."""
    message = host.field.message(tablet, *(host.field.envelope(tablet) for _ in range(9)))
    head = f"POST /v1/sync HTTP/1.1\r\nContent-Length: {len(message.body)}\r\n{SIGNATURE_HEADER}: {message.signature}"
    with connect(host.port) as line:
        line.sendall(head.encode() + CRLF * 2)
        for start in range(0, len(message.body), 4096):
            line.sendall(message.body[start : start + 4096])
            time.sleep(0.4)
        assert read_answer(line).status == 200


@pytest.mark.parametrize("each_says", [b"", b"P"])
@pytest.mark.parametrize(("piece", "seconds", "at_once"), [(512, 0.2, 150), (2048, 1.2, 2 * MAX_CONNECTIONS)])
def test_an_honest_upload_succeeds_while_idle_connections_pour_in(
    patient_host: ServerUnderTest, piece: int, seconds: float, at_once: int, each_says: bytes
) -> None:
    """After each piece, so many others come `at_once`. After 1.2 seconds, it is older than all of them."""
    tablet = patient_host.field.tablet()
    message = patient_host.field.message(tablet, patient_host.field.envelope(tablet))
    head = f"POST /v1/sync HTTP/1.1\r\nContent-Length: {len(message.body)}\r\n{SIGNATURE_HEADER}: {message.signature}"
    sent = head.encode() + CRLF * 2 + message.body
    poured = iter(range(2 * MAX_CONNECTIONS))
    with ExitStack() as stack:
        line = stack.enter_context(connect(patient_host.port))
        for start in range(0, len(sent), piece):
            line.sendall(sent[start : start + piece])
            time.sleep(seconds)
            for _ in islice(poured, at_once):
                stack.enter_context(connect(patient_host.port)).sendall(each_says)
        assert read_answer(line).status == 200


def test_a_client_that_does_not_fetch_responses_is_closed(host: ServerUnderTest, tablet: Tablet) -> None:
    held = host.open_sockets()
    with ExitStack() as stack:
        for _ in range(8):  # Twice the number of workers.
            line = stack.enter_context(connect(host.port))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(0.2)
            with suppress(OSError):
                while True:
                    line.sendall(b"GET /v1/registry HTTP/1.1\r\n\r\n")
        assert host.outcomes(tablet, host.field.envelope(tablet)) == ["stored"]
        wait_until(lambda: host.open_sockets() <= held, "a connection that takes no answers stayed open")


def test_the_log_of_all_these_requests_is_json_lines_without_content(host: ServerUnderTest) -> None:
    log = Path(host.server.folders[1] / "server.log").read_text(encoding="utf-8")
    assert all(json.loads(line)["event"] for line in log.splitlines())
    assert "garbage" not in log
