"""Generated requests, valid and invalid, to both APIs of a real server, without a session and with each role.

No response may be a server failure, and each must match the API's own OpenAPI document. `make fuzz` runs it for longer.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis import checks as known_checks

from conftest import World
from fuzz.readers import CORPUS
from server import problems
from support.intake import ROUTE, Field, Tablet, run_servers
from support.signing_in import answer_challenge
from support.waiting import PATIENCE
from sync.documents.signed import sign_bare
from sync.exchange import messages

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
GUARD = {"Chaski-Request": "1"}
TABLETS, PEOPLE = 0, 1
CHECKS = [
    check
    for check in known_checks.CHECKS.get_all()
    if check.__name__
    in {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "unsupported_method",
    }
]
# Signing out would end the session that the other requests need.
LEFT_OUT = {"DELETE /v1/session"}


@dataclass(frozen=True)
class Known:
    """Existing things for requests: ids by parameter name, valid documents, and a tablet that can sign."""

    ids: dict[str, list[str]]
    documents: list[bytes]
    tablet: Tablet


@pytest.fixture
def known(field: Field) -> Known:
    tablet, pending = field.tablet(), field.tablet(certified=False)
    raws = [field.envelope(tablet, replace(ROUTE, mode=mode)) for mode in ("field", "training")]
    field.push(tablet, *raws)
    keys = [sha for (sha,) in field.rows("select sha256 from keyring_keys")]
    documents = [body for (body,) in field.rows("select body from documents")]
    ids = {
        "dev": [tablet.key.kid, pending.key.kid],
        "referral_id": [referral.id for raw in raws for referral in field.referrals(raw)],
        "queue": ["17-protection", "17-child"],
        "form": ["prueba"],
        "sha": [field.form_sha],
        "sha256": keys[:2],
        "login": ["proteccion-17", "registro"],
        "result": ["attended", "mistaken"],
    }
    return Known(ids, [*documents, field.certificate(pending)], tablet)


def bodies(*readers: str) -> list[bytes]:
    return [case.read_bytes() for reader in readers for case in sorted((CORPUS / reader).iterdir())]


REQUESTS, DOCUMENTS = bodies("conversation", "request"), bodies("document", "enrolment")
schemathesis.openapi.media_type(messages.CONTENT_TYPE, st.sampled_from(REQUESTS) | st.binary(max_size=200))
schemathesis.openapi.media_type("application/octet-stream", st.sampled_from(DOCUMENTS) | st.binary(max_size=200))


@schemathesis.serializer(messages.CONTENT_TYPE, "application/octet-stream")
def as_it_is(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def at_home(known: Known, draws: st.DataObject, case: Case) -> Case:
    """Make half of the valid requests refer to existing things, with valid signatures."""
    if not draws.draw(st.booleans()):
        return case
    for name in case.path_parameters or {}:
        if name in known.ids:
            case.path_parameters[name] = draws.draw(st.sampled_from(known.ids[name]))
    if case.media_type == messages.CONTENT_TYPE and isinstance(case.body, bytes):
        signed = sign_bare(case.body, known.tablet.key, messages.REQUEST_TYP)
        case.headers = {**(case.headers or {}), messages.SIGNATURE_HEADER: f"{known.tablet.key.kid}.{signed}"}
    elif case.media_type == "application/octet-stream":
        case.body = draws.draw(st.sampled_from(known.documents))
    return case


def sign_in(url: str, world: World, login: str) -> requests.Session:
    session = requests.Session()

    def ask(asked: dict[str, str]) -> bytes:
        return session.post(f"{url}/v1/session/challenge", json=asked, headers=GUARD, timeout=PATIENCE).content

    answer, _ = answer_challenge(ask, url, login, world.passphrase(login))
    done = session.post(f"{url}/v1/session", json=answer, headers=GUARD, timeout=PATIENCE)
    assert done.status_code == 201
    return session


def ask_everything(url: str, session: requests.Session, known: Known, *, examples: int) -> int:
    """Send requests to all operations of an API. Returns the number of responses."""
    schema = schemathesis.openapi.from_dict(session.get(f"{url}/openapi.json", timeout=PATIENCE).json())
    schema.config.generation.update(with_security_parameters=False)
    return sum(
        ask(url, session, known, operation, mode, examples)
        for operation in (found.ok() for found in schema.get_all_operations())
        if not (operation.label in LEFT_OUT and session.cookies)
        for mode in (GenerationMode if can_be_wrong(operation) else [GenerationMode.POSITIVE])
    )


def can_be_wrong(operation: Any) -> bool:
    """True if a request can violate the schema. Any text is a valid id, and any bytes are a valid body."""
    fields = operation.definition.raw.get("parameters", [])
    body = operation.definition.raw.get("requestBody", {}).get("content", {})
    return "application/json" in body or any(field["in"] == "query" or "const" in field["schema"] for field in fields)


def ask(url: str, session: requests.Session, known: Known, operation: Any, mode: GenerationMode, examples: int) -> int:
    """Send valid or invalid requests to one operation. Returns the number of responses."""
    asked = 0

    @seed(SEED)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def some(draws: st.DataObject) -> None:
        nonlocal asked
        case = draws.draw(operation.as_strategy(generation_mode=mode))
        if mode is GenerationMode.POSITIVE:
            case = at_home(known, draws, case)
        answer = case.call_and_validate(base_url=url, session=session, checks=CHECKS, timeout=PATIENCE)
        asked += 1
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == [problems.MEDIA_TYPE]
            assert problems.find_type(answer.json()["code"]).status == answer.status_code

    some()
    return asked


def test_no_generated_request_makes_the_tablet_api_fail_or_leave_its_document(field: Field, known: Known) -> None:
    with run_servers(field) as ports:
        assert ask_everything(f"http://127.0.0.1:{ports[TABLETS]}", requests.Session(), known, examples=EXAMPLES * 2)


@pytest.mark.parametrize("login", ["", "proteccion-17", "registro", "publicacion"])
def test_no_generated_request_makes_the_staff_api_fail_or_leave_its_document(
    field: Field, known: Known, login: str
) -> None:
    with run_servers(field) as ports:
        url = f"http://127.0.0.1:{ports[PEOPLE]}"
        session = sign_in(url, field.world, login) if login else requests.Session()
        assert ask_everything(url, session, known, examples=EXAMPLES)
