"""Computes the padded size of a form's sealed screenings from synthetic interviews that answer every question.

The compiler stores the size in each form: stopped, short and full interviews then have one length. This module must
never read a real answer. It draws its own interviews: `impact/synthetic_interviews.py` draws in another order and
leaves questions out, and another draw would change the size, and so the bytes, of every published form.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

from screening_forms.engine.evaluator import LONGEST_TEXT, Engine, FilledForm
from screening_forms.engine.xform_reader import Node
from screening_forms.expressions.parser import compared_values, parse_expression, subexpressions

BUCKET = 1024
"""Padded sizes are multiples of this many bytes (SPEC 8.2)."""

_LENGTH = 4
_CONTEXT = b'{"sha":"1f825aa2f0020ef7cf91dfa30da4668d791c5d4824fc8e41354b89ec05795ab3"}\n'
"""A context as long as any. The version's own hash is not known here: it covers the size."""
_DICTIONARY = (
    "".join(f"</g{n}><g{n + 1}>" for n in range(1, 20))
    + "<score><outcome>positive</outcome><tier>T1</tier><urgency>prompt</urgency>"
    + "<queue_kinds>protection</queue_kinds></score></data>"
    + 'no</yes</no_answer does_not_know</{"sha":""}\n<data id="pe_" version="2026'
).encode()
"""The protocol's preset dictionary (SPEC 8.2), which this package must not import."""
_SPARE = 8
"""Bytes by which another hash may compress worse."""
_STARTS, _INTERVIEWS, _MENDS = 5, 40, 8
_DIGITS = (9999, 99, 9)
_PLAIN = {"date": "2026-11-21", "acknowledge": "OK"}

Answers = dict[str, str]


def bucket_size(form: Engine) -> int:
    """Return the padded size in bytes: the longest of many synthetic interviews, rounded up to BUCKET.

    The same form gives the same size. A longer interview is padded to the next multiple.
    """
    people, wanted = _LongestInterviews(form), _wanted(form)
    drawn = max((people.interview({}) for _ in range(_STARTS)), key=people.asked)
    climbed = [people.climb(answers, wanted) for answers in (people.interview(wanted), drawn)]
    longest = max(climbed, key=people.asked)
    opening = {name: longest[name] for name in wanted}
    sizes = [people.size(people.interview(opening)) for _ in range(_INTERVIEWS)]
    return -(-(max(sizes) + _SPARE) // BUCKET) * BUCKET


def packed_size(instance: bytes) -> int:
    """Return the bytes that a tablet seals of an instance, without padding: length, context and instance (SPEC 8.2)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_DICTIONARY)
    return _LENGTH + len(packer.compress(_CONTEXT + instance) + packer.flush())


def _wanted(form: Engine) -> Answers:
    """Return an answer to each select_one that decides on other questions: the code that makes most questions relevant.

    The loop goes from the last question to the first, so a question's weight passes to those that it depends on.
    """
    weights: Counter[str] = Counter()
    wishes: Counter[tuple[str, str]] = Counter()
    for asked in reversed(form.questions):
        weights[asked.name] += asked.type != "note"
        for node in (asked, *(form.nodes[group] for group in asked.groups)):
            for name, code in compared_values(parse_expression(node.relevant)) if node.relevant else ():
                wishes[name, code] += weights[asked.name]
                weights[name] += weights[asked.name]
    filters = [node for node in form.questions if node.type == "select_one" and weights[node.name] > 1]
    return {node.name: max(node.choices, key=lambda code: wishes[node.name, code]) for node in filters}


class _LongestInterviews:
    """Draws synthetic interviews that answer every question; the random seed is fixed."""

    def __init__(self, form: Engine) -> None:
        self.form, self.draws = form, random.Random(0)
        self.codes = {node.name: _together(node) for node in form.questions if node.type != "note"}

    def interview(self, opening: Answers) -> Answers:
        """Draw an answer to every question, and draw again until the form accepts all relevant answers."""
        answers = {name: self._draw(name, 0) for name in self.codes} | opening
        for attempt in range(1, _MENDS + 1):
            relevant, values, _, broken, filtered = self.form.evaluate(answers)
            if not broken and not filtered:
                break
            answers |= {name: self._draw(name, attempt) for name in broken}
            for name in filtered:
                offered = self.form.offered_choices(self.form.nodes[name], FilledForm(answers, values, relevant, ()))
                answers[name] = self._one([choice.code for choice in offered])
        return answers

    def climb(self, answers: Answers, filters: Iterable[str]) -> Answers:
        """Change the answer to each question in `filters` to the code that makes most questions relevant."""
        for name in filters:
            codes = self.form.nodes[name].choices
            answers = max([answers, *(answers | {name: code} for code in codes)], key=self.asked)
        return answers

    def asked(self, answers: Answers) -> int:
        """Return how many of the answers are relevant."""
        relevant = self.form.evaluate(answers)[0]
        return sum(name in relevant for name, text in answers.items() if text)

    def size(self, answers: Answers) -> int:
        """Return what a tablet would seal of these answers, in bytes."""
        relevant, values, *_ = self.form.evaluate(answers)
        return packed_size(self.form.write_instance(FilledForm(answers, values, relevant, ())))

    def _draw(self, name: str, attempt: int) -> str:
        """Draw an answer. After more rejected attempts the answer is simpler."""
        kind, codes = self.form.nodes[name].type, self.codes[name]
        if kind == "select_multiple" and attempt < 4:
            chosen = self.draws.getrandbits(len(codes) + 1)
            return " ".join([code for number, code in enumerate(codes) if chosen >> number & 1])
        if kind == "integer":
            return str(int(self.draws.random() * _DIGITS[min(attempt, 2)]))
        if kind == "text":  # longer and harder to compress than typed text
            return "".join(chr(self.draws.randrange(0xC0, 0x17F)) for _ in range(LONGEST_TEXT))
        return self._one(codes) if codes else _PLAIN.get(kind, "")

    def _one(self, codes: Sequence[str]) -> str:
        return codes[int(self.draws.random() * len(codes))] if codes else ""


def _together(node: Node) -> list[str]:
    """Return a question's codes without those in its own constraint, which usually exclude all others."""
    rule = parse_expression(node.constraint) if node.constraint else None
    named = {part[1].value for part in subexpressions(rule) if part.symbol == "selected"} if rule else set()
    return [code for code in node.choices if code not in named] or list(node.choices)
