"""Checks that no constraint refuses an answer that a condition needs. Called by `run.py`.

A constraint `not(selected(., 'here'))` is easy to meet and makes the sign `here` impossible. Answers are tried with the
engine of the tablets. A constraint that cannot be judged counts as one that accepts everything.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import combinations, product

from screening_forms.checks.constraints import own_answer
from screening_forms.checks.context import CheckContext
from screening_forms.checks.trial_form import engine_of
from screening_forms.engine.evaluator import Engine
from screening_forms.engine.xform_reader import Choice, Node
from screening_forms.errors import FormProblem
from screening_forms.expressions.alternatives import NOT_SELECTED, comparison, needs_an_answer
from screening_forms.expressions.parser import (
    Comparison,
    ExpressionError,
    Token,
    parse_expression,
    subexpressions,
    write_expression,
)
from screening_forms.expressions.satisfiability import largest_number
from screening_forms.problems import problem
from screening_forms.workbook.columns import PLACEHOLDER
from screening_forms.workbook.reader import Row

_MOST_NAMED = 10
"""The most choices that are tried in all combinations."""
_USUAL_MOST = 1000
"""The upper limit of a number that the advice offers, for the author to adapt."""
_ONE_AT_MOST = "not(selected(., 'none') and count-selected(.) > 1)"
"""The constraint that every list with `none` needs."""
_ORDERED = ("=", "!=", "<", "<=", ">", ">=")


def check_accepted(context: CheckContext) -> Iterator[FormProblem]:
    """Each answer that a `when` or a `relevant` needs is accepted by the constraint of its own question."""
    for name, needed in refused_answers(context).items():
        row = context.questions[name]
        whens = [place for place in needed.values() if place.sheet == "indicators"]
        if row.get("type") == "integer" and len(needed) == 1 and whens:
            compared, place = next(iter(needed.items()))
            rule = row.number, row.get("constraint"), widened(context, row, [compared])
            nearest = nearest_number(context, compared)
            yield problem("when.refused_number", place, "when", write_comparison(compared), name, *rule, nearest)
        else:
            listed = ", ".join(map(write_comparison, needed))
            better = widened(context, row, list(needed))
            yield problem("expression.refused_answer", row, "constraint", row.get("constraint"), listed, better)


def refused_answers(context: CheckContext) -> dict[str, dict[Comparison, Row]]:
    """Return, by question, the comparisons that its constraint makes impossible, each with a row that needs it."""
    found: dict[str, dict[Comparison, Row]] = {}
    for row, column, text in context.expressions():
        if column in ("when", "relevant"):
            for compared in _needed(text):
                if not accepts(context, [compared]):
                    found.setdefault(compared.question, {}).setdefault(compared, row)
    return found


def _needed(text: str) -> Iterator[Comparison]:
    """Yield the comparisons of a condition that an answer must meet; those inside a `not` are left out."""
    try:
        waiting = [parse_expression(text)]
    except ExpressionError:
        return  # `check_expressions` reports it
    while waiting:
        token = waiting.pop()
        compared = comparison(token)
        if compared is not None and needs_an_answer(compared) and compared.operator != "!=":
            yield compared
        elif token.symbol in ("and", "or", "("):
            waiting += token.parts


def accepts(context: CheckContext, compared: Sequence[Comparison], constraint: str | None = None) -> bool:
    """True if some answer meets all comparisons of one question together with a constraint, by default its own."""
    row = context.questions.get(compared[0].question)
    if row is None or not any(map(needs_an_answer, compared)):
        return True
    rule = row.get("constraint") if constraint is None else constraint
    kind, codes = row.get("type").partition(" ")[0], [choice.get("name") for choice in context.choices_of(row)]
    pairs = tuple(dict.fromkeys((each.operator, each.value) for each in compared))
    if PLACEHOLDER.search(rule) or kind not in ("select_one", "select_multiple", "integer"):
        rule = ""  # it rests on other questions
    if kind == "integer":
        return _accepts_number(rule, pairs)
    if kind == "select_one" and all(value in codes or not value for _, value in pairs):
        return _accepts_choice(rule, tuple(codes), pairs)
    if kind == "select_multiple" and all(value in codes for _, value in pairs):
        return _accepts_choices(rule, tuple(codes), pairs)
    return True


@lru_cache(maxsize=2048)
def _accepts_number(rule: str, pairs: tuple[tuple[str, str], ...]) -> bool:
    numbers = [value for _, value in pairs]
    if any(operator not in _ORDERED or _number(value) is None for operator, value in pairs if value):
        return True
    for part in (part for token in _parsed(rule) for part in subexpressions(token)):
        if part.symbol in ("+", "if", "concat") or (part.symbol == "-" and len(part) > 1):
            return True  # a sum moves the limits
        numbers += [part.value] if part.symbol in ("(integer)", "(decimal)", "(string)") else []
    return any(_meets(number, pairs) and _passes("integer", rule, (), str(number)) for number in _around(numbers))


def _around(texts: Collection[str]) -> list[int]:
    """Return the whole numbers at and beside some limits, those next to 0 first."""
    limits = [number for text in texts if (number := _number(text)) is not None]
    signed = [sign * limit for limit in limits for sign in (1, -1)]  # a minus is a token of its own
    near = {0, *(math.floor(limit) + step for limit in signed for step in (-1, 0, 1, 2))}
    return sorted(near, key=lambda number: (abs(number), number))


def _meets(number: int, pairs: Sequence[tuple[str, str]]) -> bool:
    for operator, text in pairs:
        value = _number(text)
        held = {"!=": True} if value is None else _ordered(number, value)
        if not held.get(operator, False):
            return False
    return True


def _ordered(number: int, value: float) -> dict[str, bool]:
    return {
        "=": number == value,
        "!=": number != value,
        "<": number < value,
        "<=": number <= value,
        ">": number > value,
        ">=": number >= value,
    }


@lru_cache(maxsize=2048)
def _accepts_choice(rule: str, codes: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> bool:
    wanted = {value for operator, value in pairs if operator in ("=", "selected")}
    unwanted = {value for operator, value in pairs if operator in ("!=", NOT_SELECTED)}
    if any(operator not in ("=", "!=", "selected", NOT_SELECTED) for operator, _ in pairs):
        return True
    fitting = [code for code in codes if wanted <= {code} and code not in unwanted]
    return any(_passes("select_one", rule, codes, code) for code in fitting)


@lru_cache(maxsize=2048)
def _accepts_choices(rule: str, codes: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> bool:
    wanted = {value for operator, value in pairs if operator == "selected"}
    unwanted = {value for operator, value in pairs if operator == NOT_SELECTED}
    if wanted & unwanted or any(operator not in ("selected", NOT_SELECTED) for operator, _ in pairs):
        return bool(not wanted & unwanted)
    parts = {part.value for token in _parsed(rule) for part in subexpressions(token)}
    named = [code for code in codes if code in parts and code not in (*wanted, *unwanted)]
    others = [code for code in codes if code not in (*parts, *wanted, *unwanted)]
    if len(named) > _MOST_NAMED:
        return True
    subsets = (chosen for count in range(len(named) + 1) for chosen in combinations(named, count))
    answers = ((*wanted, *chosen, *others[:more]) for chosen, more in product(subsets, range(len(others) + 1)))
    return any(_passes("select_multiple", rule, codes, " ".join(answer)) for answer in answers if answer)


def _passes(kind: str, rule: str, codes: tuple[str, ...], answer: str) -> bool:
    """True if the engine of the tablets accepts an answer; true also if it rejects the rule."""
    if not rule:
        return True
    engine = _engine(kind, rule, codes)
    return engine is None or not engine.evaluate({"q": answer})[3]


@lru_cache(maxsize=512)
def _engine(kind: str, rule: str, codes: tuple[str, ...]) -> Engine | None:
    choices = {code: Choice(code, {}, {}) for code in codes}
    return engine_of([Node("q", kind, (), choices=choices, constraint=rule)])


def widened(context: CheckContext, row: Row, needed: Sequence[Comparison]) -> str:
    """Return the constraint of a question without the parts that refuse needed answers."""
    kept: list[str] = []
    for part in _parts(row.get("constraint")):
        if all(accepts(context, [each], " and ".join([*kept, part])) for each in needed):
            kept.append(part)
    better = " and ".join(kept)
    if row.get("type") == "integer":
        return _limited(row.get("name"), better, needed)
    if better:
        return better
    if row.get("type").startswith("select_multiple ") and "none" in {c.get("name") for c in context.choices_of(row)}:
        return _ONE_AT_MOST
    return ". != ''" if row.get("type").startswith("select_one ") else "count-selected(.) >= 1"


def _parts(rule: str) -> list[str]:
    """Return the parts of a constraint that a top-level `and` joins."""
    for token in _parsed(rule):
        inner = token
        while inner.symbol == "(":
            inner = inner[0]
        if inner.symbol == "and":
            return [_written(part) for part in inner]
    return []


def _written(token: Token) -> str:
    return f"({write_expression(token)})" if token.symbol == "or" else write_expression(token)


def _limited(name: str, rule: str, needed: Sequence[Comparison]) -> str:
    """Return a constraint on a number with an upper limit, and without values below 0 if none is needed."""
    numbers = [number for each in needed if (number := _number(each.value)) is not None]
    if not rule and min(numbers, default=0) >= 0:
        rule = ". >= 0"
    token = own_answer(parse_expression(rule), name) if rule else None
    if token is None or largest_number(token, name) == math.inf:
        limit = f". <= {max(_USUAL_MOST, math.ceil(max(numbers, default=0)) + 1)}"
        rule = f"{rule} and {limit}" if rule else limit
    return rule


def nearest_number(context: CheckContext, compared: Comparison) -> str:
    """Return a comparison like a refused one that the constraint of its question can meet."""
    row = context.questions[compared.question]
    rule, limit = row.get("constraint"), _number(compared.value) or 0
    literals = [part.value for token in _parsed(rule) for part in subexpressions(token)]
    known = [number for number in _around([*literals, compared.value]) if _passes("integer", rule, (), str(number))]
    near = min(known, key=lambda number: abs(number - limit), default=0)
    operator = {"<": "<=", ">": ">="}.get(compared.operator, compared.operator)
    return write_comparison(Comparison(compared.question, operator, str(near)))


def write_comparison(compared: Comparison) -> str:
    """Return a comparison as XLSForm text."""
    if compared.operator in ("selected", NOT_SELECTED):
        text = f"selected(${{{compared.question}}},'{compared.value}')"
        return text if compared.operator == "selected" else f"not({text})"
    value = compared.value if _number(compared.value) is not None else f"'{compared.value}'"
    return f"${{{compared.question}}} {compared.operator} {value}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _parsed(text: str) -> list[Token]:
    try:
        return [parse_expression(text)] if text else []
    except ExpressionError:
        return []  # `check_expressions` reports it
