"""Which deed takes a thing from one state to another: tables that a person can read aloud. Flows ask them first."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from server.problems import Problem


@dataclass(frozen=True)
class Moves:
    """The allowed moves of one kind of thing: (action, state before) -> state after. `refused` makes the problem else,
    of what was asked and the state."""

    table: dict[tuple[str, str], str]
    refused: Callable[[str, str], Problem]

    def end(self, action: str, start: str) -> str:
        """Return the state after a deed. The problem `refused` where the deed is not allowed."""
        if (action, start) not in self.table:
            raise self.refused(f"{action}: {start}", start)
        return self.table[action, start]


def read(package: str, name: str, *, refused: Callable[[str, str], Problem]) -> Moves:
    """Read a table of moves, a CSV file inside `package`."""
    lines = resources.files(package).joinpath(name).read_text(encoding="utf-8").splitlines()
    return Moves({(row["action"], row["from"]): row["to"] for row in csv.DictReader(lines)}, refused)
