"""The staff API over HTTP: sign-in, access to screenings by desk, and responses with signed bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import World
from server.store import audit
from support.intake import ROUTE, Field, run_servers
from support.signing_in import answer_challenge
from sync.documents import bundle, enrolment
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.verify import parse_envelope
from sync.errors import SyncError
from sync.keys.key_pairs import SealKey
from sync.keys.passphrases import unlock_secret
from sync.wire.encoding import b64u

GUARD = {"Chaski-Request": "1"}


class Client:
    """One person's client: her session cookie, and the keys that her passphrase opens."""

    def __init__(self, http: FlaskClient, world: World, login: str) -> None:
        """Sign in."""
        self.http, self.lock = http, b""
        answer, derived = answer_challenge(self.challenge, "http://localhost", login, world.passphrase(login))
        self.lock = derived.lock
        self.signed_in = self.post("/v1/session", json=answer)
        assert self.signed_in.status_code == 201

    def challenge(self, asked: dict[str, str]) -> bytes:
        return self.post("/v1/session/challenge", json=asked).data

    def get(self, path: str, **query: str) -> TestResponse:
        return self.http.get(path, query_string=query)

    def post(self, path: str, **body: Any) -> TestResponse:
        return self.http.post(path, headers=GUARD, **body)

    def keyrings(self) -> dict[str, SealKey]:
        """Unwrap all keyrings of this person. Returns the keys by kid."""
        me: Any = self.get("/v1/me").json
        own = me["seal"]
        key = SealKey.from_seed(unlock_secret(own["locked"], self.lock, f"{own['kind']}/{own['kid']}"))
        return {
            each["kid"]: seal.unwrap_seed(
                each["wrapped"],
                key,
                keyring=each["keyring"],
                epoch=each["epoch"],
                member_id=me["person"]["person"],
            )
            for each in me["keyrings"]
        }


def client(field: Field, login: str) -> Client:
    return Client(field.people.test_client(), field.world, login)


def screened(field: Field, *, mode: str = "field", to: str = "17-protection") -> bytes:
    """Push one screening for the protection desk of Madre de Dios from a tablet."""
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, mode=mode), to=to)
    assert field.push(tablet, raw)[0].outcome == "stored"
    return raw


def code(answer: TestResponse) -> tuple[int, str]:
    assert answer.mimetype == "application/problem+json"
    return answer.status_code, answer.json["code"]  # type: ignore[index]


def test_a_coordinator_claims_opens_accepts_and_closes_a_screening_of_her_desk(field: Field) -> None:
    raw, coordinator = screened(field), client(field, "proteccion-17")
    queues: Any = coordinator.get("/v1/queues").json
    assert {each["id"]: each["waiting"] for each in queues} == {"17-protection": 1, "17-review": 0}
    (found,) = coordinator.get("/v1/queues/17-protection").json  # type: ignore[misc]
    assert found["route"]["tier"] == "T1"
    assert found["route"]["queue_kinds"] == ["protection"]
    path = f"/v1/referrals/{found['id']}"
    assert coordinator.post(f"{path}/claim").json["state"] == "claimed"  # type: ignore[index]
    handed = coordinator.get(f"{path}/envelope").data
    assert handed == raw
    opened = parse_envelope(handed)
    assert seal.open_envelope(opened, coordinator.keyrings()[opened.header.kid]).instance == b"<data/>"
    assert coordinator.post(f"{path}/accept").json["state"] == "accepted"  # type: ignore[index]
    assert coordinator.post(f"{path}/close", json={"result": "attended"}).json["state"] == "closed"  # type: ignore[index]
    assert coordinator.get("/v1/queues/17-protection").json == []
    deeds = [each.action for each in audit.list_entries(field.services.db.read())]
    assert deeds.count("envelope.read") == 1


def test_a_coordinator_of_another_desk_group_can_neither_see_nor_open_a_screening(field: Field) -> None:
    raw = screened(field)
    (found,) = client(field, "proteccion-17").get("/v1/queues/17-protection").json  # type: ignore[misc]
    path = f"/v1/referrals/{found['id']}"
    for login in ("proteccion-21", "ninez-17"):
        other = client(field, login)
        assert code(other.get("/v1/queues/17-protection")) == (403, "queue.other_desk")
        assert code(other.get(path)) == code(other.get(f"{path}/envelope")) == (403, "referral.other_desk")
        for deed in ("claim", "accept"):
            assert code(other.post(f"{path}/{deed}")) == (403, "referral.other_desk")
        assert code(other.post(f"{path}/close", json={"result": "attended"})) == (403, "referral.other_desk")
        opened = parse_envelope(raw)
        assert opened.header.kid not in other.keyrings()
        for key in other.keyrings().values():
            with pytest.raises(SyncError, match=r"seal\."):
                seal.open_envelope(opened, key)
    assert not [each for each in audit.list_entries(field.services.db.read()) if each.action == "envelope.read"]


