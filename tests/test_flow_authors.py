"""Tests of the commands of authors, reviewers and publishers against a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from screening_forms.workbook.package import load_package
from screening_forms.workbook.resources import BUILT_IN
from server.cli.authors import sign as signing
from server.cli.main import main
from server.flows.forms import upload_sandbox, versions
from server.flows.trust import documents as trust_documents
from support.forms import SMALL
from support.intake import Field, run_servers

LATER = SMALL.replace("| Diez preguntas | 1 |", "| Diez preguntas | 2 |").replace(
    "¿Tiene una deuda?", "¿Debe plata?", 1
)


@dataclass
class Line:
    """A running server with its data, and a folder for files."""

    field: Field
    url: str
    folder: Path

    @property
    def pin(self) -> str:
        return self.field.trust.pin

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["forms", *words])

    def ask(self, who: str, *words: str, pin: str = "") -> Result:
        """Run a command that signs in as `who`."""
        phrase = str(self.field.world.people / who / "passphrase.txt")
        return self.run(
            *words, "--server", self.url, "--login", who, "--passphrase-file", phrase, "--pin", pin or self.pin
        )

    def says(self, who: str, *words: str) -> Any:
        """Run the same with --json, expect exit code 0, and return the data."""
        done = self.ask(who, *words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def key(self, who: str, role: str) -> tuple[str, str]:
        return "--key", str(self.field.world.people / who / f"{role}.key")

    def own(self) -> tuple[str, ...]:
        """Options: the author's key, and her own form."""
        return (*self.key("autora", "author"), "--from", str(self.folder / "form.md"))

    def workbook(self, name: str = "form.md", text: str = SMALL) -> str:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def chosen(self, region: str) -> str | None:
        manifest = trust_documents.manifest_in_force(self.field.services.db.read())
        return manifest.choose("small", "any", region)


@pytest.fixture
def line(field: Field, tmp_path: Path) -> Iterator[Line]:
    with run_servers(field) as (_, people):
        yield Line(field, f"http://127.0.0.1:{people}", tmp_path)


def approved(line: Line, text: str = SMALL) -> dict[str, Any]:
    made = line.says("autora", "draft", line.workbook(text=text))
    line.says("autora", "sign", str(made["id"]), *line.own())
    done: dict[str, Any] = line.says("revisor", "sign", str(made["id"]), *line.key("revisor", "reviewer"))
    return done


def test_commands_bring_a_form_from_a_workbook_to_a_ring_and_back(line: Line) -> None:
    first = approved(line)
    assert (first["state"], first["signed_as"], first["validated"]) == ("approved", "reviewer", "accepted")
    line.says("publicacion", "publish", str(first["id"]))
    later = SMALL.replace(f"| {first['version']} |", "| 2026123101 |").replace("¿Tiene una deuda?", "¿Debe plata?", 1)
    made = line.says("autora", "draft", line.workbook(text=later))
    told = line.ask("autora", "sign", str(made["id"]), *line.own())
    assert "the same bytes" in told.output
    assert f"Against version {first['version']}" in told.output
    line.says("revisor", "sign", str(made["id"]), *line.key("revisor", "reviewer"))
    ring = line.says("publicacion", "publish", str(made["id"]), "--regions", "21")
    assert (line.chosen("21"), line.chosen("17")) == (made["sha"], first["sha"])
    line.says("publicacion", "widen", str(ring["id"]), "--regions", "17,21", "--share", "1000")
    assert line.chosen("17") == made["sha"]
    line.says("publicacion", "halt", str(ring["id"]), "--reason", "Se cierra sola.")
    assert line.chosen("17") == first["sha"]
    line.says("publicacion", "resume", str(ring["id"]))
    line.says("publicacion", "roll-back", str(first["id"]), "--reason", "Mejor así.")
    assert {line.chosen(region) for region in ("17", "21")} == {first["sha"]}
    assert line.says("publicacion", "rings", "--form", first["form"])[0]["state"] == "live"
    assert line.says("publicacion", "close", str(made["id"]))["state"] == "closing"
    assert line.says("publicacion", "retire", str(made["id"]))["state"] == "retired"
    planned = line.says("publicacion", "publish", str(first["id"]), "--at", "2999-01-01 08:00")
    assert planned["state"] == "planned"


def test_sign_refuses_a_version_that_compiles_to_other_bytes_here(line: Line) -> None:
    made = line.says("autora", "draft", line.workbook())
    with line.field.services.db.write() as w:  # A hostile server shows one form and stores another.
        body = w.execute("select body from versions where id = ?", [made["id"]]).fetchone()[0]
        changed = body.replace("¿".encode(), b"?", 1)
        w.execute("update versions set body = ? where id = ?", [changed, made["id"]])
    refused = line.ask("autora", "sign", str(made["id"]), *line.own())
    assert refused.exit_code == 1
    assert "nothing was signed" in refused.output
    assert line.says("autora", "show", str(made["id"]))["state"] == "draft"


def test_an_author_signs_only_a_version_equal_to_her_own_form(line: Line) -> None:
    made = line.says("autora", "draft", line.workbook(text=SMALL.replace("¿Tiene una deuda?", "¿Debe plata?", 1)))
    blindly = line.ask("autora", "sign", str(made["id"]), *line.key("autora", "author"))
    assert (blindly.exit_code, "--from" in blindly.output) == (2, True)
    line.workbook()  # Her own machine has another form.
    refused = line.ask("autora", "sign", str(made["id"]), *line.own())
    assert (refused.exit_code, "nothing was signed" in refused.output) == (1, True)
    kept = line.folder / "source.zip"
    line.says("revisor", "show", str(made["id"]), "--save", str(kept))
    assert "¿Debe plata?" in load_package(kept).content.decode()


