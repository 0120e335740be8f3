"""Tests that a value is printed as it is: no markup, no control of the terminal, no line of its own."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import sys
import typing
import unicodedata
from pathlib import Path
from types import UnionType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from conftest import World
from server import app
from server.cli.main import main
from server.cli.safe_console import HangingLine, SafeConsole, escaped, make_table, visible
from server.cli.staff_session import Account
from server.problems import Problem
from support.backups import lose_database
from support.forms import SMALL
from support.greedy_terminal import cells, rows
from support.hostile_values import CONTROL, MARK, NASTY, HostileStaff
from support.intake import Field
from support.terminal import Commands, Inspector
from sync.desk.client import DeskClient
from sync.errors import SyncError
from sync.exchange.transport import RefusedError
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet
from sync.tablet.status import PullResult, SyncReport, TabletStatus
from sync.wire.encoding import b64u

ROOT = Path(__file__).parents[1]
LOGIN = ("--login", "any")


def chaski(*words: object) -> Result:
    """Run a command in this process, in a wide window."""
    return CliRunner().invoke(main, [str(word) for word in words], env={"COLUMNS": "2000", "CHASKI_PIN": "0" * 64})


def assert_as_it_is(result: Result) -> None:
    """The value is on the screen as it is, on one line, and nothing in it reached the terminal as a control."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    said = result.stdout + result.stderr
    assert not CONTROL.search(said), repr(said)
    assert not any(line.startswith("Recalculado") for line in said.splitlines())


