"""The tablet API on a real socket: responses contain the signed bytes, are small and cacheable, and set no cookies."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection

import pytest

from conftest import FOUNDED, World
from server import app
from server.config import ConfigError
from server.flows.operations import audit
from server.store import documents, versions
from support.intake import Field, Tablet, open_field, run_servers
from support.waiting import PATIENCE, wait_until
from sync.documents import enrolment
from sync.exchange import messages
from sync.exchange.bundle_stream import Wanted, address
from sync.exchange.messages import CONTENT_TYPE, MAX_ENVELOPES, SIGNATURE_HEADER, Message, Response
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u


@pytest.fixture
def field(world: World) -> Iterator[Field]:
    opened = open_field(world)
    with run_servers(opened) as (tablets, _):
        yield replace(opened, port=tablets)


class Answer:
    """A response with its size on the wire in bytes."""

    def __init__(self, port: int, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request(method, path, body or None, headers)
        got = connection.getresponse()
        self.status, self.headers, self.body = got.status, got.headers, got.read()
        head = sum(len(name) + len(value) + 4 for name, value in got.headers.items())
        self.size = len(f"HTTP/1.1 {got.status} {got.reason}\r\n") + head + 2 + len(self.body)
        connection.close()

    @property
    def code(self) -> str:
        found: str = json.loads(self.body)["code"]
        return found


def post(field: Field, message: Message) -> Answer:
    headers = {SIGNATURE_HEADER: message.signature, "Content-Type": CONTENT_TYPE}
    return Answer(field.port, "POST", "/v1/sync", message.body, **headers)


def sync(field: Field, tablet: Tablet, *envelopes: bytes, **said: object) -> tuple[Answer, Response]:
    answer = post(field, field.message(tablet, *envelopes, **said))
    assert answer.status == 200, answer.body
    message = Message(answer.body, answer.headers[SIGNATURE_HEADER])
    servers = field.trust.servers
    return answer, messages.read_response(message, servers, dev=tablet.key.kid, n=tablet.n, envelopes=envelopes)


def test_a_tablet_enrols_pulls_and_pushes_over_http(field: Field) -> None:
    tablet = field.tablet(certified=False)
    waiting = Answer(field.port, "GET", f"/v1/enrolments/{tablet.key.kid}")
    assert (waiting.status, waiting.code) == (403, "device.not_certified")
    tablet = field.tablet()
    _, response = sync(field, tablet, *(field.envelope(tablet) for _ in range(3)))
    assert response.receipts is not None
    assert [item["outcome"] for item in response.receipts.content["items"]] == ["stored"] * 3


def test_a_wrong_enrolment_code_is_rejected_over_http(field: Field) -> None:
    answer = Answer(
        field.port,
        "POST",
        "/v1/enrolments",
        enrolment.write_enrolment_request("inventado", SigningKey.generate()).to_bytes(),
    )
    assert (answer.status, answer.code) == (403, "enrolment.code_unknown")


def test_a_sync_response_without_news_has_at_most_400_bytes_with_its_head(field: Field) -> None:
    tablet = field.tablet()
    _, first = sync(field, tablet)
    assert first.manifest is not None
    numbers = {"trust": 1, "registry": 1, "manifest": first.manifest.content["number"]}
    answer, response = sync(field, tablet, generation=first.generation, **numbers)
    assert response.receipts is None
    assert answer.size <= 400, (answer.size, answer.headers.items())


def test_documents_are_served_as_signed_bytes_and_not_again_with_their_etag(field: Field) -> None:
    for kind in ("trust", "registry", "manifest"):
        stored = documents.get_newest(field.services.db.read(), kind)
        assert stored is not None
        plain = Answer(field.port, "GET", f"/v1/{kind}")
        assert plain.body == stored.body
        packed = Answer(field.port, "GET", f"/v1/{kind}", **{"Accept-Encoding": "gzip"})
        assert len(packed.body) < len(plain.body) or len(plain.body) < 512
        assert (gzip.decompress(packed.body) if "Content-Encoding" in packed.headers else packed.body) == stored.body
        again = Answer(field.port, "GET", f"/v1/{kind}", **{"If-None-Match": plain.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")


def test_the_head_of_a_stream_of_forms_is_short_and_names_the_date_once(field: Field) -> None:
    path = address([Wanted(field.form_sha)])
    whole = Answer(field.port, "GET", path)
    rest = Answer(field.port, "GET", path, Range="bytes=5-", **{"If-Range": whole.headers["ETag"]})
    assert (rest.status, rest.body) == (206, whole.body[5:])
    for answer in (whole, rest):
        assert len(answer.headers.get_all("Date")) == 1
        assert len(answer.headers["ETag"]) == 24
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name in ("Referrer-Policy", "Content-Security-Policy") if name in answer.headers]
        assert answer.size - len(answer.body) <= 360, answer.headers.items()


def test_forms_and_keys_are_found_by_their_hash_and_only_keys_are_immutable(field: Field) -> None:
    sha, form = field.form_sha, "prueba"
    key = field.keyring("17-child")
    for path, body, kept in (
        (f"/v1/forms/{form}/{sha}", versions.get_bytes_in_use(field.services.db.read(), form, sha), "private"),
        (f"/v1/keys/{key.sha256}", key.raw, "immutable"),
    ):
        answer = Answer(field.port, "GET", path)
        assert (answer.status, answer.body) == (200, body)
        assert kept in answer.headers["Cache-Control"]
    assert Answer(field.port, "GET", f"/v1/forms/another/{sha}").code == "form.unknown"
    assert Answer(field.port, "GET", f"/v1/keys/{'0' * 64}").code == "key.unknown"


def test_the_tablet_api_sets_no_cookie_and_names_no_software(field: Field) -> None:
    for path in ("/healthz", "/v1/trust", "/nowhere"):
        headers = Answer(field.port, "GET", path).headers
        assert not {"set-cookie", "server", "via", "x-powered-by"} & {name.lower() for name in headers}


def test_a_request_beyond_a_limit_gets_a_problem(field: Field) -> None:
    tablet = field.tablet()
    too_many = field.message(tablet, *[b"x"] * (MAX_ENVELOPES + 1))
    assert (post(field, too_many).status, post(field, too_many).code) == (422, "document.malformed")
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(b"0" * (messages.MAX_BODY_BYTES + 1)) + packer.flush()
    signature = f"{tablet.key.kid}.{messages.sign_bare(bomb, tablet.key, messages.REQUEST_TYP)}"
    answer = post(field, Message(bomb, signature))
    assert (answer.status, answer.code) == (413, "exchange.too_large")
    large = Answer(field.port, "POST", "/v1/sync", bytes(messages.MAX_BODY_BYTES + 1))
    assert (large.status, large.code) == (413, "http.too_large")
    asked = b'{"a":[' + b"0," * enrolment.MAX_REQUEST_BYTES + b"0]}\n"
    long_winded = Answer(field.port, "POST", "/v1/enrolments", asked)
    assert (long_winded.status, long_winded.code) == (413, "http.too_large")


@pytest.mark.parametrize("language", ["es", "en"])
def test_the_rejection_of_a_request_number_is_signed_over_the_sent_bytes(field: Field, language: str) -> None:
    tablet = field.tablet()
    sync(field, tablet)
    for n, code in ((1, "sync.number_used"), (2**20 + 2, "sync.number_skipped")):
        message = field.message(tablet, n=n, at=0)
        headers = {SIGNATURE_HEADER: message.signature, "Accept-Language": language}
        answer = Answer(field.port, "POST", "/v1/sync", message.body, **headers)
        assert (answer.status, answer.code) == (409, code)
        assert answer.headers["Content-Type"] == "application/problem+json"
        refusal = Message(answer.body, answer.headers[SIGNATURE_HEADER])
        assert messages.read_refusal(refusal, field.trust.servers, dev=tablet.key.kid, n=n).last == 1


@pytest.mark.parametrize("signature", ["", "x", f"{b64u(bytes(16))}.x", "ñ.ñ"])
def test_a_request_without_a_valid_signature_is_rejected(field: Field, signature: str) -> None:
    answer = Answer(field.port, "POST", "/v1/sync", b"{}", **{SIGNATURE_HEADER: signature})
    assert answer.status in (400, 401, 403)


def test_many_concurrent_tablets_all_get_responses_and_the_audit_chain_is_valid(field: Field) -> None:
    tablets = [field.tablet() for _ in range(8)]
    batches = [[field.envelope(tablet) for _ in range(4)] for tablet in tablets]

    def push(tablet: Tablet, batch: list[bytes]) -> list[str]:
        answered = [sync(field, tablet, raw)[1] for raw in batch]
        return [item["outcome"] for one in answered if one.receipts for item in one.receipts.content["items"]]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(push, tablets, batches)) == [["stored"] * 4] * 8
    assert field.rows("select count(*) from envelopes") == [(32,)]
    assert audit.verify_chain(field.services.db).broken_at is None


def test_a_request_in_progress_at_stop_still_gets_its_response(world: World) -> None:
    field, begun, ports = open_field(world), threading.Event(), list[int]()

    def slow_clock() -> int:
        begun.set()
        wait_until(lambda: not any(map(accepts, ports)), "the server does not stop")
        return FOUNDED

    tablet = field.tablet()
    message = field.message(tablet, field.envelope(tablet))
    with (
        ThreadPoolExecutor(1) as pool,
        run_servers(replace(field, services=replace(field.services, now=slow_clock))) as (port, _),
    ):
        ports.append(port)
        answer = pool.submit(post, replace(field, port=port), message)
        assert begun.wait(PATIENCE)
    assert answer.result().status == 200


def accepts(port: int) -> bool:
    """True if a server still accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def up(port: int) -> bool:
    try:
        return Answer(port, "GET", "/healthz").status == 200
    except OSError:
        return False


