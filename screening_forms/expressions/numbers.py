"""Decides which texts every engine reads as the same number.

JavaRosa (ODK Collect) reads digits, a minus and a point only. ODK Web Forms reads what JavaScript reads: also `1e3`,
`0x10` and `Infinity`. The checks and the engine refuse such a text where an expression uses it as a number.
"""

import re

_PLAIN = re.compile(r"-?(\d+\.?\d*|\.\d+)", re.ASCII)
_SPECIAL = re.compile(r"[+-]?(infinity|0[xob]\w+|[\d.]+e[+-]?\d+)", re.ASCII | re.IGNORECASE)
_MOST_DIGITS = 15
"""The digits that a 64-bit float keeps exactly. Engines write larger numbers differently."""


def is_clear_number(text: str) -> bool:
    """True if all engines read the same number in a text, or if all of them read none."""
    if _PLAIN.fullmatch(text):
        return len(text.strip("-").replace(".", "")) <= _MOST_DIGITS
    return not _SPECIAL.fullmatch(text)


def is_fraction(text: str) -> bool:
    """True if a text is a number with a decimal point."""
    return "." in text and _PLAIN.fullmatch(text) is not None