def test_sign_asks_for_confirmation_without_a_valid_version_in_use(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "is_interactive", lambda: True)
    monkeypatch.setattr(upload_sandbox, "validate", lambda *_: "accepted")
    made = str(line.says("autora", "draft", line.workbook())["id"])
    first = line.ask("autora", "sign", made, *line.own())
    assert (first.exit_code, "names no version" in first.output) == (1, True)  # The question got no answer.
    assert line.says("autora", "sign", made, *line.own())["before"] is None
    line.says("revisor", "sign", made, *line.key("revisor", "reviewer"))
    line.says("publicacion", "publish", made)
    later = str(line.says("autora", "draft", line.workbook(text=LATER))["id"])
    assert line.says("autora", "sign", later, *line.own())["before"] == int(made)
    reviewer = line.key("revisor", "reviewer")
    other = line.ask("revisor", "sign", later, *reviewer, pin="0" * 64)
    assert (other.exit_code, "trust.wrong_pin" in other.output) == (1, True)


def test_sign_does_not_compare_with_a_version_that_has_too_few_signatures(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_sandbox, "validate", lambda *_: "accepted")
    made = str(line.says("autora", "draft", line.workbook())["id"])
    line.says("autora", "sign", made, *line.own())
    # A hostile server claims that tablets already use this form.
    monkeypatch.setattr(versions, "previous_in_use", lambda _, version: version)
    told = line.ask("revisor", "sign", made, *line.key("revisor", "reviewer"))
    assert "not signed as it must be (signed.too_few)" in " ".join(told.output.split())


def test_draft_lists_the_same_problems_as_check(line: Line) -> None:
    name = line.workbook(text=SMALL.replace("relevant", "relevent", 1))
    here, there = line.run("check", name), line.ask("autora", "draft", name)
    assert (here.exit_code, there.exit_code) == (1, 1)
    assert "relevent" in there.stderr
    assert "relevent" in here.stderr
    assert line.says("autora", "versions") == line.says("revisor", "versions")


def test_return_withdraw_and_discard_change_a_draft(line: Line) -> None:
    made = line.says("autora", "draft", line.workbook())
    id_ = str(made["id"])
    line.says("autora", "sign", id_, *line.own())
    returned = line.says("revisor", "return", id_, "--reason", "La pregunta 4 no se entiende.")
    assert (returned["state"], returned["reason"]) == ("draft", "La pregunta 4 no se entiende.")
    assert "La pregunta 4" in line.ask("autora", "show", id_).output
    line.says("autora", "sign", id_, *line.own())
    assert line.says("autora", "withdraw", id_)["state"] == "draft"
    line.says("autora", "discard", id_)
    gone = line.ask("autora", "show", id_)
    assert (gone.exit_code, "This version does not exist" in gone.output) == (1, True)


def test_every_list_is_printed_as_text_without_json(line: Line) -> None:
    made = approved(line)
    line.says("publicacion", "publish", str(made["id"]), "--devices", "a" * 22)
    tablet = line.field.tablet()
    line.field.ask(tablet, line.field.message(tablet, inventory={made["form"]: "0" * 64}))
    for words, seen in (
        (("versions",), "small 1"),
        (("rings",), "1 named tablet(s)"),
        (("inventory",), "behind since"),
        (("inventory", "--region", "17"), "behind since"),
        (("show", str(made["id"])), "approved by revisor"),
    ):
        told = line.ask("publicacion", *words)
        assert (told.exit_code, seen in told.output.replace("\n", " ")) == (0, True), told.output


def test_a_token_is_shown_once_listed_and_ended(line: Line) -> None:
    made = line.says("autora", "token", "new", "script", "--role", "author", "--days", "7")
    assert made["token"].startswith("chaski_")
    (listed,) = line.says("autora", "token", "list")
    assert (listed["label"], listed["roles"], listed["revoked"]) == ("script", ["author"], None)
    line.says("autora", "token", "revoke", made["id"])
    assert "script" in line.ask("autora", "token", "list").output
    refused = line.ask("autora", "token", "new", "more", "--role", "publisher")
    assert refused.exit_code == 1


def test_sign_needs_a_login_for_an_id_and_a_file_for_a_form(line: Line) -> None:
    for words in (("12",), ("pe_laboral_adulto",)):
        refused = line.run("sign", *words, *line.key("autora", "author"))
        assert refused.exit_code == 2
        assert "--login" in refused.output


def test_publish_table_and_redraft_make_drafts_with_the_new_policy(line: Line) -> None:
    made = line.says("autora", "draft", line.workbook())
    name = line.workbook("pe_adult_2027_1.csv", BUILT_IN.policies["pe_adult_2026_1"])
    done = line.says("autora", "publish-table", name, "--kind", "policy")
    assert [each["id"] for each in done["users"]] == [made["id"]]
    (drafted,) = line.says("autora", "redraft", "pe_adult_2027_1", "--kind", "policy")
    assert line.says("autora", "show", str(drafted["draft"]))["policy"] == "pe_adult_2027_1"
    again = line.ask("autora", "redraft", "pe_adult_2027_1", "--kind", "policy")
    assert "No form uses an earlier table" in again.output
    changed = line.workbook("pe_adult_2027_1.csv", BUILT_IN.policies["pe_adult_2026_1"].replace("prompt", "routine"))
    refused = line.ask("autora", "publish-table", changed, "--kind", "policy")
    assert (refused.exit_code, "policy.name_used" in refused.stderr) == (1, True)
