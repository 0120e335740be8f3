"""Problems of both APIs: each has a code, a catalogue entry and the standard body, and contains no answers."""

from __future__ import annotations

import ast
import json
import logging
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from flask.testing import FlaskClient

import server
import sync
from conftest import World
from server import app, problems
from server.api import flask_app
from server.cli.demo.server_process import ServerProcess, free_ports
from support.intake import Field, open_field, run_servers
from support.waiting import PATIENCE
from sync.exchange.messages import MAX_BODY_BYTES
from sync.exchange.transport import RefusedError

SHAPE = {"type", "status", "code", "title", "detail", "advice"}
CANARY = "lamujerdijoqueno"


@pytest.fixture
def field(world: World) -> Iterator[Field]:
    opened = open_field(world)
    yield opened
    opened.services.db.close()


@pytest.fixture(params=["tablet_api", "staff_api"])
def client(field: Field, request: pytest.FixtureRequest) -> FlaskClient:
    made: FlaskClient = getattr(app, request.param)(field.services).test_client()
    return made


def raised(package: object, name: str) -> set[str]:
    """Return the literal codes in all calls `name("code", ...)` of a package."""
    (folder,) = package.__path__  # type: ignore[attr-defined]
    calls = (
        node
        for path in Path(folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name and node.args
    )
    return {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}


def test_every_code_the_server_raises_is_in_the_catalogue_and_every_entry_is_raised() -> None:
    mine = raised(server, "Problem")
    assert mine <= problems.PROBLEM_TYPES.keys()
    http = {code for code in problems.PROBLEM_TYPES if code.startswith("http.") or code == "server.failed"}
    protocol = raised(sync, "SyncError") | {code for code in problems.PROBLEM_TYPES if code.endswith(".*")}
    assert problems.PROBLEM_TYPES.keys() - mine - http - protocol == set()


CLIENT_SIDE = {
    "courier",
    "known",
    "draft",
    "outbox",
    "seal",
    "transport",
    "tablet",
    "desk",
    "staff",
    "board",
    "transfer",
    "receipt",
    "route",
}


def test_every_protocol_code_that_can_reach_an_api_has_an_entry() -> None:
    for code in raised(sync, "SyncError"):
        if code.partition(".")[0] not in CLIENT_SIDE:
            assert problems.find_type(code).status in range(400, 500), code


def test_every_entry_is_complete_in_both_languages() -> None:
    for code, entry in problems.PROBLEM_TYPES.items():
        texts = (entry.title_es, entry.title_en, entry.advice_es, entry.advice_en)
        assert all(texts), code
        assert 400 <= entry.status < 600, code


@pytest.mark.parametrize("code", problems.PROBLEM_TYPES)
def test_a_client_prints_every_problem_in_one_line_with_title_and_advice(code: str) -> None:
    entry = problems.PROBLEM_TYPES[code]
    told = str(RefusedError(entry.status, problems.build_document(code, "17-child", "en", {})))
    assert told == str(problems.Problem(code, "17-child"))
    assert told == f"{code}: {entry.title_en}. 17-child. {entry.advice_en.rstrip('.')}"
    assert told.isprintable()


def check(status: int, content_type: str, body: bytes, *, members: frozenset[str] = frozenset()) -> dict[str, object]:
    document: dict[str, object] = json.loads(body)
    assert content_type == problems.MEDIA_TYPE
    assert set(document) == SHAPE | members
    assert document["status"] == status
    return document


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "http.not_found"), ("DELETE", "/v1/trust", 405, "http.method_not_allowed")],
)
def test_a_missing_address_gets_a_problem_in_the_standard_format(
    client: FlaskClient, method: str, path: str, status: int, code: str
) -> None:
    # The staff API first requires its guard header.
    answer = client.open(path, method=method, headers={"Chaski-Request": "1"})
    document = check(answer.status_code, answer.content_type, answer.data)
    assert (answer.status_code, document["code"]) == (status, code)


def test_problems_are_in_spanish_unless_the_client_requests_english(client: FlaskClient) -> None:
    for language, title in (
        (None, "No existe"),
        ("qu", "No existe"),
        ("en-GB,en;q=0.9", "Nothing exists at this address"),
    ):
        headers = {"Accept-Language": language} if language else {}
        assert client.get("/nowhere", headers=headers).json["title"] == title


