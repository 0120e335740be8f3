"""How large a screening of a form can get, so that stopped, short and full interviews are all padded to one size.

Called by the compiler. It makes interviews up; no person's answer ever comes here.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Mapping

from screening_forms import expressions
from screening_forms.engine import Engine, Filled
from screening_forms.xform import Node

BUCKET = 1024
"""Padded sizes are multiples of this many bytes (SPEC 8.2)."""

_LENGTH = 4
_STARTS, _INTERVIEWS = 10, 40
_DIGITS = (9999, 99, 9)

Answers = dict[str, str]


def bucket(form: Engine) -> int:
    """Return the padded size in bytes: that of the longest of many made-up interviews that leave nothing out.

    The same form gives the same size. An interview that is longer still is padded to the next one.
    """
    draws = random.Random(0)
    wanted = _wanted(form)
    starts = [_interview(form, draws, wanted), *(_interview(form, draws) for _ in range(_STARTS))]
    longest = max(starts, key=lambda answers: _asked(form, answers))
    for name in wanted:
        variants = [longest | {name: code} for code in form.nodes[name].choices]
        longest = max([longest, *variants], key=lambda answers: _asked(form, answers))
    opening = {name: longest[name] for name in wanted}
    sizes = [_size(form, _interview(form, draws, opening)) for _ in range(_INTERVIEWS)]
    return -(-(max(sizes) + _LENGTH) // BUCKET) * BUCKET


def _wanted(form: Engine) -> Answers:
    """The choices of one on which it depends whether something is asked, each answered as most conditions want it."""
    wishes: Counter[tuple[str, str]] = Counter()
    for asked in form.questions:
        for node in (asked, *(form.nodes[group] for group in asked.groups)):
            wishes.update(expressions.comparisons(expressions.parse(node.relevant)) if node.relevant else ())
    used = {name for name, _ in wishes}
    filters = [node for node in form.questions if node.name in used and node.type == "select_one"]
    return {node.name: max(node.choices, key=lambda code: wishes[node.name, code]) for node in filters}


def _interview(form: Engine, draws: random.Random, opening: Mapping[str, str] | None = None) -> Answers:
    """Make up an answer to every question, such that the form accepts those that it would ask."""
    answers = {node.name: _draw(node, draws, 0) for node in form.questions}
    answers.update(opening or {})
    for attempt in range(1, 9):
        _, _, _, broken, filtered = form.evaluate(answers)
        if not broken and not filtered:
            break
        answers |= {name: _draw(form.nodes[name], draws, attempt) for name in (*broken, *filtered)}
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
    relevant = form.evaluate(answers)[0]
    return sum(name in relevant for name, text in answers.items() if text)


def _size(form: Engine, answers: Answers) -> int:
    relevant, values, *_ = form.evaluate(answers)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return len(packer.compress(form.instance(Filled(answers, values, relevant, ()))) + packer.flush())
