"""Staff sign-in (SPEC 5.9): the server proves itself first, and a relay gets no session, no passphrase, no `auth`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import World, derive
from server.database.connection import Database
from server.flows.people import accounts
from server.flows.people import sign_in as server_sign_in
from server.problems import Problem
from support.clients import InterceptingProxy, Office, PassingAnswer, open_office
from support.intake import Field
from support.signing_in import GUARD, answer_challenge
from sync.documents import sign_in
from sync.documents.sign_in import LIFE
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange.staff_session import StaffSession
from sync.exchange.transport import RefusedError, Transport
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u, unb64u

LOGIN, HOME = "proteccion-17", "192.0.2.1"
OPENS = ("POST /v1/session", "GET /v1/me")


@contextmanager
def relay(office: Office) -> Iterator[InterceptingProxy]:
    """A machine between a person and the staff API, which she dials in its place."""
    with serving(InterceptingProxy(int(office.people_url.rpartition(":")[2]))) as line:
        yield line


@contextmanager
def serving(line: InterceptingProxy) -> Iterator[InterceptingProxy]:
    thread = threading.Thread(target=line.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield line
    finally:
        line.server.shutdown()
        thread.join()
        line.server.server_close()


def signs_in(office: Office, url: str, code: str, *, pin: str = "") -> None:
    """Expect that a sign-in with the right passphrase is refused."""
    with pytest.raises(SyncError) as refused:
        StaffSession.sign_in(url, LOGIN, office.field.world.passphrase(LOGIN), pin=pin or office.pin)
    assert refused.value.code == code


def test_a_relay_that_passes_everything_on_gets_no_session_and_no_proof(office: Office) -> None:
    with relay(office) as line:
        signs_in(office, line.url, "session.wrong_address")
    assert line.asked == ["GET /v1/trust", "POST /v1/session/challenge"]
    assert office.field.rows("select * from sessions") == []


def test_a_relay_that_has_the_server_sign_for_its_own_address_is_found_out(office: Office) -> None:
    def ask_truly(change: PassingAnswer) -> None:
        if change.path.endswith("challenge"):
            with Relayed(office.people_url) as server:
                change.status, change.headers = 200, {}
                change.put(server.challenge({**asked, "url": office.people_url}))

    asked = {"login": LOGIN, "nonce": ""}
    with relay(office) as line:
        line.answer = ask_truly
        line.heard = lambda body: asked.update(json.loads(body)) if b"nonce" in body else None
        signs_in(office, line.url, "session.wrong_address")
    assert asked["nonce"]
    assert not set(OPENS) & set(line.asked)


class Relayed:
    """The relay's own connection to the true server."""

    def __init__(self, url: str) -> None:
        self.transport = Transport(url)

    def __enter__(self) -> Relayed:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    def challenge(self, asked: dict[str, str]) -> bytes:
        headers = {**GUARD, "Content-Type": "application/json"}
        return self.transport.send("POST", "/v1/session/challenge", json.dumps(asked).encode(), headers).body


def test_a_server_with_another_key_is_sent_nothing_that_opens_a_session(office: Office) -> None:
    stranger = SigningKey.generate()

    def forge(change: PassingAnswer) -> None:
        if change.path.endswith("challenge"):
            now = office.field.now
            keys = replace(office.field.services.keys, signing=stranger)
            forged = server_sign_in.issue_challenge(
                office.field.services.db, keys, login=LOGIN, nonce=asked["nonce"], url=line.url, now=now
            )
            change.status, change.headers = 200, {}
            change.put(forged.to_bytes())

    asked = {"nonce": ""}
    with relay(office) as line:
        line.answer = forge
        line.heard = lambda body: asked.update(json.loads(body)) if b"nonce" in body else None
        signs_in(office, line.url, "signed.too_few")
    assert not set(OPENS) & set(line.asked)


def test_under_another_pin_a_server_learns_not_even_the_login(office: Office) -> None:
    with relay(office) as line:
        signs_in(office, line.url, "trust.wrong_pin", pin="0" * 64)
    assert line.asked == ["GET /v1/trust", "GET /v1/trusts"]


def test_a_recorded_challenge_proves_nothing_to_the_next_sign_in(office: Office) -> None:
    with Relayed(office.people_url) as server:
        recorded = server.challenge({"login": LOGIN, "nonce": sign_in.new_nonce(), "url": office.people_url})

    def repeat(change: PassingAnswer) -> None:
        if change.path.endswith("challenge"):
            change.status, change.headers = 200, {}
            change.put(recorded)

    with relay(office) as line:
        line.answer = repeat
        signs_in(office, line.url, "session.wrong_challenge")
    assert not set(OPENS) & set(line.asked)


