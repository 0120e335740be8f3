"""A terminal that gives each sign as many cells as any real one does, and wraps long lines to column 0.

Real terminals differ in the widths of marks and skin tones. What begins no line here begins none in them.
"""

from __future__ import annotations

import re
import unicodedata

_PIECES = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b[=>]|(.)", re.DOTALL)


def cells(sign: str) -> int:
    """The most cells that a terminal gives a sign alone: one for each mark."""
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def rows(written: str, columns: int) -> list[str]:
    """All rows that a window of `columns` cells shows one after the other, pages too, while this text is written."""
    shown, used, wraps = [""], 0, True
    for found in _PIECES.finditer(written):
        arguments, command, sign = found.groups()
        if command in ("h", "l") and arguments == "?7":
            wraps = command == "h"
        elif command in ("H", "h", "l") or sign == "\n":
            shown, used = [*shown, ""], 0
        elif sign == "\r":
            used = 0
        elif sign:
            if used + cells(sign) > columns:
                if not wraps:
                    continue
                shown, used = [*shown, ""], 0
            shown[-1] += sign
            used += cells(sign)
    return shown
