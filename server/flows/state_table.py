"""Tables of allowed transitions: which action takes a thing from one state to another, as CSV that a person can read
aloud. Flows ask them before they change a state."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

from server.problems import Problem


@dataclass(frozen=True)
class Transition:
    """One allowed transition. `who`: anyone, only the `holder`, or the `server`; `holds`: the actor is the holder
    afterwards; `status`: what a tablet is told. Tables without these columns leave them blank."""

    end: str
    who: str = ""
    holds: bool = False
    status: str = ""


@dataclass(frozen=True)
class StateTable:
    """The allowed transitions of one kind of thing: (action, state before) -> transition.

    `refused` makes the problem for any other action, of what was asked and the state.
    """

    transitions: Mapping[tuple[str, str], Transition]
    refused: Callable[[str, str], Problem]

    def next_state(self, action: str, state: str) -> str:
        """Return the state after an action. The problem `refused` where the action is not allowed."""
        return self.transition(action, state).end

    def transition(self, action: str, state: str, subject: str = "") -> Transition:
        """Return the transition of an action. The problem `refused` names the subject, or else the action."""
        found = self.transitions.get((action, state))
        if found is None:
            raise self.refused(f"{subject or action}: {state}", state)
        return found


def read(package: str, name: str, *, refused: Callable[[str, str], Problem]) -> StateTable:
    """Read a table of transitions, a CSV file inside `package`."""
    lines = resources.files(package).joinpath(name).read_text(encoding="utf-8").splitlines()
    return StateTable({(row["action"], row["from"]): _transition(row) for row in csv.DictReader(lines)}, refused)


def _transition(row: Mapping[str, str]) -> Transition:
    return Transition(row["to"], row.get("who", ""), row.get("holds") == "yes", row.get("status", ""))
