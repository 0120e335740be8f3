"""Divides a page into parts that fit the terminal, and knows which of them were on the screen.

`private_terminal` shows the parts. An answer to a text that was not on the screen yet is worthless, so a page remembers
whether its end was shown. The module must read no keys and write nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO

from rich.console import Console, Group, RenderableType

_SMALLEST_ROOM = 4  # With less room for the text, the head and the foot scroll with it.


@dataclass(frozen=True)
class Page:
    """One screen: a head and a foot that are always visible, and between them a body that may be longer.

    The head holds place and keys, the foot what to type.
    """

    head: Sequence[RenderableType]
    body: Sequence[RenderableType]
    foot: Sequence[RenderableType]


@dataclass
class PageView:
    """One page on the screen: its part, and whether its end was shown since the page was opened."""

    page: Page
    part: int = 0
    shown_to_end: bool = False
    hurried: bool = False
    parts: list[list[str]] = field(default_factory=list)

    def lay_out(self, columns: int, lines: int) -> list[str]:
        """Return the lines of the present part, at most `lines` - 1: the prompt takes the last one.

        After a change of size, a page that was not shown to its end begins again.
        """
        head, body, foot = (_lines(parts, columns) for parts in (self.page.head, self.page.body, self.page.foot))
        room = lines - 1 - len(head) - len(foot)
        if room < _SMALLEST_ROOM and len(body) > room:
            body, head, foot, room = [*head, *body, *foot], [], [], lines - 1
        if len(body) > room:
            room = max(room - 1, 1)  # One line for the hint that there is more.
        parts = [body[first : first + room] for first in range(0, len(body), room)]
        if parts != self.parts:
            self.parts, self.part = parts, len(parts) - 1 if self.shown_to_end else 0
        self.shown_to_end = self.shown_to_end or self.is_at_end
        fill = [""] if len(parts) == 1 and len(body) < room else []
        return [*head, *parts[self.part], *fill, *self._hint(), *foot]

    @property
    def is_at_end(self) -> bool:
        """True if the last part is on the screen."""
        return self.part == len(self.parts) - 1

    def turn(self, *, hurried: bool = False) -> None:
        """Show the next part; after the last one the first. `hurried`: an answer came before the end was shown."""
        self.part, self.hurried = (self.part + 1) % len(self.parts), hurried

    def _hint(self) -> list[str]:
        if len(self.parts) == 1:
            return []
        place = f"({self.part + 1} de {len(self.parts)})"
        if self.is_at_end:
            return [f"{place} + desde el comienzo" if not self.hurried else f"{place} Ahora sí, responda."]
        return [f"{place} Antes, lo que falta: Enter" if self.hurried else f"{place} Enter: lo que falta"]


def _lines(parts: Sequence[RenderableType], columns: int) -> list[str]:
    if not parts:
        return []
    console = Console(file=StringIO(), width=columns, force_terminal=True, highlight=False)
    with console.capture() as captured:
        console.print(Group(*parts))
    return captured.get().rstrip("\n").split("\n")
