"""The only way from a value to the terminal: as it is, one value on one line, every invisible sign made visible.

A label, an answer or a server's problem may hold markup, control characters, or a line that looks like ours. All
commands print through this module. It must not parse markup, and no command may print by other means.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

_HANG = "  "
_UNSEEN_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters and marks without a shape. Unicode calls them printable."""


def visible(text: str) -> str:
    """Return text of the same length, in which control, invisible and direction-changing characters can be seen.

    The 32 controls and DEL become their pictures (U+2400-2421), all others the replacement character. Blanks stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible_sign, text))


def _visible_sign(sign: str) -> str:
    shown = sign.isprintable() or unicodedata.category(sign) == "Zs"
    if shown and sign not in _UNSEEN_LETTERS and not "\ufe00" <= sign <= "\ufe0f":
        return sign
    return chr(0x2400 + ord(sign)) if sign < " " else "\u2421" if sign == "\x7f" else "\N{REPLACEMENT CHARACTER}"


def escaped(json_text: str) -> str:
    """Return JSON text that holds the same data without a sign that `visible` replaces, except line ends."""
    return "".join(sign if sign == "\n" else _escaped_sign(sign) for sign in json_text)


def _escaped_sign(sign: str) -> str:
    if visible(sign) == sign:
        return sign
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class SafeConsole(Console):
    """A console without markup, emoji codes and highlighting. A printed string or `Text` is one line.

    Blank lines are printed with `print()`. What tables and other renderables hold keeps its line ends.
    """

    def __init__(self, **options: Any) -> None:
        """Create it with the options of rich, such as `stderr`, `file` and `width`."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects on one line, separated by blanks; the options are those of rich, such as `style`."""
        super().print(*(safe_text(each) if isinstance(each, str | Text) else each for each in objects), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render, and make visible what is left in the parts of a renderable. The line ends are those of the layout."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else "\n".join(map(visible, text.split("\n"))), style, control)


def safe_text(value: str | Text) -> Text:
    """Return one line of text without markup; a `Text` keeps its styles."""
    if isinstance(value, str):
        return Text(visible(value))
    text = value.copy()
    text.plain = visible(text.plain)
    return text


@dataclass(frozen=True)
class HangingLine:
    """One line of text; what does not fit goes on below, indented. A value cannot wrap to the place where lines begin.

    An answer that ends in blanks and a sentence of this program would otherwise look like two lines.
    """

    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the parts."""
        width = max(options.max_width - len(_HANG), 1)
        for number, part in enumerate(self.text.wrap(console, width, overflow="fold")):
            part.rstrip()
            yield Text(_HANG) + part if number else part


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, gap: int = 2) -> Table:
    """Return a table without lines. A cell is one line of text; `gap`: blanks between two columns.

    In a narrow window cells are wrapped and nothing is cut off; an id, which people copy, stays in one piece.
    """
    table = Table(box=None, padding=(0, gap, 0, 0))
    for column in columns:
        table.add_column(safe_text(column), overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*map(safe_text, row))
    return table


def echo(line: str, *, err: bool = False) -> None:
    """Print one line that is not wrapped, on standard output or (`err`) on standard error."""
    click.echo(visible(line), err=err)


console = SafeConsole()
error_console = SafeConsole(stderr=True)