def test_a_server_failure_returns_its_request_number_and_nothing_else(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    @client.application.get("/breaks")
    def breaks() -> None:
        raise RuntimeError(CANARY)

    answer = client.get(f"/breaks?secret={CANARY}")
    document = check(500, answer.content_type, answer.data, members=frozenset({"request"}))
    assert document["code"] == "server.failed"
    lines = [flask_app.JsonFormatter().format(record) for record in caplog.records]
    assert any(json.loads(line).get("error") == "RuntimeError" for line in lines)
    assert CANARY not in answer.text + "".join(lines)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("failed", {"error": "RuntimeError", "at": "door.py:1", "request": "1f"}),
        ("job", {"at": 0, "level": "none", "from": "nowhere", "event": "another"}),
        ("refused", {"status": 400, "event": "", "at_": 7}),
        ("clock stepped", {}),
    ],
)
@pytest.mark.parametrize("raised", [None, RuntimeError(CANARY)])
def test_no_event_field_replaces_a_standard_member_of_a_log_line(
    event: str, fields: dict[str, object], raised: Exception | None
) -> None:
    record = logging.LogRecord(
        "chaski", logging.ERROR, "", 0, event, (), (type(raised), raised, None) if raised else None
    )
    record.created, record.fields = 1_795_000_000.5, fields
    line = json.loads(flask_app.JsonFormatter().format(record))
    own = {"at": 1_795_000_000_500, "level": "error", "from": "chaski", "event": event}
    own |= {"error": "RuntimeError"} if raised else {}
    assert line | own == line
    assert sorted(map(str, fields.values())) == sorted(str(line[name]) for name in line.keys() - own.keys())


def test_every_log_event_is_written_with_its_time_and_all_its_fields() -> None:
    events = [(name, said) for package in (server, sync) for name, said in logged(package)]
    assert {"request", "failed", "storage", "refused", "job", "serving", "clock stepped"} <= {
        name for name, _ in events
    }
    for name, said in events:
        assert said.isdisjoint({"at", "level", "from", "event"}), name


def logged(package: object) -> Iterator[tuple[str, set[str]]]:
    """Yield each logged event of a package, with its literal field names."""
    (folder,) = package.__path__  # type: ignore[attr-defined]
    for path in Path(folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and any(each.arg == "extra" for each in node.keywords):
                event = next(each.value for each in node.args if isinstance(getattr(each, "value", None), str))
                keys = (key for each in ast.walk(node) if isinstance(each, ast.Dict) for key in each.keys)
                yield event, {key.value for key in keys if isinstance(key, ast.Constant)}


def test_a_real_failure_is_logged_with_its_time_and_its_place(world: World) -> None:
    process = ServerProcess(world.data.parent, *free_ports(2))
    began = time.time()
    process.start()
    try:
        with closing(sqlite3.connect(world.config.database)) as raw:
            raw.execute("ALTER TABLE media RENAME TO lost")
        answer = send(process.tablets_port, "GET", f"/v1/media/{'0' * 64}")
    finally:
        process.stop()
    lines = map(json.loads, (process.folders[1] / "server.log").read_text(encoding="utf-8").splitlines())
    [failed] = [line for line in lines if line["event"] == "failed"]
    assert answer.status == 500
    assert began * 1000 - 1 < failed["at"] < time.time() * 1000 + 1
    assert re.fullmatch(r"[a-z_]+\.py:[0-9]+", failed["place"])
    assert (failed["error"], failed["request"]) == ("OperationalError", answer.headers["Chaski-Request-Id"])


def test_the_log_contains_the_route_template_and_never_sent_data(
    field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = app.tablet_api(field.services).test_client()
    client.get(f"/v1/keys/{CANARY}?q={CANARY}", headers={"User-Agent": CANARY})
    client.post("/v1/sync", data=CANARY, headers={"Chaski-Signature": CANARY})
    lines = [flask_app.JsonFormatter().format(record) for record in caplog.records]
    seen = [json.loads(line) for line in lines]
    assert [(line["method"], line["route"], line["status"]) for line in seen if line["event"] == "request"] == [
        ("GET", "/v1/keys/<sha256>", 404),
        ("POST", "/v1/sync", 400),
    ]
    assert CANARY not in "".join(lines)


def send(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_both_apis_reject_a_body_beyond_the_limit(field: Field) -> None:
    with run_servers(field) as ports:
        for port, path in zip(ports, ("/v1/sync", "/v1/session"), strict=True):
            answer = send(
                port,
                "POST",
                path,
                b"x" * (MAX_BODY_BYTES + 1),
                **{"Chaski-Request": "1", "Content-Type": "application/json"},
            )
            document = check(413, answer.headers["Content-Type"], answer.body)  # type: ignore[attr-defined]
            assert document["code"] == "http.too_large"