def test_a_desk_without_the_keyring_gets_the_route_and_not_the_envelope(field: Field) -> None:
    tablet = field.tablet()
    route = replace(ROUTE, queue_kinds=("labour", "protection"))
    field.push(tablet, field.envelope(tablet, route))
    inspector = client(field, "trabajo-17")
    (found,) = inspector.get("/v1/queues/17-labour").json  # type: ignore[misc]
    assert found["mark"] == "sealed_elsewhere"
    assert inspector.get(f"/v1/referrals/{found['id']}").json["route"]["tier"] == "T1"  # type: ignore[index]
    assert code(inspector.get(f"/v1/referrals/{found['id']}/envelope")) == (403, "referral.other_keyring")


def test_a_labour_case_is_opened_by_the_labour_desk_itself(field: Field) -> None:
    tablet = field.tablet()
    route = replace(ROUTE, outcome="labour_rights", tier="T3", urgency="routine", queue_kinds=("labour",))
    field.push(tablet, field.envelope(tablet, route, to="17-labour"))
    inspector = client(field, "trabajo-17")
    (found,) = inspector.get("/v1/queues/17-labour").json  # type: ignore[misc]
    opened = parse_envelope(inspector.get(f"/v1/referrals/{found['id']}/envelope").data)
    assert (found["mark"], seal.open_envelope(opened, inspector.keyrings()[opened.header.kid]).instance) == (
        "",
        b"<data/>",
    )


