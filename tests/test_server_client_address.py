"""The client address behind proxies, and the limit on failed enrolments per address. Sync is never limited."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from conftest import World
from server import app
from server.api.client_address import (
    MAX_ADDRESSES,
    MAX_FAILURES,
    WINDOW_SECONDS,
    AddressFailures,
    find_client_address,
)
from server.flows.people.wrong_guesses import FAILURES_PER_LOGIN
from support.intake import open_field
from support.signing_in import answer_challenge
from sync.documents import enrolment
from sync.exchange.messages import SIGNATURE_HEADER
from sync.keys.key_pairs import SigningKey

OURS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # A client that connects without a proxy can forge the header.
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("2001:db8::1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "somewhere", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9,,", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2:80", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8:5::9]:4711", "2001:db8:5::9"),
        ("10.0.0.1", "[2001:db8:5::9]", "2001:db8:5::9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, ::ffff:203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8:5::9]evil", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:evil", "10.0.0.1"),
    ],
)
def test_the_client_address_is_the_nearest_one_that_is_not_a_trusted_proxy(
    peer: str, forwarded: str, counted: str
) -> None:
    assert find_client_address(peer, forwarded, OURS) == counted


def test_an_address_that_guesses_codes_is_blocked_and_a_certified_tablet_is_not(world: World) -> None:
    field = open_field(world)
    proxied = replace(field.services.config, proxies=OURS)
    client = app.tablet_api(replace(field.services, config=proxied)).test_client()
    guess = enrolment.write_enrolment_request("inventado", SigningKey.generate()).to_bytes()

    def enrol(address: str) -> tuple[int, str | None]:
        headers = {"X-Forwarded-For": address}
        answer = client.post("/v1/enrolments", data=guess, headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.1"})
        return answer.status_code, answer.headers.get("Retry-After")

    tablet = field.tablet()
    assert [enrol("203.0.113.9")[0] for _ in range(MAX_FAILURES)] == [403] * MAX_FAILURES
    assert enrol("203.0.113.9") == (429, "60")
    assert enrol("203.0.113.8")[0] == 403
    message = field.message(tablet, field.envelope(tablet))
    headers = {SIGNATURE_HEADER: message.signature, "X-Forwarded-For": "203.0.113.9"}
    answer = client.post("/v1/sync", data=message.body, headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.1"})
    assert answer.status_code == 200
    field.services.db.close()


def test_failed_sign_ins_count_for_the_address_behind_the_proxy(world: World) -> None:
    field = open_field(world)
    client = app.staff_api(replace(field.services, config=replace(field.services.config, proxies=OURS))).test_client()

    def ask(asked: dict[str, str]) -> bytes:
        return client.post("/v1/session/challenge", json=asked, headers={"Chaski-Request": "1"}).data

    wrong, _ = answer_challenge(ask, "http://localhost", "registro", "uno dos tres")

    def sign_in(address: str) -> int:
        answer = client.post(
            "/v1/session",
            json=wrong,
            headers={"Chaski-Request": "1", "X-Forwarded-For": address},
            environ_base={"REMOTE_ADDR": "10.0.0.1"},
        )
        return int(answer.status_code)

    assert [sign_in("203.0.113.9") for _ in range(FAILURES_PER_LOGIN)] == [401] * FAILURES_PER_LOGIN
    assert sign_in("203.0.113.9") == 429
    assert sign_in("203.0.113.8") == 401
    field.services.db.close()


def test_failures_expire_after_their_window_and_their_number_is_bounded() -> None:
    now = 0.0
    refusals = AddressFailures(lambda: now)
    for _ in range(MAX_FAILURES):
        refusals.count("2001:db8:1:2::1")
    assert refusals.is_blocked("2001:db8:1:2:ffff::9")  # The same /64 network.
    assert not refusals.is_blocked("2001:db8:1:3::1")
    now = float(WINDOW_SECONDS)
    assert not refusals.is_blocked("2001:db8:1:2::1")
    for number in range(2 * MAX_ADDRESSES):
        refusals.count(str(ipaddress.ip_address(number)))
    assert refusals.address_count == MAX_ADDRESSES
