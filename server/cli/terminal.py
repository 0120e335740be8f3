"""How commands print: data for programs with `--json`, text for people without. Called by every command module."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.status import Status

console = Console(highlight=False)
progress_console = Console(stderr=True, highlight=False)

json_option = click.option("--json", "as_json", is_flag=True, help="Print data as JSON, for programs.")


def show(data: Any, as_json: bool, write: Callable[[Console], None]) -> None:
    """Print `data` as JSON, or let `write` say the same to a person."""
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False, indent=2))
    else:
        write(console)


@contextmanager
def busy(message: str) -> Iterator[Status]:
    """Show a moving line on standard error while something takes longer than a blink (nothing when piped)."""
    with progress_console.status(message) as status:
        yield status


def read_json(path: Path) -> Any:
    """Return the JSON in `path`; a broken file is a usage error that says where it breaks."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise click.UsageError(
            f"{path} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error


def passphrase_from(path: Path | None, prompt: str) -> str:
    """Read a passphrase from the first line of `path`, or ask for it without showing it."""
    if path is not None:
        return path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    return str(click.prompt(prompt, hide_input=True)).strip()


def now_ms() -> int:
    """The clock of this machine, in milliseconds since 1970; commands are an edge and may read it."""
    return time.time_ns() // 1_000_000