def started(world: World, **more: str) -> tuple[subprocess.Popen[str], int]:
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "CHASKI_DATA": str(world.data), "CHASKI_TABLETS_PORT": str(port)}
    environment["CHASKI_PEOPLE_PORT"] = str(free_port())
    code = "import os; from server import app, config; app.serve(config.load(os.environ))"
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment | more, stderr=subprocess.PIPE, text=True), port


def test_a_stopped_server_exits_cleanly_and_restarts_with_all_its_data(world: World) -> None:
    field = open_field(world)
    tablet = field.tablet()
    raw = field.envelope(tablet)
    for expected in ("stored", "duplicate"):
        process, port = started(world)
        while not up(port):
            assert process.poll() is None, process.communicate()
        _, response = sync(replace(field, port=port), tablet, raw)
        assert response.receipts is not None
        assert response.receipts.content["items"][0]["outcome"] == expected
        second, _ = started(world)
        assert "another server" in second.communicate(timeout=PATIENCE)[1]
        process.send_signal(signal.SIGTERM)
        log = [json.loads(line) for line in process.communicate(timeout=PATIENCE)[1].splitlines()]
        assert process.returncode == 0
        assert [line["event"] for line in log if line["from"] == "chaski"][-1] == "stopped"
        assert any(line.get(expected) == 1 for line in log)
    field.services.db.close()


