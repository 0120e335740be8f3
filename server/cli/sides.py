"""One of two versions that are compared: a form here, a compiled file, or a version on the server by number or hash."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from screening_forms import package
from screening_forms.compile import compile_form
from screening_forms.compiled import CompiledForm
from screening_forms.impact import cases_of
from screening_forms.made_up import Answers
from screening_forms.workbook import Workbook
from server.cli.forms import channel_option, read_package
from server.cli.staff import Who, staff_options_for
from server.cli.terminal import busy, progress_console
from sync import route
from sync.signed import Document
from sync.staff import Staff

_ON_SERVER = re.compile(r"[0-9]{1,12}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Side:
    """A version as compiled, and its workbook where it is at hand."""

    form: CompiledForm
    workbook: Workbook | None = None

    @property
    def cases(self) -> dict[str, Answers]:
        """The author's own cases, by name."""
        return cases_of(self.workbook) if self.workbook else {}


def compared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `OLD NEW --channel` and, for versions on a server, `--server --login --passphrase-file`; it is
    handed both sides."""

    @click.argument("old")
    @click.argument("new")
    @channel_option
    @staff_options_for("where OLD or NEW is the number or the hash of a version there")
    @functools.wraps(command)
    def with_sides(*args: Any, old: str, new: str, channel: str, who: Who | None, **options: Any) -> Any:
        return command(*args, sides=_sides((old, new), channel, who), **options)

    return with_sides


def _sides(references: tuple[str, str], channel: str, who: Who | None) -> tuple[Side, Side]:
    remote = [reference for reference in references if _is_remote(reference)]
    if not remote:
        old, new = (_local(reference, channel) for reference in references)
        return old, new
    if who is None:
        raise click.UsageError(f"{remote[0]} is a version on a server: say who you are with --login.")
    with who.sign_in() as staff:
        old, new = (_remote(staff, each) if _is_remote(each) else _local(each, channel) for each in references)
        return old, new


def _is_remote(reference: str) -> bool:
    return _ON_SERVER.fullmatch(reference) is not None and not Path(reference).exists()


def _local(reference: str, channel: str) -> Side:
    path = Path(reference)
    if path.is_file() and path.read_bytes()[:1] == b"{":
        return Side(CompiledForm.from_bytes(Document.parse(path.read_bytes(), least=0).payload))
    return compiled_here(reference, channel)


def compiled_here(reference: str, channel: str) -> Side:
    """Compile a form of this machine, also one that fails its own cases: that is what somebody wants to look at."""
    with busy(f"Compiling {reference} ..."):
        found = read_package(reference)
        form = compile_form(
            found.workbook, channel=channel, route_vocabulary=route.AUTHOR_FIELDS, shelf=found.shelf, run_cases=False
        )
    return Side(form, found.workbook)


def _remote(staff: Staff, reference: str) -> Side:
    listed = staff.get("/v1/versions")
    found = next((each for each in listed if reference in (str(each["id"]), each["sha"])), None)
    if found is None:
        raise click.ClickException(f"the server knows no version {reference}; `chaski forms versions` lists them")
    at = f"/v1/versions/{found['id']}"
    document = Document.parse(staff.bytes(f"{at}/compiled"), least=0)
    source = package.read(staff.bytes(f"{at}/source")).workbook if found["source"] else None
    return Side(CompiledForm.from_bytes(document.payload), source)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error while interviews are compared (nothing when piped); yields what moves it."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress_console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)
