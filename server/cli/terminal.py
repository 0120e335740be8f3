"""Input and output of the commands: JSON for programs (`--json`), text for people, passphrases, times in milliseconds.

Every command module uses it, so that all commands print in the same way. It must not import a command."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from screening_forms.errors import FormProblem
from server.cli.safe_console import console, error_console, escaped, safe_text

json_option = click.option("--json", "as_json", is_flag=True, help="Print data as JSON, for programs.")


def print_result(data: Any, as_json: bool, write: Callable[[Console], None]) -> None:
    """Print `data` as JSON, or call `write` to print the same as text."""
    if as_json:
        click.echo(escaped(json.dumps(data, ensure_ascii=False, indent=2)))
    else:
        write(console)


class LazyGroup(click.Group):
    """A group that imports a command only when it is called. `lazy_commands` maps its name to `module:name`.

    `chaski device sync` therefore starts without the time that the authors' tools take to load.
    """

    def __init__(self, *args: Any, lazy_commands: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy_commands = lazy_commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy_commands:
            return None
        module, _, name = self.lazy_commands[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"server.cli.{module}"), name)
        return command


@contextmanager
def spinner(message: str) -> Iterator[Callable[[str], None]]:
    """Show a moving line on standard error while a slow step runs. When piped, it prints nothing.

    Yields a function that changes the line.
    """
    with error_console.status(safe_text(message)) as status:
        yield lambda words: status.update(safe_text(words))


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`. Raises UsageError with the fault and, for bad syntax, its line and column."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_refuse_duplicate_members)
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise click.UsageError(f"{path} is not JSON: {where}.") from error
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{path}: {error}.") from error
    if not isinstance(found, dict):
        raise click.UsageError(f"{path} must hold one JSON object, {{...}}.")
    return found


def _refuse_duplicate_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict; raise ValueError for a repeated member. The JSON parser would keep the last one silently."""
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the member {', '.join(twice)} appears twice")
    return dict(pairs)


def read_passphrase(path: Path | None, prompt: str) -> str:
    """Read a passphrase from the first line of `path`, or prompt for it without echo. Raises UsageError if not text."""
    if path is not None:
        try:
            return path.read_text(encoding="utf-8-sig").split("\n", 1)[0].strip()  # Some editors begin with a mark.
        except UnicodeDecodeError as error:
            raise click.UsageError(
                f"{path} is not a text file. A passphrase file holds the passphrase on its first line."
            ) from error
    return str(click.prompt(prompt, hide_input=True)).strip()


def is_interactive() -> bool:
    """True if standard input is a terminal, so that a command may prompt."""
    return sys.stdin.isatty()


def format_time(at: int) -> str:
    """Format a time (milliseconds since 1970) as local date and time; one beyond the calendar as its number."""
    try:
        return datetime.fromtimestamp(at / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{at} ms"


def now_ms() -> int:
    """Return the current time in milliseconds since 1970. Commands may read the clock; flows get the time as `now`."""
    return time.time_ns() // 1_000_000


def print_problems(problems: Sequence[FormProblem]) -> None:
    """Print each problem on standard error: its place, its code, and what to do in Spanish and English."""
    for problem in problems:
        place = problem.sheet + (f", row {problem.row}" if problem.row else "")
        place += f", {problem.column}" if problem.column else ""
        error_console.print(Text.assemble((place, "bold"), "  ", (problem.code, "red")))
        error_console.print(f"    {problem.advice_es}")
        error_console.print(f"    {problem.advice_en}", style="dim")
    error_console.print(f"{len(problems)} problem(s) to fix.", style="bold")