def test_what_a_person_sends_to_sign_in_holds_neither_auth_nor_passphrase(office: Office) -> None:
    sent: list[bytes] = []
    phrase = office.field.world.passphrase(LOGIN)
    with Relayed(office.people_url) as server:
        answer, derived = answer_challenge(lambda asked: server.challenge(asked), office.people_url, LOGIN, phrase)
        sent.append(json.dumps(answer).encode())
        server.transport.send("POST", "/v1/session", sent[0], {**GUARD, "Content-Type": "application/json"})
    for secret in (derived.auth, derived.lock):
        assert b64u(secret).encode() not in sent[0]
    assert phrase.encode() not in sent[0]
    assert len(office.field.rows("select * from sessions")) == 1


def test_a_recorded_sign_in_opens_no_second_session(world: World, field: Field) -> None:
    db, keys, now = field.services.db, field.services.keys, field.now

    def ask(asked: dict[str, str]) -> bytes:
        return server_sign_in.issue_challenge(db, keys, **asked, now=now).to_bytes()

    answer, _ = answer_challenge(ask, "http://127.0.0.1:80", LOGIN, world.passphrase(LOGIN))
    said = {"challenge": answer["challenge"].encode(), "proof": answer["proof"], "address": HOME}
    first = server_sign_in.open_session(db, keys, **said, now=now)
    with pytest.raises(Problem, match=r"session\.challenge_used"):
        server_sign_in.open_session(db, keys, **said, now=now + LIFE)
    assert len(field.rows("select * from sessions")) == 1
    accounts.sign_out(db, first.token, now=now)
    with pytest.raises(Problem, match=r"session\.challenge_used"):
        server_sign_in.open_session(db, keys, **said, now=now)
    assert field.rows("select * from sessions") == []
    for late in (now + LIFE + 1, now - 1):
        with pytest.raises(SyncError, match=r"session\.challenge_expired"):
            server_sign_in.open_session(db, keys, **said, now=late)


def test_a_challenge_that_the_server_did_not_sign_opens_nothing(world: World, field: Field) -> None:
    db, keys, now = field.services.db, field.services.keys, field.now
    own = replace(keys, signing=SigningKey.generate())

    def ask(asked: dict[str, str]) -> bytes:
        return server_sign_in.issue_challenge(db, own, **asked, now=now).to_bytes()

    answer, _ = answer_challenge(ask, "http://127.0.0.1:80", LOGIN, world.passphrase(LOGIN))
    with pytest.raises(SyncError, match=r"signed\.too_few"):
        server_sign_in.open_session(
            db, keys, challenge=answer["challenge"].encode(), proof=answer["proof"], address=HOME, now=now
        )


def test_a_proof_for_one_challenge_does_not_answer_another(world: World, world_db: Database, field: Field) -> None:
    db, keys, now = field.services.db, field.services.keys, field.now
    issued: list[Document] = [
        server_sign_in.issue_challenge(
            db, keys, login=LOGIN, nonce=sign_in.new_nonce(), url="http://127.0.0.1:80", now=now
        )
        for _ in range(2)
    ]
    auth = derive(world.passphrase(LOGIN), accounts.get_salt(db, LOGIN)).auth
    salt = unb64u(issued[0].content["auth_salt"])
    proof = sign_in.prove(auth, issued[0], salt)
    with pytest.raises(Problem, match=r"session\.refused"):
        server_sign_in.open_session(db, keys, challenge=issued[1].to_bytes(), proof=proof, address=HOME, now=now)
    opened = server_sign_in.open_session(db, keys, challenge=issued[0].to_bytes(), proof=proof, address=HOME, now=now)
    assert opened.person.login == LOGIN


def test_a_login_without_an_account_gets_a_challenge_of_the_same_form_each_time(field: Field) -> None:
    db, keys = field.services.db, field.services.keys
    said = [
        server_sign_in.issue_challenge(db, keys, login=login, nonce="A" * 43, url="x", now=field.now).content
        for login in (LOGIN, "nadie", "nadie", "")
    ]
    assert said[1] == said[2]
    assert len({each["auth_salt"] for each in said}) == len({each["salt"] for each in said}) == 3
    assert {(len(each["salt"]), len(each["auth_salt"])) for each in said} == {(22, 22)}


