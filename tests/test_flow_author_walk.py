"""Runs every command of docs/authors.md in order, against a real server process and real tablet folders.

A new author must succeed with the guide alone. openpyxl edits the spreadsheet in place of LibreOffice.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from string import Template
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner
from openpyxl.worksheet.worksheet import Worksheet

from conftest import World
from server.cli.demo.server_process import ServerProcess
from server.cli.main import main
from support.documents import AUTHORS, WALK, blocks, section
from sync.tablet.client import Tablet
from test_flow_commands import Terminal, server  # noqa: F401 (a fixture)

FORM = "pe_laboral_adulto"


class Walk:
    """Runs the guide's commands one by one. `stands_for` has the values of the placeholders in capitals."""

    def __init__(self, people_url: str) -> None:
        lines = "".join(blocks(section(AUTHORS, WALK))).splitlines()
        self.shell = dict(line.split("=", 1) for line in lines if not line.startswith(("chaski ", "export ")))
        self.shell = {name: value.strip('"') for name, value in self.shell.items()}
        self.commands = [line for line in lines if line.startswith("chaski ")]
        self.people_url = people_url
        self.stands_for: dict[str, str] = {}

    def on(self, expected: str, *, exit_code: int = 0) -> Any:
        """Run the guide's next command, which must begin with `expected`. Return its JSON output, or None."""
        line = Template(self.commands.pop(0)).substitute(self.shell)
        for word, meant in self.stands_for.items():
            line = line.replace(word, meant)
        words = shlex.split(line)[1:]
        assert words[: len(expected.split())] == expected.split(), f"the next command of the guide is: {line}"
        if "--login" in words:
            words += ["--server", self.people_url]
        result = CliRunner().invoke(main, words if expected.startswith("forms export") else [*words, "--json"])
        assert result.exit_code == exit_code, f"{line}: {result.output}"
        return json.loads(result.stdout) if "--json" not in expected and result.stdout.startswith(("{", "[")) else None


@pytest.fixture
def walk(world: World, server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:  # noqa: F811
    """The state after `make run`: a folder var/, one form in use, one tablet in Madre de Dios."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").symlink_to(world.data.parent)
    terminal = Terminal(world, server)
    monkeypatch.setenv("CHASKI_PIN", terminal.pin)
    terminal.says("forms", "compile", FORM, "--out", "first.bundle")
    for login, office in (("autora", "author"), ("revisor", "reviewer")):
        folder = world.people / login
        key = ("--key", folder / f"{office}.key", "--passphrase-file", folder / "passphrase.txt")
        terminal.says("forms", "sign", FORM, "first.bundle", *key)
    terminal.as_person("publicacion", "forms", "publish", "first.bundle")
    invited = terminal.as_person("publicacion", "device", "invite", "--label", "Mazuko 1", "--region", "17")
    enrolled = json.loads(terminal.says("device", "enrol", invited["invitation"], "--tablet", "var/tablet"))
    registrar = world.people / "registro"
    keys = ("--key", registrar / "registrar.key", "--key-passphrase-file", registrar / "passphrase.txt")
    said = ("device", "approve", enrolled["dev"], "--words", " ".join(enrolled["words"]))
    terminal.as_person("registro", *said, *keys)
    terminal.says("device", "pull", "--tablet", "var/tablet")
    return Walk(server.people_url)


def edit(changes: dict[str, dict[str, str]]) -> None:
    """Change cells of mi_form.xlsx. Keys: a row's name or code, or `settings`; then the column's heading."""
    book = openpyxl.load_workbook("mi_form.xlsx")
    for row, cells in changes.items():
        sheet: Worksheet = book["settings" if row == "settings" else "indicators" if "." in row else "survey"]
        columns = {cell.value: cell.column for cell in sheet[1]}
        key = columns.get("name") or columns.get("code")
        number = 2 if key is None else next(line[key - 1].row for line in sheet if line[key - 1].value == row)
        for heading, text in cells.items():
            sheet.cell(number, columns[heading]).value = text
    book.save("mi_form.xlsx")


def shas(walk: Walk, tablet: str) -> set[str]:
    """Run the guide's next sync; return the hashes of the tablet's forms."""
    walk.on(f"device sync --tablet {tablet}")
    with Tablet(Path(tablet)) as opened:
        return {form.sha for form in opened.status().forms}


def test_the_guide_leads_from_a_spreadsheet_to_the_tablets_of_a_region_and_back(walk: Walk) -> None:
    walk.stands_for["INVITATION"] = walk.on("device invite")["invitation"]
    enrolled = walk.on("device enrol")
    walk.stands_for |= {"DEV": enrolled["dev"], "WORDS": " ".join(enrolled["words"])}
    walk.on("device approve")
    (first,) = walk.on("device pull")["forms"]

    # The author changes the form and makes an error: a condition names a question that does not exist.
    walk.on(f"forms export {FORM} mi_form.xlsx")
    edit({"settings": {"version": "2026120101"}, "deuda": {"label::Español (es)": "¿Le debe plata a alguien de aquí?"}})
    edit({"D4.01": {"when": "${hora} >= 11 and ${dias} >= 6"}})
    problems = walk.on("forms check mi_form.xlsx", exit_code=1)["problems"]
    slips = [(each["code"], each["sheet"], each["column"]) for each in problems if each["blocking"]]
    assert slips == [("reference.unknown", "indicators", "when")]
    edit({"D4.01": {"when": "${horas} >= 11 and ${dias} >= 6"}})
    walk.on("forms check mi_form.xlsx", exit_code=1)  # Quechua and Aymara are stale now; that does not block.
    told = {each["code"]: each["en"] for each in walk.on("forms diff")["changes"]}
    assert {"text.reworded", "mapping.changed"} <= told.keys()
    assert "stale" in told["text.reworded"]
    impact = walk.on("forms impact")
    assert impact["made_up"] == 300
    assert impact["moved_outcomes"] > 0

    # Two people sign. The server never gets a key.
    drafted = walk.on("forms draft")
    assert (drafted["id"], drafted["state"]) == (2, "draft")
    assert walk.on("forms sign 2 --from mi_form.xlsx")["state"] == "in_review"
    assert walk.on("forms sign 2")["state"] == "approved"

    # A ring of one region: its tablet gets the version, a tablet of another region does not.
    walk.on("forms publish 2 --regions 21")
    assert shas(walk, "var/puno") == {drafted["sha"]}
    assert shas(walk, "var/tablet") == {first["sha"]}
    due = {(each["region"], each["sha"]): each["due"] for each in walk.on("forms inventory")["versions"]}
    assert (due["21", drafted["sha"]], due["17", first["sha"]]) == (1, 1)
    walk.on("forms widen 2 --regions 21,17")
    assert shas(walk, "var/tablet") == {drafted["sha"]}
    assert walk.on("forms halt 2")["state"] == "halted"
    assert shas(walk, "var/tablet") == {first["sha"]}
    assert walk.on("forms resume 2")["state"] == "live"
    walk.on("forms roll-back 1")
    assert shas(walk, "var/puno") == {first["sha"]}
    assert [ring["state"] for ring in walk.on("forms rings") if ring["version"] == 2] == ["ended"]
    assert not walk.commands, "the guide has more commands than this test"
