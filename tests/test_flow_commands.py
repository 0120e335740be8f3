"""The whole process by commands, from a workbook to a closed referral, against a real server over HTTP."""

from __future__ import annotations

import csv
import io
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conftest import World
from server.cli.demo.server_process import ProcessError, ServerProcess, free_ports
from server.cli.demo.story import ANSWERS, FORM
from server.cli.main import main
from server.database.sqlite import SqliteDatabase
from server.store import statistics
from server.store.statistics import ScreeningFacts


@pytest.fixture
def server(world: World) -> Iterator[ServerProcess]:
    """A server process on the data of `world`."""
    process = ServerProcess(world.data.parent, *free_ports(2))
    process.start()
    yield process
    process.kill()


class Terminal:
    """Runs commands with --json, with the accounts of the demo's people."""

    def __init__(self, world: World, server: ServerProcess) -> None:
        self.world, self.server = world, server
        self.pin = json.loads(self.says("trust", "show", "--data", world.data))["pin"]

    def says(self, *words: object) -> str:
        result = CliRunner().invoke(main, [*map(str, words), "--json"])
        assert result.exit_code == 0, result.output
        return result.stdout

    def as_person(self, login: str, *words: object) -> Any:
        phrase = self.world.people / login / "passphrase.txt"
        who = ("--login", login, "--passphrase-file", phrase, "--server", self.server.people_url, "--pin", self.pin)
        return json.loads(self.says(*words, *who))

    def at_desk(self, login: str, *words: object) -> Any:
        return self.as_person(login, "desk", *words)


def test_commands_alone_bring_a_screening_from_workbook_to_desk(
    world: World, server: ServerProcess, tmp_path: Path
) -> None:
    terminal = Terminal(world, server)
    file, tablet, key = tmp_path / "form.bundle", tmp_path / "tablet", "registrar.key"
    terminal.says("forms", "compile", FORM, "--out", file)
    for login, office in (("autora", "author"), ("revisor", "reviewer")):
        folder = world.people / login
        words = ("--key", folder / f"{office}.key", "--passphrase-file", folder / "passphrase.txt")
        terminal.says("forms", "sign", FORM, file, *words)
    published = terminal.as_person("publicacion", "forms", "publish", file)

    png = tmp_path / "code.png"
    invite = ("device", "invite", "--label", "Puno 1", "--region", "21", "--png", png)
    invited = terminal.as_person("publicacion", *invite)
    assert png.read_bytes().startswith(b"\x89PNG")
    enrolled = json.loads(terminal.says("device", "enrol", invited["invitation"], "--tablet", tablet))
    listed = terminal.as_person("registro", "device", "list")
    assert [(each["dev"], each["state"]) for each in listed] == [(enrolled["dev"], "pending")]
    assert enrolled["words"][0] not in json.dumps(listed), "the registrar must hear the words and cannot copy them"
    registrar = world.people / "registro"
    keys = ("--key", registrar / key, "--key-passphrase-file", registrar / "passphrase.txt")
    words = ("--words", " ".join(enrolled["words"]))
    terminal.as_person("registro", "device", "approve", enrolled["dev"], *words, *keys)

    pulled = json.loads(terminal.says("device", "pull", "--tablet", tablet))
    assert [form["sha"] for form in pulled["forms"]] == [published["sha"]]
    answers = ANSWERS / "2_ananea_es.json"
    screened = terminal.says("device", "screen", FORM, "--tablet", tablet, "--answers", answers)
    assert "labour" not in screened, "the command does not show the outcome"
    synced = json.loads(terminal.says("device", "sync", "--tablet", tablet))
    assert [receipt["outcome"] for receipt in synced["receipts"]] == ["stored"]

    [referral] = terminal.at_desk("trabajo-21", "queue", "21-labour", "--mode", "training")
    opened = terminal.at_desk("trabajo-21", "open", referral["id"])
    assert (opened["outcome"], opened["agrees"]) == ("labour_rights", True)
    terminal.at_desk("trabajo-21", "claim", referral["id"])
    terminal.at_desk("trabajo-21", "accept", referral["id"])
    closed = terminal.at_desk("trabajo-21", "close", referral["id"], "--result", "attended")
    assert closed["state"] == "closed"
    told = json.loads(terminal.says("device", "sync", "--tablet", tablet))["events"]
    assert [event["status"] for event in told] == ["accepted", "closed"]


