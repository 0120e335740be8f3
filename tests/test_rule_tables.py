"""Indicator sets and policies that authors publish: never changed, never reused, and what they do to forms."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest
from intake_material import Field
from test_authors_door import SOURCE, body
from test_people_door import GUARD, Client, client, code

from screening_forms import package
from screening_forms.shelf import SHIPPED

POLICY = SHIPPED.policies["pe_adult_2026_1"]
SET = SHIPPED.indicator_sets["ilo_delphi_2009"]


def put(who: Client, path: str, text: str) -> Any:
    return who.http.put(f"/v1/{path}", data=text.encode(), headers=GUARD)


def ended(who: Client, begun: dict[str, Any]) -> dict[str, Any]:
    """Wait for a task."""
    moment = threading.Event()
    while (task := body(who.get(f"/v1/tasks/{begun['id']}")))["state"] in ("waiting", "running"):
        moment.wait(0.1)
    found: dict[str, Any] = task
    return found


def test_a_new_policy_names_the_forms_that_use_the_old_one_and_drafts_them_anew(field: Field) -> None:
    author = client(field, "autora")
    used = body(author.post("/v1/drafts", data=SOURCE.encode()), 201)
    done = body(put(author, "policies/pe_adult_2026_2", POLICY))
    assert (done["family"], done["former"]) == ("pe_adult", "pe_adult_2026_1")
    assert [each["id"] for each in done["users"]] == [used["id"]]
    task = ended(author, body(author.post("/v1/policies/pe_adult_2026_2/drafts"), 202))
    (drafted,) = task["result"]
    assert (task["state"], drafted["former"], drafted["code"]) == ("done", used["id"], "")
    made = body(author.get(f"/v1/versions/{drafted['draft']}"))
    assert (made["policy"], made["state"], made["form"]) == ("pe_adult_2026_2", "draft", used["form"])
    assert made["version"] != used["version"]
    source = author.get(f"/v1/versions/{made['id']}/source").data
    assert package.read(source).own.policies == {"pe_adult_2026_2": POLICY}, "a reviewer needs nothing but the package"
    assert body(put(author, "policies/pe_adult_2026_2", POLICY))["users"] == [], "the newest draft uses it already"


def test_a_name_is_never_used_for_another_table(field: Field) -> None:
    author = client(field, "autora")
    assert put(author, "policies/pe_adult_2026_2", POLICY).status_code == 200
    assert put(author, "policies/pe_adult_2026_2", POLICY).status_code == 200, "the same again is the same"
    changed = POLICY.replace("prompt", "routine")
    for name in ("pe_adult_2026_2", "pe_adult_2026_1"):
        refused = put(author, f"policies/{name}", changed)
        assert code(refused) == (422, "form.problems")
        assert [each["code"] for each in refused.json["problems"]] == ["policy.name_used"]
    assert author.get("/v1/policies/pe_adult_2026_2").data.decode() == POLICY
    assert [each["name"] for each in body(author.get("/v1/policies"))] == ["pe_adult_2026_2"]
    assert code(author.get("/v1/policies/pe_adult_2026_1")) == (404, "table.unknown")
    for deed in ("update rule_tables set body = ''", "delete from rule_tables"):
        with pytest.raises(sqlite3.IntegrityError, match="never"), field.parts.db.write() as w:
            w.execute(deed)


def test_a_code_is_never_reused_for_another_meaning(field: Field) -> None:
    author = client(field, "autora")
    other = SET.replace("Deceived about the nature", "Paid for the nature")
    assert other != SET
    refused = put(author, "indicator-sets/ilo_delphi_2026", other)
    assert [each["code"] for each in refused.json["problems"]] == ["indicator_set.code_reused"]
    assert put(author, "indicator-sets/ilo_delphi_2026", SET).status_code == 200


def test_a_package_brings_no_other_table_under_a_published_name(field: Field) -> None:
    author = client(field, "autora")
    found = package.read(SOURCE.encode())
    other = SHIPPED.over(SHIPPED)
    other.policies["pe_adult_2026_1"] = POLICY.replace("prompt", "routine")  # type: ignore[index]
    smuggled = package.pack(package.Package(found.workbook, found.name, found.content, other))
    refused = author.post("/v1/drafts", data=smuggled)
    assert [each["code"] for each in refused.json["problems"]] == ["table.name_used"]  # type: ignore[index]


def test_what_a_new_set_would_change_is_asked_after(field: Field) -> None:
    author = client(field, "autora")
    body(author.post("/v1/drafts", data=SOURCE.encode()), 201)
    body(put(author, "policies/pe_adult_2026_2", POLICY.replace("prompt", "routine")))
    task = ended(author, body(author.post("/v1/policies/pe_adult_2026_2/effect?count=10"), 202))
    (found,) = task["result"]
    assert task["state"] == "done"
    assert (found["form_id"], found["former"]) == ("pe_laboral_adulto (training)", "pe_adult_2026_1")
    assert found["changes"]


def test_only_authors_publish_tables(field: Field) -> None:
    for who in ("revisor", "publicacion", "proteccion-17"):
        assert code(put(client(field, who), "policies/pe_adult_2026_2", POLICY)) == (403, "role.missing")
    assert code(put(client(field, "autora"), "policies/no-name", POLICY))[1] == "form.problems"
    assert code(put(client(field, "autora"), "policies/pe_adult_2026_2", "\x00"))[1] == "form.problems"
