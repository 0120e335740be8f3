"""Prints what a check found: which row, what is wrong, what to do. `check`, `audit verify`, `backup` and `restore` use
it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby

from rich.console import Console
from rich.text import Text

from server.flows.damage import ADVICE, Fault

_MOST_PRINTED = 20  # Subjects of one code; --json has all.
_PROGRESS_SECONDS = 0.1  # At least this many seconds between two lines of progress.


def describe_faults(faults: Sequence[Fault]) -> list[dict[str, str]]:
    """Return the faults for --json, each with its advice."""
    return [{**asdict(each), "advice": ADVICE.get(each.code, "")} for each in faults]


def print_faults(console: Console, faults: Sequence[Fault]) -> None:
    """Print each code once with its advice and its first subjects."""
    for code, group in groupby(sorted(faults, key=lambda fault: fault.code), key=lambda fault: fault.code):
        listed = list(group)
        console.print(Text.assemble((f"{code} ", "bold red"), f"({len(listed)}): {ADVICE.get(code, '')}"))
        for fault in listed[:_MOST_PRINTED]:
            console.print(Text(f"  {fault.subject}  {fault.detail}".rstrip()), soft_wrap=True)
        if len(listed) > _MOST_PRINTED:
            console.print(Text(f"  and {len(listed) - _MOST_PRINTED} more; --json lists all"))


def throttle(update: Callable[[str], None]) -> Callable[[str], None]:
    """Limit `update` to one call per _PROGRESS_SECONDS; a backup reports thousands of steps."""
    last = 0.0

    def pass_on(step: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            update(step)

    return pass_on
