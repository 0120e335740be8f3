"""Unusual request heads, at both APIs of a real server: paths, numbers, ranges and first lines.

The server never redirects, it answers each malformed number, and its log contains only requests.
"""

from __future__ import annotations

import json
import random
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from conftest import FOUNDED, World
from server import app
from server.store import media
from support.hostile_server import ServerUnderTest, connect, run_server, send_bytes
from support.intake import open_field
from support.signing_in import answer_challenge

MANY = "9" * 5000
RECORDING = media.Recording("5" * 64, "audio/ogg", bytes(range(256)))
LENGTHS = {
    "a length": "27",
    "none": "0",
    "zeros in front": "0027",
    "5,000 digits": MANY,
    "4,300 digits": "9" * 4300,
    "more than 64 bits": "18446744073709551616",
    "5,000 zeros": "0" * 5000,
    "negative": "-1",
    "negative and long": f"-{MANY}",
    "plus": "+5",
    "plus and long": f"+{MANY}",
    "underscore": "1_0",
    "underscores and long": "_".join(MANY),
    "blank inside": "1 0",
    "Arabic digits": "\u0665".encode().decode("latin-1"),
    "superscript": "\u00b2",
    "no-break space": "\u00a05",
    "vertical tab": "5\x0b",
    "hexadecimal": "0x10",
    "exponent": "1e3",
    "a fraction": "1.0",
    "two": "5, 5",
    "two long ones": f"{MANY}, {MANY}",
    "nothing": "",
}
GOOD = {"a length", "none", "zeros in front", "5,000 zeros"}
TOO_LARGE = {"5,000 digits", "4,300 digits", "more than 64 bits", "two long ones"}


