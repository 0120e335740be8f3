"""Tables of allowed state transitions: which action takes a record from one state to another.

The tables are CSV files, so that people who do not program can check them. Flows look a transition up before they
change a state.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from server.problems import Problem


@dataclass(frozen=True)
class Transition:
    """One allowed transition. `who` may act: anyone, the `holder`, or the `server`. `holds`: the actor becomes the
    holder. `status`: the status event for the tablet. The fields are empty in tables without these columns."""

    end: str
    who: str = ""
    holds: bool = False
    status: str = ""


@dataclass(frozen=True)
class StateTable:
    """The allowed transitions of one kind of record: (action, state before) -> transition.

    `refused` makes the Problem for any other action, from the request, the state and the actions to do first.
    """

    transitions: Mapping[tuple[str, str], Transition]
    refused: Callable[[str, str, Sequence[str]], Problem]

    def next_state(self, action: str, state: str) -> str:
        """Return the state after an action. Raises the problem `refused` if the action is not allowed."""
        return self.transition(action, state).end

    def first_steps(self, action: str, state: str) -> list[str]:
        """Return the actions that lead from a state to one in which `action` is allowed, in the table's order."""
        ready = {before for name, before in self.transitions if name == action}
        return [name for (name, before), next_ in self.transitions.items() if before == state and next_.end in ready]

    def is_over(self, action: str, state: str) -> bool:
        """Return True if an action leads to this state and is not allowed in it: it may have been done already."""
        leads = any(name == action and next_.end == state for (name, _), next_ in self.transitions.items())
        return leads and (action, state) not in self.transitions

    def transition(self, action: str, state: str, subject: str = "") -> Transition:
        """Return the transition of an action. Raises the problem `refused`, which names the subject or the action."""
        found = self.transitions.get((action, state))
        if found is None:
            first = self.first_steps(action, state)
            told = f"; first: {', '.join(first)}" if first else ""
            raise self.refused(f"{subject or action}: {state}{told}", state, first)
        return found


def read(package: str, name: str, *, refused: Callable[[str, str, Sequence[str]], Problem]) -> StateTable:
    """Read a transition table, a CSV file inside `package`."""
    lines = resources.files(package).joinpath(name).read_text(encoding="utf-8").splitlines()
    return StateTable({(row["action"], row["from"]): _transition(row) for row in csv.DictReader(lines)}, refused)


def _transition(row: Mapping[str, str]) -> Transition:
    return Transition(row["to"], row.get("who", ""), row.get("holds") == "yes", row.get("status", ""))