def test_approve_refuses_six_wrong_words(world: World, server: ServerProcess, tmp_path: Path) -> None:
    terminal, tablet = Terminal(world, server), tmp_path / "tablet"
    invited = terminal.as_person("publicacion", "device", "invite", "--label", "Puno 1", "--region", "21")
    enrolled = json.loads(terminal.says("device", "enrol", invited["invitation"], "--tablet", tablet))
    folder = world.people / "registro"
    phrase = folder / "passphrase.txt"
    keys = ("--key", folder / "registrar.key", "--key-passphrase-file", phrase)
    who = ("--login", "registro", "--passphrase-file", phrase, "--server", server.people_url, "--pin", terminal.pin)
    words = ("device", "approve", enrolled["dev"], "--words", "uno dos tres cuatro cinco seis", *keys, *who)
    result = CliRunner().invoke(main, [*map(str, words)])
    assert result.exit_code == 1
    assert "enrolment.wrong_words" in result.stderr
    assert json.loads(terminal.says("device", "pull", "--tablet", tablet))["certified"] is False


def test_a_server_on_a_port_in_use_fails_and_names_the_port(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ProcessError, match=f"port {port} is taken"):
            ServerProcess(world.data.parent, port, *free_ports(1)).start()


def old_months(world: World) -> None:
    """Count screenings of a year that is over; the server process works with the real clock."""
    known = {"outcome": "negative", "region": "17", "age_band": "30_59", "sector": "other", "lang": "es"}
    women, men = ({**known, "sex": sex} for sex in ("female", "male"))
    with closing(SqliteDatabase(world.config.database)) as db, db.write() as w:
        facts = [ScreeningFacts("field", each) for each in (*[women] * 50, *[men] * 40)]
        statistics.count_screenings(w, facts, at=1_600_000_000_000)


def test_statistics_prints_csv_with_fixed_rows_text_and_json(world: World) -> None:
    old_months(world)
    process = ServerProcess(world.data.parent, *free_ports(2))
    process.start()
    try:
        terminal = Terminal(world, process)
        phrase = world.people / "publicacion" / "passphrase.txt"
        who = ("--login", "publicacion", "--passphrase-file", phrase, "--server", process.people_url)
        who = (*who, "--pin", terminal.pin)

        def run(*words: object) -> Result:
            return CliRunner().invoke(main, [str(each) for each in ("statistics", *who, *words)])

        lines = list(csv.DictReader(io.StringIO(run("--csv").stdout)))
        assert list(lines[0]) == ["period", "table", "value", "count"]
        assert {(each["table"], each["value"], each["count"]) for each in lines} >= {
            ("sex", "female", "50"),
            ("sex", "male", "hidden"),
            ("sex", "other", "< 11"),
            ("sex", "total", "90"),
            ("region", "25", "< 11"),
        }
        assert len(lines) == sum(len(values) + 1 for values in statistics.VALUES.values())
        assert {each["period"] for each in lines} == {"2020-09"}
        text = run().stdout
        assert "2020-09  90 screenings" in text
        assert "sex       female 50; hidden: male unstated; < 11: no_answer other" in text
        assert terminal.as_person("publicacion", "statistics")[0]["table"] == "outcome"
        assert run("--csv", "--mode", "training").stdout == "period,table,value,count\n"
        assert run("--mode", "training").stdout == "No period is published yet.\n"
        assert "exclude each other" in run("--csv", "--json").stderr
    finally:
        process.kill()


def test_statistics_is_refused_to_a_coordinator_with_the_reason(world: World, server: ServerProcess) -> None:
    phrase = world.people / "nacional" / "passphrase.txt"
    words = ("--login", "nacional", "--passphrase-file", phrase, "--server", server.people_url)
    words = (*words, "--pin", Terminal(world, server).pin)
    result = CliRunner().invoke(main, [*map(str, ("statistics", "--csv", *words))])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "role.missing" in result.stderr