@pytest.fixture(scope="module")
def host(founded_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    """One server for all tests of this module. At the end its log contains only requests, each with its time."""
    folder = tmp_path_factory.mktemp("heads")
    copied = World(folder / "server", folder / "people")
    shutil.copytree(founded_world.data, copied.data)
    shutil.copytree(founded_world.people, copied.people)
    field = open_field(copied)
    with field.services.db.write() as w:
        media.put_recording(w, RECORDING)
    with run_server(field) as running:
        yield running
        written = Path(running.server.folders[1] / "server.log").read_text("utf-8")
        lines = [json.loads(line) for line in written.splitlines()]
        assert {line["event"] for line in lines} <= {"serving", "request", "refused"}
        assert all(line["at"] > FOUNDED // 2 for line in lines)
    field.services.db.close()


@pytest.fixture(params=["tablets", "people"])
def port(host: ServerUnderTest, request: pytest.FixtureRequest) -> int:
    """The port of each API."""
    return host.port if request.param == "tablets" else host.server.people_port


@pytest.fixture(scope="module")
def cookies(host: ServerUnderTest) -> Iterator[str]:
    """The session cookie of a person who may read the audit chain."""
    phrase = host.field.world.passphrase("publicacion")
    address = f"{host.server.people_url}/v1/session"
    with requests.Session() as session:
        session.headers["Chaski-Request"] = "1"

        def ask(asked: dict[str, str]) -> bytes:
            return session.post(f"{address}/challenge", json=asked).content

        answer, _ = answer_challenge(ask, address, "publicacion", phrase)
        session.post(address, json=answer).raise_for_status()
        yield "; ".join(f"{each.name}={each.value}" for each in session.cookies)


def head(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


# Addresses


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("//v1//trust", "/v1//trust", "//v1/trust", "///v1///trust", "/v1/trust/", "/v1/trust//", "/v1//sync"),
        *("/v1/sync/", "/v1//session//challenge?login=ana", "/v1/session/", "/v1//me", "/v1", "/v1/", "/v1//"),
        *("/v1/%2Ftrust", "/%2Fv1%2F%2Ftrust", "/v1/%2ftrust%2f", "/%2F%2F", "/v1%2F%2Fsync", "/v1/%252Ftrust"),
        *("/", "//", "///", "//openapi.json", "/openapi.json/", "/openapi.json//", "/healthz/", "//healthz//"),
        *("//other.example", "//other.example/", "//other.example//v1//trust", "/\\other.example/v1/trust"),
        *("http://other.example", "http://other.example//v1//trust", "http://other.example?x", "?x", "#", "*"),
        *("/v1/enrolments/", "/v1//enrolments", "/v1/enrolments//x", "/v1/./trust", "/v1/../v1/trust", "/static/"),
    ],
)
def test_no_path_redirects_to_another(port: int, method: str, path: str) -> None:
    with connect(port) as line:
        line.sendall(head(f"{method} {path} HTTP/1.1", "Host: other.example", "Content-Length: 0", "Connection: close"))
        said = b"".join(iter(lambda: line.recv(65536), b""))
    status = int(said.split(b" ", 2)[1])
    assert not 300 <= status < 400, said
    assert status < 500, said
    assert b"location" not in said.partition(b"\r\n\r\n")[0].lower()
    assert b"other.example" not in said


@pytest.mark.parametrize("path", ["/v1//trust", "//v1//trust", "/v1/%2Ftrust", "/v1/trust/", "http://other.example/x"])
def test_another_spelling_of_a_path_is_not_found(host: ServerUnderTest, path: str) -> None:
    answer = send_bytes(host.port, head(f"GET {path} HTTP/1.1", "Host: other.example"))
    assert (answer.status, answer.code) == (404, "http.not_found")


@pytest.mark.parametrize("path", ["//v1/trust", "///v1/trust", "/%2Fv1/trust", "http://other.example//v1/trust"])
def test_a_path_with_more_slashes_before_it_is_not_found(host: ServerUnderTest, path: str) -> None:
    answer = send_bytes(host.port, head(f"GET {path} HTTP/1.1", "Host: other.example"))
    assert (answer.status, answer.code) == (404, "http.not_found")


@pytest.mark.parametrize("create_api", [app.tablet_api, app.staff_api])
def test_no_route_ends_with_a_slash_that_would_cause_redirects(world: World, create_api: object) -> None:
    services = app.open_services(world.config)
    rules = create_api(services).url_map  # type: ignore[operator]
    assert [rule.rule for rule in rules.iter_rules() if rule.rule.endswith("/")] == ["/"]
    assert not any(rule.redirect_to or rule.merge_slashes for rule in rules.iter_rules())
    services.db.close()


def test_a_header_with_an_underscore_does_not_stand_for_the_one_with_a_hyphen(host: ServerUnderTest) -> None:
    codes = [
        send_bytes(
            host.server.people_port,
            head(
                "POST /v1/session/challenge HTTP/1.1",
                f"{name}: 1",
                "Content-Type: application/json",
                "Content-Length: 2",
            )
            + b"{}",
        ).code
        for name in ("Chaski-Request", "Chaski_Request", "X")
    ]
    assert codes[1] == codes[2] != codes[0]


# Numbers


@pytest.mark.parametrize("name", LENGTHS)
def test_an_invalid_or_too_large_content_length_is_rejected(port: int, name: str) -> None:
    with connect(port) as line:
        line.sendall(head("POST /v1/sync HTTP/1.1", f"Content-Length: {LENGTHS[name]}", "Connection: close"))
        line.sendall(b"x" * (int(LENGTHS[name][-4:]) if name in GOOD else 0))
        said = b"".join(iter(lambda: line.recv(65536), b""))
    top, _, body = said.partition(b"\r\n\r\n")
    status, code = int(top.split(b" ", 2)[1]), json.loads(body)["code"]
    if name in GOOD:
        assert code not in ("http.bad_request", "http.too_large"), said
    else:
        expected = (413, "http.too_large") if name in TOO_LARGE else (400, "http.bad_request")
        assert (status, code) == expected


@pytest.mark.parametrize("size", [MANY, f"-{MANY}", "+5", "1_0", "\u00b2", "", "f" * 5000, f"5;{MANY}"])
def test_a_chunked_body_is_rejected_with_any_size_of_its_first_chunk(port: int, size: str) -> None:
    answer = send_bytes(port, head("POST /v1/sync HTTP/1.1", "Transfer-Encoding: chunked", "", size, "x"))
    assert (answer.status, answer.code) == (411, "http.length_required")


@pytest.mark.parametrize(
    "asked",
    [
        *(f"bytes={MANY}-", f"bytes=0-{MANY}x", f"bytes=-{MANY}x", "bytes=1_0-", "bytes=+1-", "bytes=\u00b2-"),
        *("bytes=1-1_0", f"bytes={MANY}-{MANY}", f"bytes={'9' * 4300}-", "bytes=\u0661-".encode().decode("latin-1")),
    ],
)
def test_an_invalid_range_is_rejected(host: ServerUnderTest, asked: str) -> None:
    answer = send_bytes(host.port, head(f"GET /v1/media/{RECORDING.sha256} HTTP/1.1", f"Range: {asked}"))
    assert (answer.status, answer.code) == (416, "http.range_not_satisfiable")


@pytest.mark.parametrize(
    "asked", [f"bytes=0-{'9' * 4300}", f"bytes=-{'9' * 4300}", f"bytes=0-{MANY}", f"bytes=-{MANY}"]
)
def test_a_range_far_beyond_the_end_returns_the_rest_or_is_rejected(host: ServerUnderTest, asked: str) -> None:
    answer = send_bytes(host.port, head(f"GET /v1/media/{RECORDING.sha256} HTTP/1.1", f"Range: {asked}"))
    assert answer.status in (206, 416)
    assert answer.status == 416 or answer.body == RECORDING.body


@pytest.mark.parametrize("number", [MANY, "-1", "+1", "1_0", "%D9%A1", "%C2%B2", "1.0", "9007199254740992", "%201"])
def test_a_number_in_a_path_is_ascii_digits_or_the_path_is_not_found(host: ServerUnderTest, number: str) -> None:
    for path in ("/v1/work-list/{}", "/v1/versions/{}", "/v1/rollouts/{}"):
        answer = send_bytes(host.server.people_port, head(f"GET {path.format(number)} HTTP/1.1", "Chaski-Request: 1"))
        assert (answer.status, answer.code) == (404, "http.not_found"), path


@pytest.mark.parametrize("number", [MANY, f"-{MANY}", "+1", "1_0", "%D9%A1", "%201", "1.0", "1e1", "0x1", "", "NaN"])
def test_a_number_in_a_query_is_ascii_digits_or_rejected(host: ServerUnderTest, cookies: str, number: str) -> None:
    asked = head(f"GET /v1/audit?after={number} HTTP/1.1", f"Cookie: {cookies}", "Chaski-Request: 1")
    answer = send_bytes(host.server.people_port, asked)
    assert (answer.status, answer.code) == (422, "http.invalid")
    assert "after" in json.loads(answer.body)["fields"]["query"]


@pytest.mark.parametrize("name", ["Accept-Language", "Accept-Encoding", "If-Modified-Since", "If-Range", "Cookie"])
@pytest.mark.parametrize("value", [MANY, f"en;q={MANY}", f"en;q=-{MANY}", "en;q=1_0", "en;q=\u00b2", f'W/"{MANY}"'])
def test_a_number_in_any_other_header_causes_no_failure(port: int, name: str, value: str) -> None:
    assert send_bytes(port, head("GET /openapi.json HTTP/1.1", f"{name}: {value}")).status == 200
    assert send_bytes(port, head("GET /nowhere HTTP/1.1", f"{name}: {value}")).code == "http.not_found"


@pytest.mark.parametrize(
    "first",
    [
        "GET http://[ HTTP/1.1",
        "GET http://other.example HTTP/1.1",
        "GET http://[::1/ HTTP/1.1",
        "GET http://]/v1/trust HTTP/1.1",
        f"GET / HTTP/{MANY}",
    ],
)
def test_an_unreadable_first_line_is_rejected(port: int, first: str) -> None:
    answer = send_bytes(port, head(first, "Host: other.example"))
    assert (answer.status, answer.code) == (400, "http.bad_request")


PIECES = (
    *(
        "GET",
        "POST",
        " ",
        "/",
        "//",
        "http://",
        "[",
        "]",
        ":",
        "HTTP/1.1",
        "HTTP/1.0",
        "\r\n",
        "\n",
        "\t",
        MANY,
        "-",
        ",",
    ),
    *("Content-Length", "Transfer-Encoding", "chunked", "Expect", "100-continue", "Range", "bytes=", ";q=", "%", "%ff"),
    *(
        "Accept-Language",
        "Host",
        "\xff",
        "\x00",
        "?",
        "#",
        "Cookie",
        "=",
        '"',
        "/v1/trust",
        "/v1/sync",
        "@",
        "Connection",
    ),
)


@pytest.mark.parametrize("seed", range(4))
def test_a_client_that_disconnects_after_any_head_leaves_nothing_in_the_log(port: int, seed: int) -> None:
    draws = random.Random(seed)
    for _ in range(150):
        lines = ["".join(draws.choices(PIECES, k=draws.randint(1, 5))) for _ in range(draws.randint(1, 4))]
        first = draws.choice(("GET /v1/trust HTTP/1.1", f"GET http://{lines[0]} HTTP/1.1", f"{lines[0]} HTTP/1.1"))
        with connect(port) as line, suppress(OSError):
            line.sendall(head(first, *(f"{draws.choice(PIECES)}: {each}" for each in lines[1:])))
            line.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("first", ["GET /v1/trust HTTP/1.1", "POST /v1/sync HTTP/1.1"])
def test_a_client_that_resets_after_a_whole_request_leaves_no_error(port: int, first: str) -> None:
    for _ in range(300):
        with connect(port) as line, suppress(OSError):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.sendall(head(first, "Content-Length: 0"))