@pytest.mark.parametrize(
    ("own", "dialled", "allowed"),
    [
        ((), "http://127.0.0.1:80", True),
        ((), "http://localhost", True),
        ((), "http://[::1]:80", False),
        ((), "http://127.9.9.9", False),
        ((), "http://127.0.0.1:8081", False),
        ((), "https://127.0.0.1:80", False),
        ((), "http://192.0.2.7", False),
        ((), "http://chaski.example", False),
        ((), "http://127.0.0.1.example", False),
        (("https://chaski.example:443",), "https://chaski.example", True),
        (("https://chaski.example:443",), "https://CHASKI.example.", True),
        (("https://chaski.example:443",), "https://chaski.example:8443", False),
        (("https://chaski.example:443",), "http://chaski.example:443", False),
        (("https://chaski.example:443",), "http://localhost", False),
        (("https://chaski.example:443",), "https://chaski.example@evil.example", False),
        (("https://a.example:443", "https://b.example:8443"), "https://b.example:8443", True),
    ],
)
def test_the_server_proves_itself_for_its_own_addresses_and_no_other(
    field: Field, own: tuple[str, ...], dialled: str, allowed: bool
) -> None:
    field.services = replace(field.services, config=replace(field.services.config, people_url=own))
    answer = field.people.test_client().post(
        "/v1/session/challenge", json={"login": LOGIN, "nonce": "A" * 43, "url": dialled}, headers=GUARD
    )
    if allowed:
        assert answer.status_code == 200
        assert Document.parse(answer.data).content["nonce"] == "A" * 43
    else:
        assert (answer.status_code, answer.json["code"]) == (403, "session.wrong_address")  # type: ignore[index]


PLAIN = [
    "http://chaski.example",
    "http://192.0.2.7:8081",
    "http://127.0.0.1.example:8081",
    "http://localhost.example",
    "http://0.0.0.0:8081",
    "http://[2001:db8::1]:8081",
    "http://[::ffff:127.0.0.1]:8081",
    "http://127.1:8081",
    "http://2130706433:8081",
]


@pytest.mark.parametrize("url", PLAIN)
def test_staff_do_not_sign_in_over_plain_http_to_another_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("a name was looked up"))
    with pytest.raises(SyncError, match=r"transport\.plain_http"):
        StaffSession.sign_in(url, LOGIN, "uno dos tres", pin="0" * 64)


def test_staff_do_not_sign_in_over_plain_http_through_a_proxy() -> None:
    with pytest.raises(SyncError, match=r"transport\.plain_http"):
        StaffSession.sign_in("http://127.0.0.1:9", LOGIN, "uno dos tres", pin="0" * 64, proxy="http://127.0.0.1:9")


def test_a_redirect_takes_the_session_to_no_other_server(world: World, tmp_path: Path) -> None:
    line, other = InterceptingProxy(), InterceptingProxy()
    with open_office(world, tmp_path, people_url=(line.url,)) as office, serving(line), serving(other):
        line.port = other.port = int(office.people_url.rpartition(":")[2])

        def redirect(change: PassingAnswer) -> None:
            if change.path == "/v1/queues":
                change.status, change.headers["Location"] = 307, f"{other.url}/v1/queues"

        line.answer = redirect
        staff = StaffSession.sign_in(line.url, LOGIN, world.passphrase(LOGIN), pin=office.pin)
        with staff, pytest.raises(RefusedError) as refused:
            staff.get("/v1/queues")
    assert refused.value.status == 307
    assert other.asked == []


def test_a_token_is_sent_after_the_server_proved_itself_and_to_it_alone(world: World, office: Office) -> None:
    with StaffSession.sign_in(office.people_url, "autora", world.passphrase("autora"), pin=office.pin) as staff:
        token = staff.post("/v1/tokens", json={"label": "ci", "roles": ["author"], "days": 1})["token"]
    with StaffSession.with_token(office.people_url, token, pin=office.pin) as program:
        assert isinstance(program.get("/v1/versions"), list)
        with pytest.raises(RefusedError, match=r"session\.missing"):
            program.get("/v1/queues")
    heard: list[bytes] = []
    for pin, code in ((office.pin, "session.wrong_address"), ("0" * 64, "trust.wrong_pin")):
        with relay(office) as line:
            line.heads = heard.append
            with pytest.raises(SyncError) as refused:
                StaffSession.with_token(line.url, token, pin=pin)
        assert refused.value.code == code
    assert heard
    assert token.encode() not in b"".join(heard)
    with pytest.raises(SyncError, match=r"transport\.plain_http"):
        StaffSession.with_token("http://chaski.example", token, pin=office.pin)
