"""Who proves herself is served, whoever else guesses from the same address, and guessing is slowed in every family."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from server.api.client_address import MAX_FAILURES
from server.app import staff_api, tablet_api
from server.client_network import network_of, networks_of
from server.flows.people import accounts
from server.flows.people.wrong_guesses import FAILURES_PER_ADDRESS, FAILURES_PER_LOGIN, MOST_COUNTED
from server.flows.trust import documents, enrolment
from server.store import sessions
from support.intake import Field
from support.signing_in import GUARD
from sync.documents.enrolment import write_enrolment_request
from sync.documents.sign_in import new_nonce, prove
from sync.documents.signed import Document
from sync.exchange.messages import SIGNATURE_HEADER
from sync.keys.key_pairs import SigningKey
from sync.keys.passphrases import derive_keys
from sync.wire.encoding import unb64u

ADDRESSES: dict[str, Callable[[int], str]] = {
    "one IPv4 address": lambda number: "203.0.113.9",
    "one IPv6 network": lambda number: f"2001:db8:1:2:{number:x}::{number + 1:x}",
    "IPv4 written as IPv6": lambda number: "::ffff:203.0.113.9" if number % 2 else "203.0.113.9",
}


def sign_in(http: FlaskClient, login: str, auth: bytes, address: str) -> tuple[int, int]:
    """Return the status, and how many seconds the answer asks to wait."""
    sent = {"headers": GUARD, "environ_base": {"REMOTE_ADDR": address}}
    asked = {"login": login, "nonce": new_nonce(), "url": "http://localhost"}
    challenge = Document.parse(http.post("/v1/session/challenge", json=asked, **sent).data)
    proof = prove(auth, challenge, unb64u(challenge.content["auth_salt"]))
    answer = http.post("/v1/session", json={"challenge": challenge.to_bytes().decode(), "proof": proof}, **sent)
    return answer.status_code, int(answer.headers.get("Retry-After", 0))


def right(field: Field, login: str) -> bytes:
    return derive_keys(field.world.passphrase(login), accounts.get_salt(field.services.db, login)).auth


@pytest.mark.parametrize("family", ADDRESSES)
@pytest.mark.parametrize("own", [True, False])
def test_the_right_words_sign_in_from_an_address_that_others_guess_from(field: Field, family: str, own: bool) -> None:
    http, address = staff_api(field.services).test_client(), ADDRESSES[family]
    for number in range(2 * FAILURES_PER_ADDRESS):
        sign_in(http, "registro" if own else f"nadie{number}", b"x" * 32, address(number))
    assert sign_in(http, "registro", b"y" * 32, address(99))[0] == 429
    assert sign_in(http, "registro", right(field, "registro"), address(99))[0] == 201
    assert sign_in(http, "autora", right(field, "autora"), address(98))[0] == 201


@pytest.mark.parametrize("family", ADDRESSES)
def test_guesses_of_one_login_wait_longer_and_longer(field: Field, family: str) -> None:
    http, address = staff_api(field.services).test_client(), ADDRESSES[family]
    told = [sign_in(http, "registro", b"x" * 32, address(number)) for number in range(20)]
    assert told[:FAILURES_PER_LOGIN] == [(401, 0)] * FAILURES_PER_LOGIN
    waits = [wait for status, wait in told[FAILURES_PER_LOGIN:] if status == 429]
    assert waits[:4] == [1, 2, 4, 8]
    assert waits == sorted(waits)
    assert waits[-1] == 900
    assert sign_in(http, "registro", b"x" * 32, "2001:db8:9:9::1") == (401, 0), "another network is not slowed"


def test_a_flood_of_guesses_fills_no_table(field: Field) -> None:
    http = staff_api(field.services).test_client()
    for number in range(MOST_COUNTED + 30):
        sign_in(http, f"nadie{number}", b"x" * 32, "203.0.113.9")
    assert field.rows("select count(*) from sign_in_failures") == [(MOST_COUNTED,)]


def test_guesses_of_one_login_from_many_networks_of_one_site_are_slowed(field: Field) -> None:
    http = staff_api(field.services).test_client()
    told = [sign_in(http, "registro", b"x" * 32, f"2001:db8:1:{number:x}::1") for number in range(20)]
    assert [status for status, _ in told] == [401] * FAILURES_PER_LOGIN + [429] * (20 - FAILURES_PER_LOGIN)
    assert told[-1][1] == 900
    assert sign_in(http, "registro", right(field, "registro"), "2001:db8:1:ffff::1")[0] == 201
    assert sign_in(http, "registro", b"x" * 32, "2001:db8:2:1::1")[0] == 401, "another site is not slowed"


@pytest.mark.parametrize("one_login", [True, False])
def test_a_flood_of_guesses_from_many_networks_fills_no_table(
    field: Field, monkeypatch: pytest.MonkeyPatch, one_login: bool
) -> None:
    http = staff_api(field.services).test_client()
    for number in range(MOST_COUNTED + 30):
        sign_in(http, "registro" if one_login else f"nadie{number}", b"x" * 32, f"2001:db8:1:{number:x}::1")
    assert field.rows("select count(*) from sign_in_failures") == [(2 * MOST_COUNTED,)], "of one site"
    monkeypatch.setattr(sessions, "MOST_FAILURES", 50)
    for number in range(60):
        sign_in(http, "registro" if one_login else f"nadie{number}", b"x" * 32, f"2001:db8:{number + 7:x}::1")
    assert field.rows("select count(*) from sign_in_failures") == [(50,)], "of the world"
    assert sign_in(http, "registro", right(field, "registro"), "2001:db8:9::1")[0] == 201


def test_networks_of_addresses() -> None:
    assert networks_of("2001:db8:1:2:3:4:5:6") == ("2001:db8:1:2::/64", "2001:db8:1::/48")
    assert networks_of("::ffff:192.0.2.1") == networks_of("192.0.2.1:443") == ("192.0.2.1",)
    assert network_of("[2001:db8:1:2::7]:443") == network_of("[2001:db8:1:2::8]") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::") != network_of("2001:db8:1:3::")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1" != network_of("192.0.2.2")
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("somewhere") == "somewhere"


@pytest.mark.parametrize("family", ADDRESSES)
def test_junk_from_the_same_address_keeps_no_new_and_no_certified_tablet_out(field: Field, family: str) -> None:
    http, address = tablet_api(field.services).test_client(), ADDRESSES[family]

    def send(method: str, path: str, body: bytes, number: int = 0, **headers: str) -> int:
        environ = {"REMOTE_ADDR": address(number)}
        return http.open(path, method=method, data=body, headers=headers, environ_base=environ).status_code

    db = field.services.db
    invited = enrolment.create_invitation(
        db, documents.registry_in_force(db.read()), label="l", region="17", actor="x", now=field.now, minutes=60
    )
    known, forgotten = field.tablet(), field.tablet()
    certificate = field.certificate(forgotten)
    with db.write() as w:
        w.execute("delete from devices where dev = ?", [forgotten.key.kid])
    for number in range(MAX_FAILURES):
        assert send("POST", "/v1/enrolments", b"junk", number) in (400, 422)
    guess = write_enrolment_request("inventado", SigningKey.generate()).to_bytes()
    assert send("POST", "/v1/enrolments", guess) == 429, "a guess does not learn why it failed"
    assert send("PUT", f"/v1/enrolments/{forgotten.key.kid}", b"junk") == 429
    assert send("PUT", f"/v1/enrolments/{forgotten.key.kid}", certificate) == 200
    new = SigningKey.generate()
    assert send("POST", "/v1/enrolments", write_enrolment_request(invited.code, new).to_bytes()) == 201
    for number in range(2 * MAX_FAILURES):
        assert send("POST", "/v1/sync", b"junk", number, **{SIGNATURE_HEADER: f"{known.key.kid}.junk"}) == 403
    message = field.message(known, field.envelope(known))
    assert send("POST", "/v1/sync", message.body, **{SIGNATURE_HEADER: message.signature}) == 200
