"""Compares two indicator sets or two policies row by row.

`form_changes` uses it for a form's own tables. Authors use it before they publish a new version of a table. It must
judge nothing: what a new table may not do is checked in `checks/table_versions.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from screening_forms.diff.changes import Change, change, differing_values
from screening_forms.expressions.condition_words import SPANISH, describe_policy_condition
from screening_forms.languages import Bilingual
from screening_forms.rules.policy import parse_condition
from screening_forms.scoring.reasons import DIMENSION_WORDS, OUTCOME_WORDS, QUEUE_WORDS, RULE_WORDS, STRENGTH_WORDS

_STRENGTHS_EN = {"S": "strong", "M": "medium", "W": "weak"}
_FIELDS = {
    "dimension": Bilingual("dimensión", "dimension"),
    "label_es": Bilingual("nombre en español", "Spanish label"),
    "label_en": Bilingual("nombre en inglés", "English label"),
    "sign": Bilingual("signo", "sign"),
    "forced_labour": Bilingual("indicadores de trabajo forzoso", "forced-labour indicators"),
    "source": Bilingual("fuente", "source"),
    "provenance": Bilingual("verificación", "provenance"),
    "outcome": Bilingual("resultado", "outcome"),
    "tier": Bilingual("nivel", "tier"),
    "urgency": Bilingual("urgencia", "urgency"),
    "queue_kinds": Bilingual("mesas", "desks"),
    "guidance": Bilingual("orientación", "guidance"),
    "number": Bilingual("línea de la tabla", "line of the table"),
}
_STEPS = {
    "outcome": Bilingual("resultado", "outcome"),
    "undecided": Bilingual("lo que queda abierto", "what stays open"),
    "referral": Bilingual("derivación", "referral"),
}
_NAMES = {
    "tier_danger": "nivel de peligro",
    "tier_child": "nivel de niñez",
    "positive": "el resultado es derivar a una evaluación",
    "consent": "la persona acepta",
    "duty_to_report": "hay deber de avisar",
}

Row = Mapping[str, Any]


def set_changes(old: Row, new: Row, profile: str = "") -> Iterator[Change]:
    """Yield the changes between two sets, given as `IndicatorSet.as_dict` writes them.

    Changed strengths of the form's own `profile` come before those of other profiles.
    """
    yield from _name_change("set.name", old, new)
    profiles = [sorted({name for row in each["indicators"] for name in row["strengths"]}) for each in (old, new)]
    if profiles[0] != profiles[1]:
        named = {"before": ", ".join(profiles[0]), "after": ", ".join(profiles[1])}
        yield change("set.profiles", "indicator_set", "", **named)
    told = {name for name in profiles[0] if name in profiles[1]} | {profile}
    before, after = ({row["code"]: row for row in each["indicators"]} for each in (old, new))
    for code in (code for code in before if code not in after):
        yield change("indicator.removed", "indicator_set", code, code=_code_words(before[code]))
    for code, row in after.items():
        if code not in before:
            listed = (
                _strength_in_profile(profile, strength)
                for profile, strength in row["strengths"].items()
                if strength != "-"
            )
            strengths = _joined(list(listed), Bilingual("sin fuerza", "no strength"))
            yield change("indicator.added", "indicator_set", code, code=_code_words(row), strengths=strengths)
        else:
            yield from _indicator_changes(before[code], row, profile, told)
    common = [code for code in before if code in after]
    if common != [code for code in after if code in before]:
        yield change("set.order", "indicator_set", "")
    yield from _other_changes("indicator_set", old, new, ("name", "indicators"))


def policy_changes(old: Row, new: Row) -> Iterator[Change]:
    """Yield the changes between two policies, given as `Policy.as_dict` writes them.

    Rules are matched by their step and condition.
    """
    yield from _name_change("policy.name", old, new)
    before, after = (_rules_by_condition(each["rows"]) for each in (old, new))
    for key in (key for key in before if key not in after):
        yield change("policy.row_removed", "policy", key[0], **_rule_words(before[key]))
    for key, row in after.items():
        if key not in before:
            yield change("policy.row_added", "policy", key[0], **_rule_words(row))
        else:
            yield from _row_changes(before[key], row)
    common = [key for key in before if key in after]
    yield from _order_changes(common, [key for key in after if key in before], before, after)
    yield from _other_changes("policy", old, new, ("name", "rows"))


def _name_change(code: str, old: Row, new: Row) -> Iterator[Change]:
    if old["name"] != new["name"]:
        yield change(code, "settings", new["name"], before=old["name"], after=new["name"])


def _indicator_changes(old: Row, new: Row, profile: str, told: set[str]) -> Iterator[Change]:
    code = _code_words(new)
    strengths = differing_values(old["strengths"], new["strengths"])
    differing = sorted((found for found in strengths if found[0] in told), key=lambda found: found[0] != profile)
    for name, before, after in differing:
        words = {"before": _strength_word(before), "after": _strength_word(after)}
        yield change("indicator.strength", "indicator_set", new["code"], code=code, profile=name, **words)
    for name, before, after in differing_values(_plain(old, ("strengths",)), _plain(new, ("strengths",))):
        what = _FIELDS.get(name, Bilingual(name, name))
        yield change(
            "indicator.field", "indicator_set", new["code"], code=new["code"], what=what, before=before, after=after
        )


def _row_changes(old: Row, new: Row) -> Iterator[Change]:
    said = _rule_words(new)
    differing = list(differing_values(_plain(old, ("step", "when")), _plain(new, ("step", "when"))))
    for name, before, after in differing:
        if name != "number" or len(differing) == 1:  # A new row moves every later row down a line.
            values = {"what": _FIELDS.get(name, Bilingual(name, name)), "before": before, "after": after}
            yield change("policy.row_changed", "policy", new["step"], step=said["step"], when=said["when"], **values)


def _order_changes(
    before: Sequence[tuple[str, str, int]],
    after: Sequence[tuple[str, str, int]],
    old: Mapping[tuple[str, str, int], Row],
    new: Mapping[tuple[str, str, int], Row],
) -> Iterator[Change]:
    """Yield each kept rule whose position among the kept rules changed; the policy applies rules in order."""
    for place, key in enumerate(after):
        if before[place] != key:
            said = _rule_words(new[key])
            numbers = {"before": before.index(key) + 1, "after": place + 1}
            yield change("policy.row_moved", "policy", key[0], step=said["step"], when=said["when"], **numbers)


def _rules_by_condition(rows: Sequence[Row]) -> dict[tuple[str, str, int], Row]:
    """Return rows by step, condition, and a number that tells equal conditions of one step apart."""
    found: dict[tuple[str, str, int], Row] = {}
    for row in rows:
        turn = sum(key[:2] == (row["step"], row["when"]) for key in found)
        found[row["step"], row["when"], turn] = row
    return found


def _rule_words(row: Row) -> dict[str, Bilingual]:
    if row["step"] == "referral":
        kinds = row["queue_kinds"]
        desks = " y ".join(QUEUE_WORDS.get(kind, kind) for kind in kinds) or "ninguna mesa"
        then = Bilingual(f"{desks} ({row['urgency']})", f"{' and '.join(kinds) or 'no desk'} ({row['urgency']})")
    else:
        word = OUTCOME_WORDS.get(row["outcome"], row["outcome"])
        then = Bilingual(f"{word} ({row['tier']})", f"{row['outcome']} ({row['tier']})")
    step = _STEPS.get(row["step"], Bilingual(row["step"], row["step"]))
    return {"step": step, "when": _condition_words(row), "then": then}


def _condition_words(row: Row) -> Bilingual:
    """Return a rule's condition in words; `always` holds in all cases that no earlier row decided."""
    if row["when"] == "always":
        return Bilingual("en los demás casos", "in all other cases")
    text = describe_policy_condition(parse_condition(row["when"]), SPANISH, _name_words)
    return Bilingual(f"si {text}", f"if {row['when']}")