def test_the_server_names_a_taken_port_missing_trust_or_queue_and_does_not_start(world: World) -> None:
    with pytest.raises(ConfigError, match=r"CHASKI_DATA.*chaski init"):
        app.open_services(replace(world.config, data=world.data / "elsewhere"))
    services = app.open_services(world.config)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config = replace(services.config, people_port=taken.getsockname()[1], tablets_port=0)
        with pytest.raises(ConfigError, match="CHASKI_PEOPLE_PORT"):
            app.Server(replace(services, config=config))
    for sql, named in (
        ("delete from queue_groups where queue = 'national'; delete from queues where id = 'national'", "national"),
        ("delete from documents", "no trust"),
    ):
        with services.db.write() as w:
            for statement in sql.split(";"):
                w.execute(statement)
        with pytest.raises(ConfigError, match=f"CHASKI_DATA.*{named}"):
            app.open_services(world.config)
    services.db.close()


def test_a_server_with_a_key_that_others_can_read_names_it_and_does_not_start(world: World) -> None:
    (world.data / "keys" / "server.key").chmod(0o644)
    process, _ = started(world)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "CHASKI_DATA" in said
    assert "server.key" in said


def test_a_folder_without_a_server_is_named_and_left_unchanged(world: World) -> None:
    (world.data / "elsewhere").mkdir()
    for folder in (world.data / "elsewhere", world.data / "nowhere"):
        with pytest.raises(ConfigError) as refused:
            app.serve(replace(world.config, data=folder))
        assert str(refused.value) == f"CHASKI_DATA: {folder} holds no server; `chaski init` makes one"
    assert list((world.data / "elsewhere").iterdir()) == []
    assert not (world.data / "nowhere").exists()
