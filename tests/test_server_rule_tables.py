"""Tests of rule tables: authors publish indicator sets and policies; a name or code is never reused; forms follow."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from typing import Any

import pytest

from conftest import FOUNDED
from screening_forms.workbook.package import Package, pack_package, parse_package
from screening_forms.workbook.resources import BUILT_IN, Resources
from server.flows.forms.published_tables import MOST_A_YEAR
from server.store import audit, rule_tables
from server.store.rule_tables import RuleTable
from support.forms import SMALL
from support.intake import Field
from test_server_authors_api import body, signature
from test_server_staff_api import GUARD, Client, client, code

POLICY = BUILT_IN.policies["pe_adult_2026_1"]
SET = BUILT_IN.indicator_sets["ilo_delphi_2009"]


def put(who: Client, path: str, text: str) -> Any:
    return who.http.put(f"/v1/{path}", data=text.encode(), headers=GUARD)


def ended(who: Client, begun: dict[str, Any]) -> dict[str, Any]:
    """Wait for a task."""
    moment = threading.Event()
    while (task := body(who.get(f"/v1/tasks/{begun['id']}")))["state"] in ("waiting", "running"):
        moment.wait(0.1)
    found: dict[str, Any] = task
    return found


def test_a_new_policy_lists_the_forms_of_the_old_one_and_drafts_them_again(field: Field) -> None:
    author = client(field, "autora")
    assert put(author, "policies/own_2026_1", POLICY).status_code == 200
    used = body(author.post("/v1/drafts", data=SMALL.replace("pe_adult_2026_1", "own_2026_1").encode()), 201)
    done = body(put(author, "policies/own_2026_2", POLICY))
    assert (done["family"], done["former"]) == ("own", "own_2026_1")
    assert [each["id"] for each in done["users"]] == [used["id"]]
    task = ended(author, body(author.post("/v1/policies/own_2026_2/drafts"), 202))
    (drafted,) = task["result"]
    assert (task["state"], drafted["former"], drafted["code"]) == ("done", used["id"], "")
    made = body(author.get(f"/v1/versions/{drafted['draft']}"))
    assert (made["policy"], made["state"], made["form"]) == ("own_2026_2", "draft", used["form"])
    assert made["version"] != used["version"]
    source = author.get(f"/v1/versions/{made['id']}/source").data
    assert parse_package(source).included.policies == {"own_2026_2": POLICY}, "a reviewer needs nothing but the package"
    assert body(put(author, "policies/own_2026_2", POLICY))["users"] == [], "the newest draft uses it already"


def test_a_name_is_never_used_for_another_table(field: Field) -> None:
    author = client(field, "autora")
    assert put(author, "policies/pe_adult_2027_1", POLICY).status_code == 200
    assert put(author, "policies/pe_adult_2027_1", POLICY).status_code == 200, "the same again is the same"
    changed = POLICY.replace("prompt", "routine")
    for name in ("pe_adult_2027_1", "pe_adult_2026_1"):
        refused = put(author, f"policies/{name}", changed)
        assert code(refused) == (422, "form.problems")
        assert [each["code"] for each in refused.json["problems"]] == ["policy.name_used"]
    assert author.get("/v1/policies/pe_adult_2027_1").data.decode() == POLICY
    assert [each["name"] for each in body(author.get("/v1/policies"))] == ["pe_adult_2027_1"]
    assert code(author.get("/v1/policies/pe_adult_2026_1")) == (404, "table.unknown")
    for deed in ("update rule_tables set body = ''", "delete from rule_tables"):
        with pytest.raises(sqlite3.IntegrityError, match="never"), field.services.db.write() as w:
            w.execute(deed)


def test_a_code_is_never_reused_for_another_meaning(field: Field) -> None:
    author = client(field, "autora")
    other = SET.replace("Deceived about the nature", "Paid for the nature")
    assert other != SET
    refused = put(author, "indicator-sets/ilo_delphi_2026_2", other)
    assert [each["code"] for each in refused.json["problems"]] == ["indicator_set.code_reused"]
    assert put(author, "indicator-sets/ilo_delphi_2026_2", SET).status_code == 200


def test_a_package_cannot_contain_another_table_under_a_published_name(field: Field) -> None:
    author = client(field, "autora")
    found = parse_package(SMALL.encode())
    other = BUILT_IN.with_fallback(BUILT_IN)
    other.policies["pe_adult_2026_1"] = POLICY.replace("prompt", "routine")  # type: ignore[index]
    smuggled = pack_package(Package(found.workbook, found.name, found.content, other))
    refused = author.post("/v1/drafts", data=smuggled)
    assert [each["code"] for each in refused.json["problems"]] == ["policy.name_used"]  # type: ignore[index]


def brought(name: str, text: str, form: str = SMALL) -> bytes:
    """A source package whose form uses a policy inside the package."""
    found = parse_package(form.replace("pe_adult_2026_1", name).encode())
    return pack_package(replace(found, included=Resources(policies={name: text})))


def test_a_table_inside_a_package_is_checked_like_a_published_one(field: Field) -> None:
    author = client(field, "autora")
    for name in ("mine", "pe_adult_2999_9", "pe_adult_2026_9"):
        refused = author.post("/v1/drafts", data=brought(name, POLICY))
        assert code(refused) == (422, "form.problems")
        assert {each["code"] for each in refused.json["problems"]} <= {"policy.bad_name", "policy.skips"}  # type: ignore[index]
    found = parse_package(SMALL.replace("ilo_delphi_2009", "ilo_delphi_2027_1").encode())
    other = Resources({"ilo_delphi_2027_1": SET.replace("Deceived about the nature", "Paid for the nature")})
    refused = author.post("/v1/drafts", data=pack_package(replace(found, included=other)))
    assert [each["code"] for each in refused.json["problems"]] == ["indicator_set.code_reused"]  # type: ignore[index]


def test_a_table_inside_a_package_is_published_when_its_form_is_approved(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.flows.forms.upload_sandbox.validate", lambda xform, source: "accepted")
    author, reviewer, name = client(field, "autora"), client(field, "revisor"), "pe_adult_2027_1"
    label = parse_package(SMALL.encode()).workbook.settings["version"]

    def submitted(label_: str, text: str) -> tuple[str, bytes]:
        source = brought(name, text, SMALL.replace(f"| {label} |", f"| {label_} |"))
        path = f"/v1/versions/{body(author.post('/v1/drafts', data=source), 201)['id']}"
        payload = author.get(f"{path}/compiled").data
        body(author.post(f"{path}/submission", data=signature(field, payload, "autora", "author")))
        return f"{path}/approval", signature(field, payload, "revisor", "reviewer")

    first, other = submitted("901", POLICY), submitted("902", POLICY.replace("one source", "another source"))
    assert code(author.get(f"/v1/policies/{name}")) == (404, "table.unknown"), "what is not approved takes no name"
    body(reviewer.post(first[0], data=first[1]))
    assert author.get(f"/v1/policies/{name}").data.decode() == POLICY
    (said,) = [each for each in audit.list_entries(field.services.db.read()) if each.action == "policy.published"]
    assert (said.subject, said.actor) == (name, field.world.person_id("revisor"))
    refused = reviewer.post(other[0], data=other[1])
    assert [each["code"] for each in refused.json["problems"]] == ["policy.name_used"]  # type: ignore[index]
    assert body(reviewer.get(other[0].removesuffix("/approval")))["state"] == "in_review"


def test_a_person_cannot_publish_more_tables_a_year_than_the_limit(field: Field) -> None:
    author = client(field, "autora")
    with field.services.db.write() as w:
        for number in range(1, MOST_A_YEAR):
            made = RuleTable("policy", f"mine_2026_{number}", "mine", FOUNDED, field.world.person_id("autora"))
            rule_tables.add_table(w, made, POLICY)
    assert put(author, f"policies/mine_2026_{MOST_A_YEAR}", POLICY).status_code == 200
    assert code(put(author, f"policies/mine_2026_{MOST_A_YEAR + 1}", POLICY)) == (429, "table.too_many")
    assert put(author, f"policies/mine_2026_{MOST_A_YEAR}", POLICY).status_code == 200, "the same again is the same"


def test_the_effect_of_a_new_indicator_set_is_a_background_task(field: Field) -> None:
    author = client(field, "autora")
    body(author.post("/v1/drafts", data=SMALL.encode()), 201)
    body(put(author, "policies/pe_adult_2027_1", POLICY.replace("prompt", "routine")))
    task = ended(author, body(author.post("/v1/policies/pe_adult_2027_1/effect?count=10"), 202))
    (found,) = task["result"]
    assert task["state"] == "done"
    assert (found["form_id"], found["former"]) == ("small (training)", "pe_adult_2026_1")
    assert found["changes"]


def test_only_authors_publish_tables(field: Field) -> None:
    for who in ("revisor", "publicacion", "proteccion-17"):
        assert code(put(client(field, who), "policies/pe_adult_2027_1", POLICY)) == (403, "role.missing")
    assert code(put(client(field, "autora"), "policies/no-name", POLICY))[1] == "form.problems"
    assert code(put(client(field, "autora"), "policies/pe_adult_2027_1", "\x00"))[1] == "form.problems"
