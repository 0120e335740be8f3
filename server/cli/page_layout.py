"""Divides a page into parts that fit the terminal, and knows which of them were on the screen.

`private_terminal` shows the parts. An answer to a text that was not on the screen yet is worthless, so a page remembers
whether its end was shown. A window that is too small shows nothing of it. The module must read no keys and write
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO

from rich.console import Group, RenderableType
from rich.text import Text

from server.cli.safe_console import SafeConsole

_SMALLEST_ROOM = 4  # With less room for the text, the head and the foot scroll with it.
_SMALLEST_COLUMNS = 12  # Numbers of choices and the prompt need some. In narrower lists the texts disappear.
_TOO_SMALL = "Ventana muy pequeña: agrándela."


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
    """One page on the screen: its part, and whether its end was shown since the page was opened.

    `too_small`: the window has no room for a line of the page. Then nothing of it was shown, and it takes no answer.
    """

    page: Page
    part: int = 0
    shown_to_end: bool = False
    hurried: bool = False
    too_small: bool = False
    parts: list[list[str]] = field(default_factory=list)

    def lay_out(self, columns: int, lines: int) -> list[str]:
        """Return the lines of the present part, at most `lines` - 1: the prompt takes the last one.

        After a change of size, a page that was not shown to its end begins again.
        """
        head, body, foot = (_lines(parts, columns) for parts in (self.page.head, self.page.body, self.page.foot))
        hint = _hint_height(len(body) + len(head) + len(foot), columns)
        room = lines - 1 - len(head) - len(foot)
        if room < _SMALLEST_ROOM + hint - 1 and len(body) > room:
            body, head, foot, room = [*head, *body, *foot], [], [], lines - 1
        if len(body) > room:
            room -= hint
        self.too_small = room < 1 or columns < _SMALLEST_COLUMNS
        if self.too_small:
            self.parts, self.part = [], 0  # In a larger window, a page that was not shown to its end begins again.
            return _lines([Text(_TOO_SMALL)], columns)[: lines - 1]
        parts = [body[first : first + room] for first in range(0, len(body), room)]
        if parts != self.parts:
            self.parts, self.part = parts, len(parts) - 1 if self.shown_to_end else 0
        self.shown_to_end = self.shown_to_end or self.is_at_end
        fill = [""] if len(parts) == 1 and len(body) < room else []
        return [*head, *parts[self.part], *fill, *_lines(self._hint(), columns), *foot]

    @property
    def is_at_end(self) -> bool:
        """True if the last part is on the screen."""
        return not self.too_small and self.part == len(self.parts) - 1

    def takes(self, line: str) -> bool:
        """True if a typed line may answer the page: its end was shown. Enter passes the last part only."""
        return not self.too_small and self.shown_to_end and (bool(line) or self.is_at_end)

    def turn(self, *, hurried: bool = False) -> None:
        """Show the next part; after the last one the first. `hurried`: an answer came before the end was shown."""
        if not self.too_small:
            self.part, self.hurried = (self.part + 1) % len(self.parts), hurried

    def _hint(self) -> list[RenderableType]:
        if len(self.parts) == 1:
            return []
        hint = _HINTS[self.is_at_end, self.hurried]
        return [Text(f"({self.part + 1} de {len(self.parts)}) {hint}")]


_HINTS = {
    (False, False): "Enter: lo que falta",
    (False, True): "Antes, lo que falta: Enter",
    (True, False): "+ desde el comienzo",
    (True, True): "Ahora sí, responda.",
}


def _hint_height(most_parts: int, columns: int) -> int:
    """Return the lines that the highest hint takes, with the longest numbers of parts."""
    return max(len(_lines([Text(f"({most_parts} de {most_parts}) {hint}")], columns)) for hint in _HINTS.values())


def _lines(parts: Sequence[RenderableType], columns: int) -> list[str]:
    if not parts:
        return []
    console = SafeConsole(file=StringIO(), width=columns, force_terminal=True)
    with console.capture() as captured:
        console.print(Group(*parts))
    return captured.get().rstrip("\n").split("\n")
