"""The staff API for form authors, reviewers and publishers, over HTTP: from an upload to a rollout."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from conftest import FOUNDED
from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import compile_form
from screening_forms.workbook.package import parse_package
from screening_forms.workbook.resources import CATALOGUE
from server.flows.forms.upload_sandbox import Compiled
from server.flows.people.tokens import MOST_DAYS
from server.store import audit, meta
from support.forms import SMALL
from support.intake import Field
from sync.documents import bundle
from sync.documents.signed import Document, sign
from sync.durations import DAY
from sync.envelope.route import AUTHOR_FIELDS
from sync.wire.encoding import canonical
from test_server_staff_api import GUARD, Client, client, code

MADE = {"form_id": "otra", "version": "1", "channel": "training", "xform": "<h/>"}


@cache
def here_compiled(source: bytes) -> bytes:
    """Compile a source package as an author's own machine does."""
    found = parse_package(source)
    form = compile_form(found.workbook, channel="training", route_vocabulary=AUTHOR_FIELDS, resources=found.resources)
    return form.to_bytes()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the compiler: an upload is its own compiled form. These tests are about permissions, not compilation."""
    monkeypatch.setattr(
        "server.flows.forms.upload_sandbox.compile_draft",
        lambda source, **_: Compiled(canonical({**MADE, "t": source.decode()}), source, []),
    )
    monkeypatch.setattr("server.flows.forms.upload_sandbox.validate", lambda xform, source: "accepted")
    monkeypatch.setattr("server.flows.forms.versions.list_new_tables", lambda source, known: [])


def body(answer: TestResponse, status: int = 200) -> Any:
    assert answer.status_code == status, answer.data
    return answer.json


def signature(field: Field, payload: bytes, who: str, role: str) -> bytes:
    return sign(payload, field.world.office(who, role), bundle.TYP).encode()


def approved(field: Field, author: Client, reviewer: Client, content: bytes = b"a") -> dict[str, Any]:
    """Submit and approve a draft with the `quick` compiler."""
    made = body(author.post("/v1/drafts", data=content), 201)
    path = f"/v1/versions/{made['id']}"
    payload = author.get(f"{path}/compiled").data
    body(author.post(f"{path}/submission", data=signature(field, payload, "autora", "author")))
    found: dict[str, Any] = body(
        reviewer.post(f"{path}/approval", data=signature(field, payload, "revisor", "reviewer"))
    )
    return found


def test_author_and_reviewer_can_reproduce_the_version_compiled_from_a_workbook(field: Field) -> None:
    author, reviewer = client(field, "autora"), client(field, "revisor")
    workbook = (CATALOGUE / "pe_laboral_adulto" / "form.md").read_bytes()
    made = body(author.post("/v1/drafts?channel=training", data=workbook), 201)
    assert (made["form"], made["state"], made["author"]) == ("pe_laboral_adulto", "draft", "autora")
    path = f"/v1/versions/{made['id']}"
    payload, source = author.get(f"{path}/compiled").data, author.get(f"{path}/source").data
    assert here_compiled(source) == payload, "what is signed is what the source says, on anybody's machine"
    submitted = body(author.post(f"{path}/submission", data=signature(field, payload, "autora", "author")))
    assert submitted["validated"] == "accepted", "by the real ODK Validate"
    signed = reviewer.get(f"{path}/compiled").data
    assert signed.partition(b"\n")[0] == payload
    done = body(reviewer.post(f"{path}/approval", data=signature(field, payload, "revisor", "reviewer")))
    assert (done["state"], done["reviewer"], done["policy"]) == ("approved", "revisor", "pe_adult_2026_2")
    publisher = client(field, "publicacion")
    body(publisher.post(f"{path}/rollouts", json={"regions": ["17"]}), 201)
    assert body(publisher.get(path))["state"] == "published"
    tablets = publisher.get(f"/v1/forms/pe_laboral_adulto/{made['sha']}").data
    CompiledForm.from_bytes(bundle.accept(Document.parse(tablets), field.trust, made["sha"]))


def test_workbook_problems_name_sheet_row_and_advice_and_nothing_is_stored(field: Field) -> None:
    author = client(field, "autora")
    broken = SMALL.replace("relevant", "relevent", 1).encode()
    checked = body(author.post("/v1/checks", data=broken))
    assert not checked["ok"]
    refused = author.post("/v1/drafts", data=broken)
    assert code(refused) == (422, "form.problems")
    problems = [each for each in refused.json["problems"] if each["blocking"]]  # type: ignore[index]
    assert problems == [each for each in checked["problems"] if each["blocking"]]
    first = problems[0]
    assert first["sheet"] == "survey"
    assert all(first[name] for name in ("code", "advice_es", "advice_en"))
    assert code(author.post("/v1/drafts", data=b"PK\x03\x04 no zip"))[1] == "form.problems"
    assert body(author.get("/v1/versions", form="small")) == []


def test_the_difference_of_two_versions_is_in_words_and_the_impact_is_a_task(field: Field) -> None:
    author = client(field, "autora")
    first = body(author.post("/v1/drafts", data=SMALL.encode()), 201)
    assert code(author.get(f"/v1/versions/{first['id']}/difference")) == (404, "version.no_former")
    later = SMALL.replace(f"| {first['version']} |", "| 99 |").replace("¿Tiene una deuda?", "¿Debe plata?", 1)
    second = body(author.post("/v1/drafts", data=later.encode()), 201)
    assert second["version"] == "99"
    against = f"?old={first['id']}"
    changes = body(author.get(f"/v1/versions/{second['id']}/difference", old=str(first["id"])))
    assert changes
    assert all(each["es"] and each["en"] for each in changes)
    begun = body(author.post(f"/v1/versions/{second['id']}/impact{against}&count=20"), 202)
    ended = threading.Event()
    while (task := body(author.get(f"/v1/tasks/{begun['id']}")))["state"] in ("waiting", "running"):
        ended.wait(0.1)
    assert (task["state"], task["problem"]) == ("done", None)
    assert task["done"] == task["of"] >= 20
    assert code(client(field, "revisor").get(f"/v1/tasks/{begun['id']}")) == (404, "task.unknown")


@pytest.mark.usefixtures("quick")
def test_each_action_needs_its_role_and_a_reviewer_reads_everything(field: Field) -> None:
    author, reviewer, publisher = (client(field, who) for who in ("autora", "revisor", "publicacion"))
    made = approved(field, author, reviewer)
    path = f"/v1/versions/{made['id']}"
    for refused in (
        reviewer.post("/v1/drafts", data=b"b"),
        publisher.post(f"{path}/submission", data=b""),
        author.post(f"{path}/approval", data=b""),
        author.post(f"{path}/return", json={"reason": "no"}),
        author.post(f"{path}/rollouts", json={}),
        reviewer.post(f"{path}/closing"),
        client(field, "proteccion-17").get("/v1/versions"),
        client(field, "registro").get("/v1/inventory"),
    ):
        assert code(refused) == (403, "role.missing")
    for who in (author, reviewer, publisher):
        assert body(who.get(path))["state"] == "approved"
        assert who.get(f"{path}/source").data == b"a"


@pytest.mark.usefixtures("quick")
def test_a_trial_interview_stores_its_outcome_and_no_answer(field: Field) -> None:
    author, reviewer = client(field, "autora"), client(field, "revisor")
    made = body(author.post("/v1/drafts", data=b"a"), 201)
    trial = {"sha": made["sha"], "outcome": "positive", "tier": "T1", "queue_kinds": ["protection"], "fired": 4}
    path = f"/v1/versions/{made['id']}"
    assert author.post(f"{path}/trials", json=trial).status_code == 204
    assert code(author.post(f"{path}/trials", json={**trial, "answers": {"age": "17"}})) == (422, "http.invalid")
    assert code(author.post(f"{path}/trials", json={**trial, "outcome": "she_is_17"})) == (422, "http.invalid")
    (tried,) = body(reviewer.get(path))["trials"]
    assert tried == {name: trial[name] for name in ("outcome", "tier", "queue_kinds", "fired")} | {"at": FOUNDED}
    assert body(author.post("/v1/drafts", data=b"b"), 201)["id"] == made["id"]
    assert body(author.get(path))["trials"] == []


@pytest.mark.usefixtures("quick")
def test_a_publisher_rolls_out_widens_halts_resumes_rolls_back_closes_and_retires(field: Field) -> None:
    author, reviewer, publisher = (client(field, who) for who in ("autora", "revisor", "publicacion"))
    made = approved(field, author, reviewer)
    path = f"/v1/versions/{made['id']}"
    ring = body(publisher.post(f"{path}/rollouts", json={"regions": ["17"], "share_permille": 100}), 201)
    assert (ring["state"], ring["regions"], ring["since"]) == ("live", ["17"], FOUNDED)
    at = f"/v1/rollouts/{ring['id']}"
    wide = body(publisher.http.put(f"{at}/ring", json={"regions": ["17", "21"]}, headers=GUARD))
    assert (wide["regions"], wide["share_permille"]) == (["17", "21"], None)
    assert code(publisher.post(f"{at}/halt", json={})) == (422, "http.invalid")
    halted = body(publisher.post(f"{at}/halt", json={"reason": "Se cierra sola."}))
    assert (halted["state"], halted["reason"]) == ("halted", "Se cierra sola.")
    assert body(publisher.post(f"{at}/resume"))["state"] == "live"
    back = body(publisher.post(f"{path}/rollback", json={"reason": "Mejor así."}), 201)
    assert [(each["id"], each["state"]) for each in body(publisher.get("/v1/rollouts", form="otra"))] == [
        (back["id"], "live"),
        (ring["id"], "ended"),
    ]
    planned = body(publisher.post(f"{path}/rollouts", json={"starts": FOUNDED + DAY}), 201)
    assert planned["state"] == "planned"
    assert body(publisher.post(f"{path}/closing"))["state"] == "closing"
    assert {each["state"] for each in body(publisher.get("/v1/rollouts", form="otra"))} == {"ended"}
    assert body(publisher.post(f"{path}/retirement"))["state"] == "retired"
    assert code(publisher.post(f"{path}/rollouts", json={})) == (409, "version.wrong_state")


def test_the_inventory_can_be_limited_to_a_region(field: Field) -> None:
    tablet = field.tablet()
    field.ask(tablet, field.message(tablet, inventory={"prueba": field.form_sha}))
    publisher = client(field, "publicacion")
    (held,) = body(publisher.get("/v1/inventory"))["versions"]
    assert (held["version"], held["region"], held["held"], held["behind"]) == ("1", "17", 1, 0)
    assert body(publisher.get("/v1/inventory", region="21")) == {"versions": [], "behind": [], "silent": []}


# Tokens


def token(field: Field, who: str, *roles: str, days: int = 30) -> dict[str, Any]:
    made: dict[str, Any] = body(
        client(field, who).post("/v1/tokens", json={"label": "script", "roles": list(roles), "days": days}), 201
    )
    return made


def ask(field: Field, text: str, path: str, method: str = "GET", **said: Any) -> TestResponse:
    """Send a request to the staff API with a token and without a session."""
    headers = {**GUARD, "Authorization": f"Bearer {text}"}
    return field.people.test_client().open(path, method=method, headers=headers, **said)


def test_a_token_reads_counts_of_the_inventory_and_never_single_tablets(field: Field) -> None:
    tablet = field.tablet()
    field.ask(tablet, field.message(tablet, inventory={"prueba": "0" * 64}))
    shown = body(client(field, "autora").get("/v1/inventory"))
    assert [each["dev"] for each in shown["behind"]] == [tablet.key.kid]
    counted = ask(field, token(field, "autora", "author")["token"], "/v1/inventory")
    assert body(counted) == {"versions": shown["versions"]}


@pytest.mark.usefixtures("quick")
def test_a_token_works_only_within_its_roles_and_only_at_publishing_endpoints(field: Field) -> None:
    made = token(field, "publicacion", "publisher")
    text = made["token"]
    assert body(ask(field, text, "/v1/versions")) == body(client(field, "publicacion").get("/v1/versions"))
    assert code(ask(field, text, "/v1/drafts", "POST", data=b"a")) == (403, "role.missing")
    for path in ("/v1/me", "/v1/devices", "/v1/audit", "/v1/queues", "/v1/work-list", "/v1/statistics", "/v1/tokens"):
        assert code(ask(field, text, path)) == (401, "session.missing"), path
    author = token(field, "autora", "author")["token"]
    assert body(ask(field, author, "/v1/drafts", "POST", data=b"a"), 201)["author"] == "autora"


def test_only_publishing_endpoints_accept_tokens(field: Field) -> None:
    said: Any = field.people.test_client().get("/openapi.json").json
    taking = {
        path
        for path, item in said["paths"].items()
        for each in item.values()
        if {"token": []} in each.get("security", ())
    }
    begin = {path.split("/")[2] for path in taking}
    assert begin == {"checks", "drafts", "versions", "rollouts", "inventory", "tasks", "publications"} | {
        each for each in begin if each in ("indicator-sets", "policies", "{tables}")
    }


def test_a_revoked_or_expired_token_is_rejected_and_token_limits_are_enforced(field: Field) -> None:
    publisher = client(field, "publicacion")
    made = token(field, "publicacion", "publisher", days=MOST_DAYS)
    later = replace(field, services=replace(field.services, now=lambda: FOUNDED + (MOST_DAYS + 1) * DAY))
    assert code(ask(later, made["token"], "/v1/versions")) == (401, "token.refused")
    head = None
    for _ in range(2):
        assert publisher.http.delete(f"/v1/tokens/{made['id']}", headers=GUARD).status_code == 204
        assert head in (None, audit.get_head(field.services.db.read())), "asked twice, done once"
        head = audit.get_head(field.services.db.read())
    assert code(ask(field, made["token"], "/v1/versions")) == (401, "token.refused")
    (listed,) = body(publisher.get("/v1/tokens"))
    assert (listed["label"], listed["roles"], listed["revoked"]) == ("script", ["publisher"], FOUNDED)
    assert "token" not in listed
    other = client(field, "autora")
    assert code(other.http.delete(f"/v1/tokens/{made['id']}", headers=GUARD)) == (404, "token.unknown")
    asked = {"label": "script", "roles": ["reviewer"], "days": 30}
    assert code(publisher.post("/v1/tokens", json=asked)) == (403, "role.missing")
    assert code(publisher.post("/v1/tokens", json={**asked, "roles": ["administrator"]})) == (422, "http.invalid")
    assert code(publisher.post("/v1/tokens", json={**asked, "days": 91})) == (422, "http.invalid")
    deeds = [each.action for each in audit.list_entries(field.services.db.read()) if each.action.startswith("token")]
    assert deeds == ["token.made", "token.revoked"]


def test_no_copy_of_the_database_contains_a_token(field: Field) -> None:
    text = token(field, "autora", "author")["token"]
    stored = b"".join(path.read_bytes() for path in Path(field.services.config.data).glob("chaski.db*"))
    assert text.encode() not in stored
    assert text.removeprefix("chaski_").encode() not in stored


def test_a_restored_backup_does_not_bring_back_a_revoked_token(field: Field) -> None:
    text = token(field, "autora", "author")["token"]
    with field.services.db.write() as w:  # `chaski restore` does this with every database.
        meta.start_generation(w, "another")
    assert code(ask(field, text, "/v1/versions")) == (401, "token.refused")


def test_failed_tokens_are_limited_like_failed_passphrases(field: Field) -> None:
    good = token(field, "autora", "author")["token"]
    for _ in range(5):
        assert code(ask(field, "chaski_guess", "/v1/versions")) == (401, "token.refused")
    assert code(ask(field, "chaski_guess", "/v1/versions")) == (429, "session.too_many")
    assert ask(field, good, "/v1/versions").status_code == 200, "the right one is accepted at any time"
    later = replace(field, services=replace(field.services, now=lambda: FOUNDED + DAY))
    assert ask(later, good, "/v1/versions").status_code == 200
    assert code(ask(later, "", "/v1/versions")) == (401, "token.refused")