@pytest.fixture
def hostile(field: Field, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Answer every staff command with NASTY in every text."""
    document = app.staff_api(field.services).test_client().get("/openapi.json").json
    assert document

    def answer(**own: Any) -> None:
        staff = HostileStaff(document, **own)
        monkeypatch.setattr(Account, "sign_in", lambda account: staff)
        desk = DeskClient.__new__(DeskClient)
        desk.staff = staff  # type: ignore[assignment]
        monkeypatch.setattr(Account, "open_desk", lambda account, *args, **options: _Closed(desk))

    answer()
    return answer


class _Closed:
    """A context manager around a desk that has nothing to close."""

    def __init__(self, desk: DeskClient) -> None:
        self._desk = desk

    def __enter__(self) -> DeskClient:
        return self._desk

    def __exit__(self, *ended: object) -> None:
        """Do nothing."""


SERVER_COMMANDS: dict[str, tuple[str, ...]] = {
    "device invite": ("--label", "x", "--region", "17"),
    "device list": (),
    "desk queue": (),
    "desk queue 17-child": (),
    "desk claim r1": (),
    "desk accept r1": (),
    "desk close r1": ("--result", "attended"),
    "desk work": (),
    "desk work 1": (),
    "desk decide 1 release": (),
    "forms versions": (),
    "forms show 1": (),
    "forms return 1": ("--reason", "x"),
    "forms withdraw 1": (),
    "forms publish 1": (),
    "forms rings": (),
    "forms widen 1": (),
    "forms halt 1": ("--reason", "x"),
    "forms resume 1": (),
    "forms roll-back 1": ("--reason", "x"),
    "forms close 1": (),
    "forms retire 1": (),
    "forms inventory": (),
    "forms token list": (),
    "forms token new x": ("--role", "author"),
    "forms sign 1": ("--key", __file__),
    "statistics": (),
}


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("command", SERVER_COMMANDS)
def test_nothing_that_a_server_says_controls_the_terminal(hostile: Any, command: str, more: tuple[str, ...]) -> None:
    result = chaski(*command.split(), *SERVER_COMMANDS[command], *LOGIN, *more)
    assert_as_it_is(result)
    assert MARK[:4] in result.stdout + result.stderr, "a narrow cell may cut the rest off"


def test_the_result_of_a_servers_task_controls_no_terminal(hostile: Any) -> None:
    problem = dict.fromkeys(("sheet", "row", "code", "advice_es"), NASTY)
    drafted = {**dict.fromkeys(("form", "channel", "former", "code"), NASTY), "draft": None, "problems": [problem]}
    hostile(problem=None, result=[drafted])
    result = chaski("forms", "redraft", "x", "--kind", "policy", *LOGIN)
    assert_as_it_is(result)
    assert MARK in result.stdout


def test_statistics_as_a_table_for_programs_keep_one_row_for_each_value(hostile: Any) -> None:
    result = chaski("statistics", "--csv", *LOGIN)
    assert_as_it_is(result)
    assert len(result.stdout.splitlines()) == 3


def test_the_label_of_a_tablet_is_shown_as_it_is_before_a_registrar_confirms(world: World, hostile: Any) -> None:
    key = SigningKey.generate().public
    hostile(dev=key.kid, key=b64u(key.raw), order=1)
    folder = world.people / "registro"
    words = ("--key", folder / "registrar.key", "--key-passphrase-file", folder / "passphrase.txt", "--confirm", "no")
    result = chaski("device", "wipe", key.kid, *words, *LOGIN)
    assert_as_it_is(result)
    assert MARK in result.stderr


@pytest.mark.parametrize(
    "error",
    [
        SyncError("x.y", NASTY),
        RefusedError(422, {"code": NASTY, "title": NASTY, "advice": NASTY, "detail": NASTY}),
        Problem("work.unknown", NASTY),
        click.ClickException(NASTY),
        click.UsageError(NASTY),
        OSError(2, NASTY, NASTY),
    ],
    ids=lambda error: type(error).__name__,
)
def test_nothing_in_an_error_controls_the_terminal(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(account: Account) -> None:
        raise error

    monkeypatch.setattr(Account, "sign_in", fail)
    result = chaski("device", "list", *LOGIN)
    assert_as_it_is(result)
    assert MARK in result.stderr
    assert result.exit_code in (1, 2)


# Tablets and files


def poisoned(kind: Any) -> Any:
    """A value of this type with NASTY in every text."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{each.name: poisoned(hints[each.name]) for each in dataclasses.fields(kind)})  # type: ignore[operator]
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return (poisoned(parts[0]),)
    if origin in (UnionType, typing.Union):
        return poisoned(parts[0])
    if origin is not None:
        return {}
    return {str: NASTY, int: 1, bool: True}[kind]


@pytest.mark.parametrize(("verb", "kind"), [("status", TabletStatus), ("pull", PullResult), ("sync", SyncReport)])
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_nothing_that_a_tablet_holds_controls_the_terminal(
    verb: str, kind: type, more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = poisoned(kind)
    monkeypatch.setattr(Tablet, verb, lambda tablet: told)
    result = chaski("device", verb, "--tablet", tmp_path / "tablet", *more)
    assert_as_it_is(result)
    assert MARK in result.stdout


FORM_COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("FORM",),
    "compile": ("FORM",),
    "diff": ("OLD", "FORM", "--count", "0"),
    "impact": ("OLD", "FORM", "--count", "3"),
    "translations status": ("FORM", "--findings"),
    "sign": ("FORM", "FILE", "--key", "FILE"),
    "try": ("FORM", "--case", "[/x]"),
    "score": ("FORM", "--answers", "FILE"),
}


@pytest.mark.parametrize("command", FORM_COMMANDS)
def test_nothing_in_a_form_controls_the_terminal(command: str, tmp_path: Path) -> None:
    form, old, file = tmp_path / "small.md", tmp_path / "old.md", tmp_path / "file.json"
    old.write_text(SMALL, encoding="utf-8")
    form.write_text(SMALL.replace("¿", f"{MARK} \x1b]0;t\x07\u202e¿"), encoding="utf-8")
    file.write_text(json.dumps({NASTY: NASTY, "channel": NASTY}), encoding="utf-8")
    names = {"FORM": form, "OLD": old, "FILE": file}
    assert_as_it_is(chaski("forms", *command.split(), *(names.get(word, word) for word in FORM_COMMANDS[command])))


@pytest.mark.parametrize(
    "words",
    [("trust", "show"), ("audit", "verify"), ("jobs", "list"), ("jobs", "run", "NAME")],
    ids=" ".join,
)
def test_a_file_name_is_shown_as_it_is(words: tuple[str, ...], world: World, tmp_path: Path) -> None:
    lose_database(world.data)
    place = tmp_path / NASTY.replace("/", "|")
    result = chaski(*(word if word != "NAME" else "nightly" for word in words), "--data", place)
    assert_as_it_is(result)
    assert result.exit_code in (1, 2)


# The one place


@given(st.text(), st.text())
def test_every_text_is_one_line_of_signs_that_can_be_seen(first: str, second: str) -> None:
    shown = visible(first)
    assert len(shown) == len(first)
    assert visible(shown) == shown
    assert not CONTROL.search(shown)
    assert "\n" not in shown
    console = SafeConsole(file=io.StringIO(), width=10_000)
    console.print(first, style="bold")
    console.print(Text(second))
    console.print(make_table(["a", "b"], [[first, Text(second)]]))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("\n") == 4


@pytest.mark.parametrize("width", [20, 41, 80])
def test_a_long_sentence_is_wrapped_at_words_and_nothing_of_it_is_lost(width: int) -> None:
    sentence = "Entrevista de una tableta retirada, que nadie atiende todavía: ábrala y derívela, o apártela. " * 3
    for printed in (sentence, Text(sentence), HangingLine(Text(sentence)), Group(Text(sentence))):
        console = SafeConsole(file=io.StringIO(), width=width)
        console.print(printed)
        assert isinstance(console.file, io.StringIO)
        assert console.file.getvalue().split() == sentence.split()
        assert max(map(len, console.file.getvalue().splitlines())) <= width


@given(st.text())
def test_json_output_holds_the_same_data_in_signs_that_can_be_seen(text: str) -> None:
    for given_text in (text, NASTY, "\ud800"):
        line = escaped(json.dumps({given_text: given_text}, ensure_ascii=False))
        assert json.loads(line) == {given_text: given_text}
        assert visible(line) == line


@pytest.mark.parametrize(
    "unseen",
    [
        *("\ufe00", "\ufe0f", "\u034f", "\u115f", "\u1160", "\u17b4", "\u180b", "\u180f", "\u2800", "\u3164", "\uffa0"),
        *("\U000e0100", "\U000e01ef", "\U000e0041", "\U0001f3fd", "\u0903", "\u20e3", "\u0301", "\u200d", "\u00ad"),
    ],
    ids=ascii,
)
def test_a_sign_that_is_unseen_or_of_unsure_width_is_replaced(unseen: str) -> None:
    for before in ("", "x", " ", "\u0915", "\U0001f44d"):
        assert visible(before + unseen)[-1] == "\N{REPLACEMENT CHARACTER}"


def test_no_sign_is_wider_in_a_terminal_than_it_was_counted() -> None:
    shown = [sign for sign in map(chr, range(sys.maxunicode + 1)) if visible(sign) == sign]
    assert [hex(ord(sign)) for sign in shown if cells(sign) > cell_len(sign)] == []


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_spanish_quechua_and_aymara_texts_are_shown_untouched(form: typing.Literal["NFC", "NFD"]) -> None:
    files = [*(ROOT / "locales").rglob("*.po"), *(ROOT / "screening_forms" / "catalogue").glob("*/form.md")]
    assert len(files) > 5
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            assert visible(unicodedata.normalize(form, line)) == unicodedata.normalize(form, line)


FORGED = "r-77 is accepted."


@pytest.mark.parametrize("words", [("trust", "show", "--data"), ("forms", "check"), ("desk",)], ids=" ".join)
@pytest.mark.parametrize("columns", [80])
def test_no_word_of_an_error_begins_a_line_of_a_terminal(words: tuple[str, ...], columns: int) -> None:
    commands = Commands()
    try:
        inspector = Inspector(commands, *words, "r-77 " * 40, columns=columns)
        inspector.see_text("r-77")  # A window that no program has open forgets its size.
        assert inspector.leave() != 0
        shown = rows(inspector.written, columns)
        assert "".join(shown).count("r") >= 40
        assert [row for row in shown if row.lstrip(" ")[:1] in set("r-7") and not row.startswith("  ")] == []
    finally:
        commands.close()


@pytest.mark.parametrize("soft_wrap", [False, True])
@pytest.mark.parametrize("blank", [" ", "\u3000", "\u00a0"])
def test_no_value_in_a_line_or_a_table_begins_a_line(soft_wrap: bool, blank: str) -> None:
    for length in range(60, 82):
        value = blank.join(("r" * length, FORGED, "is open."))
        console = SafeConsole(file=io.StringIO(), width=80, force_terminal=True)
        console.print(f"{value} is open.", soft_wrap=soft_wrap)
        console.print(Text(value), style="bold", soft_wrap=soft_wrap)
        console.print(make_table(["id", "state"], [[value, value]]))
        assert isinstance(console.file, io.StringIO)
        begun = [row for row in rows(console.file.getvalue(), 80) if row.startswith(("r-77", "is ", "accepted"))]
        assert begun == []


def test_a_line_for_a_file_and_a_word_for_copying_stay_whole() -> None:
    for terminal, line in ((False, "two words " * 30 + "end"), (True, "x" * 300)):
        console = SafeConsole(file=io.StringIO(), width=80, force_terminal=terminal)
        console.print(line, soft_wrap=True)
        assert isinstance(console.file, io.StringIO)
        assert console.file.getvalue() == f"{line}\n"


def test_a_group_without_a_command_shows_its_help_on_several_lines() -> None:
    assert "\n  claim " in chaski("desk").stderr


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """All calls in a module, each with its name as written."""
    return [(ast.unparse(each.func), each) for each in ast.walk(tree) if isinstance(each, ast.Call)]


@pytest.mark.parametrize(
    "file",
    [each for each in sorted((ROOT / "server" / "cli").rglob("*.py")) if each.name != "safe_console.py"],
    ids=lambda file: file.name,
)
def test_no_command_prints_past_the_one_safe_place(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    found = calls(ast.parse(source))
    allowed = {"terminal.py": {"click.echo"}}.get(file.name, set())
    forbidden = {"Console", "Table", "print", "click.echo", "click.secho", "Text.from_markup", "Text.from_ansi"}
    forbidden |= {"sys.stdout.write", "sys.stderr.write", "Status"}
    assert [name for name, _ in found if name in forbidden - allowed] == []
    named = {word.arg: word.value for _, call in found for word in call.keywords if word.arg}
    assert not (isinstance(value := named.get("markup"), ast.Constant) and value.value)
    assert "[/]" not in source
    assert "[bold" not in source
    assert "[red" not in source
