"""Compares the score's calculates: from answers to indicators, facts and the outcome.

An indicator's change shows the condition under which it fires. Later steps are listed by name only: they follow from
the indicator set and the policy, which `tables.py` compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from screening_forms.diff.changes import Change, change
from screening_forms.diff.condition_text import condition_words
from screening_forms.diff.form_model import FormModel
from screening_forms.engine.evaluator import RESULT_NODES
from screening_forms.expressions.parser import ExpressionError, parse_expression, write_expression
from screening_forms.languages import Bilingual

_STEP = re.compile(r"[cdfipu]_.*")
_FIRES = re.compile(r"i_([A-Z]\d*)_(\d\d)|f_(\w+)")
_FACTS = {
    "minor": Bilingual("menor de edad", "minor"),
    "danger": Bilingual("peligro", "danger"),
    "consent": Bilingual("permiso", "consent"),
    "place": Bilingual("lugar de riesgo", "place of risk"),
}
_NOTHING = ("0", "''")
_MOST_NAMED = 8


def is_step(name: str) -> bool:
    """True if a node belongs to the score and an author did not write it."""
    return name in RESULT_NODES or name == "consent_policy" or _STEP.fullmatch(name) is not None


def score_changes(old: FormModel, new: FormModel) -> Iterator[Change]:
    """Yield the changes between the score's steps of two forms."""
    before, after = _steps_by_name(old), _steps_by_name(new)
    others = []
    for name in {**before, **after}:
        was, now = before.get(name, ""), after.get(name, "")
        told = list(_mapping_changes(name, was, now, old, new)) if _FIRES.fullmatch(name) else []
        yield from told
        if was != now and not told:
            others.append(name)
    if others:
        names = ", ".join(others[:_MOST_NAMED]) + (", …" if len(others) > _MOST_NAMED else "")
        yield change("score.steps", "indicators", "", count=len(others), names=names)


def _steps_by_name(form: FormModel) -> dict[str, str]:
    """Return every step's calculation together with its other rules, by name."""
    steps = (item for item in form.items.values() if item.kind == "calculation" and is_step(item.name))
    return {item.name: "; ".join(value for _, value in sorted(item.rules.items())) for item in steps}


def _mapping_changes(name: str, was: str, now: str, old: FormModel, new: FormModel) -> Iterator[Change]:
    fired, fires = (_certain_condition(form, name) for form in (old, new))
    if fired == fires:
        return
    values = {"before": condition_words(fired, old), "after": condition_words(fires, new), "code": _code_words(name)}
    if fired in _NOTHING or not was:
        yield change("mapping.added", "indicators", str(_code_words(name).en), **values)
    elif fires in _NOTHING or not now:
        yield change("mapping.removed", "indicators", str(_code_words(name).en), **values)
    else:
        yield change("mapping.changed", "indicators", str(_code_words(name).en), **values)


def _certain_condition(form: FormModel, name: str) -> str:
    """Return the condition under which an indicator or a fact is certainly 1."""
    text = form.items[name].rules.get("calculate", "") if name in form.items else ""
    try:
        token = parse_expression(text)
    except ExpressionError:
        return text
    return write_expression(token[0]) if token.symbol == "if" else text


def _code_words(name: str) -> Bilingual:
    found = _FIRES.fullmatch(name)
    if found and found[3]:
        return _FACTS.get(found[3], Bilingual(found[3], found[3]))
    code = f"{found[1]}.{found[2]}" if found else name
    return Bilingual(code, code)