def test_a_desk_sees_only_work_list_items_of_screenings_that_it_could_open(field: Field) -> None:
    tablet = field.tablet()
    held = field.envelope(tablet, replace(ROUTE, sha="0" * 64))
    field.push(tablet, held)
    field.envelope(tablet)
    field.push(tablet, field.envelope(tablet))
    seen = {
        login: [each["kind"] for each in client(field, login).get("/v1/work-list").json or []]
        for login in ("proteccion-17", "ninez-17", "proteccion-21", "nacional", "publicacion")
    }
    both = ["held", "gap"]
    assert seen == {
        "proteccion-17": ["held"],
        "ninez-17": [],
        "proteccion-21": [],
        "nacional": both,
        "publicacion": both,
    }


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/session/challenge", b'{"login": "\\ud800", "url": "", "nonce": "' + b"A" * 43 + b'"}'),
        ("/v1/session/challenge", b'{"login": "a\\u0000", "url": "", "nonce": "' + b"A" * 43 + b'"}'),
        ("/v1/session", b'{"challenge": "\\ud800", "proof": "' + b"A" * 43 + b'"}'),
        ("/v1/session", b"[" * 100_000),
        ("/v1/session", b'{"login": 1' + b"0" * 10_000 + b"}"),
        ("/v1/session", b"\xff"),
        ("/v1/session", b'{"login": "autora", "login": "' + b"a" * 100_000 + b'"}'),
        ("/v1/invitations", b'{"label": "\\ud800", "region": "17"}'),
        ("/v1/invitations", b'{"label": "T", "region": "17 or more"}'),
        ("/v1/invitations", '{"label": "T", "region": "١٧"}'.encode()),
        ("/v1/publications?regions=17,everywhere", b""),
        ("/v1/publications?share_permille=1" + "0" * 400, b""),
        ("/v1/publications", b'{"a":' + b"[" * 100_000),
    ],
)
def test_a_senseless_request_gets_a_client_error_and_never_a_server_error(
    field: Field, path: str, content: bytes
) -> None:
    answer = client(field, "publicacion").post(path, data=content, content_type="application/json")
    assert (answer.mimetype, answer.status_code // 100) == ("application/problem+json", 4), answer.data


def test_no_number_or_name_in_an_address_makes_the_server_fail(field: Field) -> None:
    administrator, coordinator = client(field, "publicacion"), client(field, "proteccion-17")
    for number in ("1" + "0" * 30, "1" + "0" * 5000, "-1", "1e9", "x"):
        assert code(administrator.get("/v1/audit", after=number)) == (422, "http.invalid")
    for name in ("..%2f..%2fetc%2fpasswd", "%ff%fe", "%ed%a0%80", "a%00b", "' or 1=1 --", "x" * 5000):
        assert code(coordinator.get(f"/v1/referrals/{name}"))[0] == 404
        assert code(coordinator.get(f"/v1/queues/{name}"))[0] in (403, 404)
        assert code(administrator.get(f"/v1/forms/{name}/{name}"))[0] == 404
        assert code(administrator.get(f"/v1/devices/{name}/certificate"))[0] == 404


def test_the_national_desk_sees_and_opens_screenings_of_all_desks(field: Field) -> None:
    raw, national = screened(field), client(field, "nacional")
    (found,) = national.get("/v1/queues/17-protection").json  # type: ignore[misc]
    opened = parse_envelope(national.get(f"/v1/referrals/{found['id']}/envelope").data)
    assert opened.raw == raw
    assert seal.open_envelope(opened, national.keyrings()[opened.header.kid]).instance == b"<data/>"


def test_training_screenings_appear_only_in_the_training_view(field: Field) -> None:
    screened(field, mode="training")
    coordinator = client(field, "proteccion-17")
    assert coordinator.get("/v1/queues/17-protection").json == []
    (found,) = coordinator.get("/v1/queues/17-protection", mode="training").json  # type: ignore[misc]
    assert found["deadline"] is None
    assert code(coordinator.get("/v1/queues", mode="both")) == (422, "http.invalid")


def test_only_sign_in_works_without_a_session_and_guesses_reveal_nothing(field: Field) -> None:
    http = field.people.test_client()
    for path in ("/v1/me", "/v1/queues", "/v1/registry", "/v1/audit", "/v1/devices", "/v1/statistics"):
        assert code(http.get(path)) == (401, "session.missing")
    said = {
        login: http.post(
            "/v1/session/challenge",
            json={"login": login, "nonce": "A" * 43, "url": "http://localhost"},
            headers=GUARD,
        ).data
        for login in ("autora", "nobody")
    }
    assert len(said["autora"]) == len(said["nobody"])
    for challenge in said.values():
        wrong = {"challenge": challenge.decode(), "proof": b64u(b"\0" * 32)}
        assert code(http.post("/v1/session", json=wrong, headers=GUARD)) == (401, "session.refused")
    assert code(http.post("/v1/session", json={"proof": "A" * 43}, headers=GUARD)) == (422, "http.invalid")
    http.set_cookie("chaski_session", "made-up")
    assert code(http.get("/v1/me")) == (401, "session.missing")


def test_a_request_that_another_page_could_send_is_rejected(field: Field) -> None:
    administrator, tablet = client(field, "publicacion"), {"label": "T", "region": "17"}
    assert code(administrator.http.post("/v1/invitations", json=tablet)) == (403, "session.foreign_request")
    foreign = {**GUARD, "Origin": "https://evil.example"}
    refused = administrator.http.post("/v1/invitations", json=tablet, headers=foreign)
    assert code(refused) == (403, "session.foreign_request")
    other_port = {**GUARD, "Origin": "http://localhost:9999"}
    assert code(administrator.http.post("/v1/invitations", json=tablet, headers=other_port))[0] == 403
    cookie = administrator.signed_in.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_sign_in_does_not_accept_a_session_prepared_by_an_attacker(field: Field) -> None:
    http = field.people.test_client()
    http.set_cookie("chaski_session", "prepared")
    coordinator = Client(http, field.world, "proteccion-17")
    cookie = coordinator.signed_in.headers["Set-Cookie"]
    assert "prepared" not in cookie
    assert len(cookie.partition("=")[2].partition(";")[0]) >= 43
    http.delete("/v1/session", headers=GUARD)
    assert code(http.get("/v1/me")) == (401, "session.missing")


def test_browsers_must_not_store_the_responses_to_a_desk(field: Field) -> None:
    screened(field)
    coordinator = client(field, "proteccion-17")
    (found,) = coordinator.get("/v1/queues/17-protection").json  # type: ignore[misc]
    path = f"/v1/referrals/{found['id']}"
    for address in ("/v1/me", "/v1/queues", "/v1/queues/17-protection", path, f"{path}/envelope", "/v1/work-list"):
        assert coordinator.get(address).headers["Cache-Control"] == "no-store"


def test_each_action_needs_its_role(field: Field) -> None:
    coordinator = client(field, "proteccion-17")
    for path in ("/v1/publications", "/v1/trust", "/v1/registry", "/v1/devices/x/certificate"):
        assert code(coordinator.post(path, data=b"")) == (403, "role.missing")
    assert code(coordinator.post("/v1/invitations", json={})) == (403, "role.missing")
    assert code(coordinator.get("/v1/audit")) == code(coordinator.get("/v1/devices")) == (403, "role.missing")
    assert code(client(field, "autora").get("/v1/queues")) == (403, "role.missing")


def test_a_tablet_is_invited_by_an_administrator_and_certified_by_a_registrar(field: Field) -> None:
    administrator, registrar = client(field, "publicacion"), client(field, "registro")
    made: Any = administrator.post("/v1/invitations", json={"label": "Tableta 1", "region": "17"}).json
    invitation = enrolment.Invitation.parse(made["invitation"])
    assert (invitation.url, invitation.pin) == ("http://127.0.0.1:8080", field.trust.pin)
    tablet = field.tablet(certified=False)
    listed: Any = {each["dev"]: each for each in registrar.get("/v1/devices").json or []}
    device = listed[tablet.key.kid]
    assert device["state"] == "pending"
    assert tablet.key.public.words()[0] not in str(device), "the registrar has to hear the words, not to copy them"
    certificate, path = field.certificate(tablet), f"/v1/devices/{tablet.key.kid}/certificate"
    other = field.tablet(certified=False).key.kid
    assert registrar.post(f"/v1/devices/{other}/certificate", data=certificate).status_code >= 400
    assert registrar.post(path, data=certificate).status_code == 204
    assert administrator.get(path).data == certificate


def test_administrators_see_the_contents_of_each_tablet_and_its_rejected_envelopes(field: Field) -> None:
    tablet = field.tablet()
    field.push(tablet, b"no envelope", b"nor this")
    said = {"inventory": {"prueba": field.form_sha}, "registry": 1, "at": field.now + 5000}
    field.ask(tablet, field.message(tablet, **said))
    (listed,) = client(field, "publicacion").get("/v1/devices").json  # type: ignore[misc]
    found = {name: listed[name] for name in ("registry", "clock_offset", "forms", "rejected")}
    assert found == {"registry": 1, "clock_offset": 5000, "forms": {"prueba": field.form_sha}, "rejected": 2}


def test_a_form_published_over_http_is_served_with_the_same_bytes(field: Field) -> None:
    publisher = client(field, "publicacion")
    content = {"form_id": "otra", "version": "1", "channel": "training"}
    offices = field.world.office("autora", "author"), field.world.office("revisor", "reviewer")
    document = Document.of(content, bundle.TYP, *offices)
    done = publisher.post("/v1/publications?regions=17,21", data=document.to_bytes())
    assert (done.status_code, done.json["sha"]) == (201, document.sha256)  # type: ignore[index]
    assert publisher.get(f"/v1/forms/otra/{document.sha256}").data == document.to_bytes()
    other = Document.of({**content, "title": "x"}, bundle.TYP, *offices)
    assert code(publisher.post("/v1/publications", data=other.to_bytes())) == (409, "form.version_exists")
    fielded = Document.of({**content, "channel": "field"}, bundle.TYP, *offices)
    assert code(publisher.post("/v1/publications", data=fielded.to_bytes())) == (422, "bundle.demo_trust")
    assert code(publisher.post("/v1/publications", data=b"nothing signed")) == (422, "signed.malformed")
    deeds: Any = publisher.get("/v1/audit").json
    assert deeds["entries"][-1]["hash"] == deeds["head"]["hash"]


def test_the_api_serves_its_own_openapi_document(field: Field) -> None:
    described: Any = field.people.test_client().get("/openapi.json").json
    assert {"/v1/session", "/v1/queues", "/v1/publications", "/v1/referrals/{referral_id}/envelope"} <= set(
        described["paths"]
    )


def test_signing_in_works_on_a_real_server(field: Field) -> None:
    with run_servers(field) as (_, port), requests.Session() as http:
        base = f"http://127.0.0.1:{port}/v1"

        def ask(asked: dict[str, str]) -> bytes:
            return http.post(f"{base}/session/challenge", json=asked, headers=GUARD).content

        answer, _ = answer_challenge(ask, base, "autora", field.world.passphrase("autora"))
        signed_in = http.post(f"{base}/session", json=answer, headers=GUARD)
        assert signed_in.status_code == 201
        assert http.get(f"{base}/me").json()["person"]["login"] == "autora"
        assert http.delete(f"{base}/session", headers=GUARD).status_code == 204
        assert http.get(f"{base}/me").status_code == 401
