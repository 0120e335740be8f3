"""The only way from a value to the terminal: as it is, one value on one line, every invisible sign made visible.

A label, an answer or a server's problem may hold markup, control characters, or a line that looks like ours. All
commands print through this module. It must not parse markup, and no command may print by other means.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

_HANG = "  "
_UNSEEN_LETTERS = frozenset("\u115f\u2800\u3164\uffa0")
"""Letters without a shape. Unicode calls them printable, and each takes cells."""


def visible(text: str) -> str:
    """Return text of the same length, in which each sign can be seen and takes the cells that rich counts for it.

    The 32 controls and DEL become their pictures (U+2400-2421). Other invisible and direction-changing signs become
    the replacement character, and so does a sign to which terminals give different widths: a line that is longer than
    counted leaves its place. An accent stays if it makes one letter with the letter before it. Blanks stay.
    """
    if text.isascii() and text.isprintable():
        return text
    pairs = zip(" " + text, text, strict=False)
    return "".join(sign if _is_accent(before, sign) else _visible_sign(sign) for before, sign in pairs)


@lru_cache(maxsize=4096)
def _visible_sign(sign: str) -> str:
    shown = sign.isprintable() or unicodedata.category(sign) == "Zs"
    if shown and sign not in _UNSEEN_LETTERS and _has_certain_width(sign):
        return sign
    return chr(0x2400 + ord(sign)) if sign < " " else "\u2421" if sign == "\x7f" else "\N{REPLACEMENT CHARACTER}"


def _has_certain_width(sign: str) -> bool:
    """False for marks, variation selectors, skin tones and the like, which some terminals show in cells of their own.

    Halves of flags, too: a pair is as wide as one or as two pictures.
    """
    alone = 2 if unicodedata.east_asian_width(sign) in "WF" else 1
    return cell_len(sign) >= alone and not "\U0001f1e6" <= sign <= "\U0001f1ff"


def _is_accent(before: str, sign: str) -> bool:
    return "\u0300" <= sign <= "\u036f" and before.isalpha() and len(unicodedata.normalize("NFC", before + sign)) == 1


def escaped(json_text: str) -> str:
    """Return JSON text that holds the same data without a sign that `visible` replaces, except line ends."""
    pairs = zip(json_text, visible(json_text), strict=True)
    return "".join(sign if sign in ("\n", shown) else _escaped_sign(sign) for sign, shown in pairs)


def _escaped_sign(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class SafeConsole(Console):
    """A console without markup, emoji codes and highlighting. A printed string or `Text` is one line.

    In a terminal, what does not fit goes on below, indented. Blank lines are printed with `print()`. What tables and
    other renderables hold keeps its line ends.
    """

    def __init__(self, **options: Any) -> None:
        """Create it with the options of rich, such as `stderr`, `file` and `width`."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print objects on one line each; the options are those of rich, such as `style`.

        `soft_wrap` leaves a line as long as it is, for files and for copying. A terminal breaks such a line where it
        likes, and what follows the break would look like a line of this program: there, only a single word stays long.
        """
        for each in objects or ("",):
            if not isinstance(each, str | Text):
                super().print(each, soft_wrap=soft_wrap, **options)
            elif soft_wrap and not (self.is_terminal and len(str(each).split()) > 1):
                super().print(safe_text(each), soft_wrap=True, **options)
            else:
                super().print(HangingLine(safe_text(each)), **options)

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
        parts = self.text.wrap(console, options.max_width, overflow="fold")
        if len(parts) > 1:
            parts = self.text.wrap(console, max(options.max_width - len(_HANG), 1), overflow="fold")
        for number, part in enumerate(parts):
            part.rstrip()
            yield Text(_HANG) + part if number else part

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the least and the most cells that the text can take."""
        return Measurement.get(console, options, self.text)


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, gap: int = 2) -> Table:
    """Return a table without lines. A cell is one line of text; `gap`: blanks between two columns.

    In a narrow window cells are wrapped and nothing is cut off; an id, which people copy, stays in one piece.
    """
    table = Table(box=None, padding=(0, gap, 0, 0))
    for column in columns:
        table.add_column(safe_text(column), overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(HangingLine(safe_text(cell)) for cell in row))
    return table


def echo(line: str, *, err: bool = False) -> None:
    """Print one line, on standard output or (`err`) on standard error. It is wrapped in a terminal only."""
    (error_console if err else console).print(line, soft_wrap=True)


console = SafeConsole()
error_console = SafeConsole(stderr=True)