def _name_words(name: str) -> str:
    known = RULE_WORDS.get(name) or DIMENSION_WORDS.get(name) or _NAMES.get(name)
    return known.lower() if known else name


def _code_words(row: Row) -> Bilingual:
    return Bilingual(f"{row['code']} «{row['label_es']}»", f"{row['code']} '{row['label_en']}'")


def _strength_in_profile(profile: str, strength: str) -> Bilingual:
    word = _strength_word(strength)
    return Bilingual(f"{word.es} en {profile}", f"{word.en} for {profile}")


def _strength_word(strength: str) -> Bilingual:
    none = Bilingual("no cuenta", "not counted") if strength else Bilingual("sin ese perfil", "no such profile")
    return Bilingual(STRENGTH_WORDS.get(strength, none.es), _STRENGTHS_EN.get(strength, none.en))


def _joined(parts: list[Bilingual], none: Bilingual) -> Bilingual:
    return Bilingual(", ".join(part.es for part in parts), ", ".join(part.en for part in parts)) if parts else none


def _plain(row: Row, but: Sequence[str]) -> dict[str, str]:
    """Return a row's values as texts, without the columns in `but`, which are compared elsewhere."""
    return {name: _text(value) for name, value in row.items() if name not in but}


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _other_changes(sheet: str, old: Row, new: Row, but: Sequence[str]) -> Iterator[Change]:
    """Yield the changes of a table's other members."""
    for name, before, after in differing_values(_plain(old, but), _plain(new, but)):
        yield change("form.member", sheet, name, what=name, before=before, after=after)
