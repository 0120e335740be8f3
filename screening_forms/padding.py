"""How large a screening of a form can get, so that stopped, short and full interviews are all padded to one size.

Called by the compiler. It makes interviews up; no person's answer ever comes here.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping

from screening_forms import expressions
from screening_forms.engine import Engine
from screening_forms.xform import Node

BUCKET = 1024
"""Padded sizes are multiples of this many bytes (SPEC 8.2)."""

_LENGTH = 4
_STARTS, _INTERVIEWS = 100, 60
_DIGITS = (9999, 99, 9)

Answers = dict[str, str]


def bucket(form: Engine) -> int:
    """Return the padded size in bytes: that of the longest of many made-up interviews that leave nothing out.

    The same form gives the same size. An interview that is longer still is padded to the next one.
    """
    draws = random.Random(0)
    filters = _filters(form)
    longest = max((_interview(form, draws) for _ in range(_STARTS)), key=lambda answers: _asked(form, answers))
    for name in filters:
        variants = [longest | {name: code} for code in form.nodes[name].choices]
        longest = max([longest, *variants], key=lambda answers: _asked(form, answers))
    opening = {name: longest[name] for name in filters if name in longest}
    sizes = [_size(form, _interview(form, draws, opening)) for _ in range(_INTERVIEWS)]
    return -(-(max(sizes) + _LENGTH) // BUCKET) * BUCKET


def _filters(form: Engine) -> list[str]:
    """The choices of one on which it depends whether something is asked, in the form's order."""
    used = {
        name
        for node in form.nodes.values()
        if node.relevant
        for name in expressions.references(expressions.parse(node.relevant))
    }
    return [node.name for node in form.questions if node.name in used and node.type == "select_one"]


def _interview(form: Engine, draws: random.Random, opening: Mapping[str, str] | None = None) -> Answers:
    """Make up an answer to every question, such that the form accepts those that it would ask."""
    answers = {node.name: _draw(node, draws, 0) for node in form.questions} | dict(opening or {})
    for attempt in range(1, 9):
        refused = form.refused(answers)
        if not refused:
            break
        answers |= {name: _draw(form.nodes[name], draws, attempt) for name in refused}
    return answers


def _draw(node: Node, draws: random.Random, attempt: int) -> str:
    """Draw an answer; the more attempts were refused, the plainer."""
    codes = list(node.choices)
    if node.type == "select_multiple" and attempt < 4:
        return " ".join(code for code in codes[: len(codes) - attempt] if draws.random() < 0.5)
    if codes:
        return codes[int(draws.random() * len(codes))]
    if node.type == "integer":
        return str(int(draws.random() * _DIGITS[min(attempt, 2)]))
    return {"date": "2026-11-21", "acknowledge": "OK", "text": "x" * 100}.get(node.type, "")


def _asked(form: Engine, answers: Answers) -> int:
    return len(form.fit(answers).answers)


def _size(form: Engine, answers: Answers) -> int:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return len(packer.compress(form.instance(form.fit(answers))) + packer.flush())
