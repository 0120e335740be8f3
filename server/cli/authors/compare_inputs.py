"""Loads the two form versions of a comparison: a local form, a compiled file, or a version on the server.

`diff`, `impact` and `try` use it. It must not run a form's cases, because authors also compare forms that fail."""

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

from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import compile_form
from screening_forms.impact.comparison import cases_by_name
from screening_forms.impact.synthetic_interviews import Answers
from screening_forms.workbook.package import parse_package
from screening_forms.workbook.reader import Workbook
from server.cli.authors.forms import channel_option, read_package
from server.cli.safe_console import error_console
from server.cli.staff_session import Account, optional_account_options
from server.cli.terminal import spinner
from sync.documents.signed import Document
from sync.envelope.route import AUTHOR_FIELDS
from sync.exchange.staff_session import StaffSession

_ON_SERVER = re.compile(r"[0-9]{1,12}|[0-9a-f]{64}")


@dataclass(frozen=True)
class ComparedVersion:
    """A compiled version, and its workbook if available."""

    form: CompiledForm
    workbook: Workbook | None = None

    @property
    def cases(self) -> dict[str, Answers]:
        """The author's own cases by name; empty without a workbook."""
        return cases_by_name(self.workbook) if self.workbook else {}


def version_pair_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `OLD NEW --channel` and the optional account options. The command receives `sides`: both loaded versions."""

    @click.argument("old")
    @click.argument("new")
    @channel_option
    @optional_account_options("if OLD or NEW is the number or hash of a version on the server")
    @functools.wraps(command)
    def with_sides(*args: Any, old: str, new: str, channel: str, account: Account | None, **options: Any) -> Any:
        return command(*args, sides=_load_pair((old, new), channel, account), **options)

    return with_sides


def _load_pair(
    references: tuple[str, str], channel: str, account: Account | None
) -> tuple[ComparedVersion, ComparedVersion]:
    remote = [reference for reference in references if _is_remote(reference)]
    if not remote:
        old, new = (_load_local(reference, channel) for reference in references)
        return old, new
    if account is None:
        raise click.UsageError(f"{remote[0]} is a version on the server: sign in with --login.")
    with account.sign_in() as staff:
        old, new = (
            _fetch_remote(staff, each) if _is_remote(each) else _load_local(each, channel) for each in references
        )
        return old, new


def _is_remote(reference: str) -> bool:
    return _ON_SERVER.fullmatch(reference) is not None and not Path(reference).exists()


def _load_local(reference: str, channel: str) -> ComparedVersion:
    path = Path(reference)
    if path.is_file() and path.read_bytes()[:1] == b"{":
        return ComparedVersion(CompiledForm.from_bytes(Document.parse(path.read_bytes(), least=0).payload))
    return compile_local(reference, channel)


def compile_local(reference: str, channel: str) -> ComparedVersion:
    """Compile a local form without running its cases: an author wants to look at failing ones too."""
    with spinner(f"Compiling {reference} ..."):
        found = read_package(reference)
        form = compile_form(
            found.workbook, channel=channel, route_vocabulary=AUTHOR_FIELDS, resources=found.resources, run_cases=False
        )
    return ComparedVersion(form, found.workbook)


def _fetch_remote(staff: StaffSession, reference: str) -> ComparedVersion:
    listed = staff.list("/v1/versions")
    found = next((each for each in listed if reference in (str(each["id"]), each["sha"])), None)
    if found is None:
        raise click.ClickException(f"the server has no version {reference}; `chaski forms versions` lists all versions")
    at = f"/v1/versions/{found['id']}"
    document = Document.parse(staff.get_bytes(f"{at}/compiled"), least=0)
    source = parse_package(staff.get_bytes(f"{at}/source")).workbook if found["source"] else None
    return ComparedVersion(CompiledForm.from_bytes(document.payload), source)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error (not when piped). Yields a function of (done, total)."""
    columns = (TextColumn(what, markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=error_console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)
