"""Checks that a form reaches what its policy decides with: indicators, dimensions, facts and guidance notes.

Called by `run.py`. A form that looks at little calls everybody negative. For the channel `field` these problems block.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormProblem
from screening_forms.expressions.alternatives import alternatives
from screening_forms.expressions.parser import Comparison, ExpressionError, Token, parse_expression
from screening_forms.expressions.satisfiability import is_unsatisfiable
from screening_forms.problems import Cell, problem
from screening_forms.rules.dimensions import ANY_OF, BRIGHT_LINES, FACTS, OBSERVED, RULES, UNPAID
from screening_forms.rules.indicators import PROFILES, IndicatorSet
from screening_forms.rules.policy import Policy
from screening_forms.workbook.reader import Row
from screening_forms.workbook.resources import BUILT_IN

MOST_ALIKE = 3
"""The most indicators with the same condition. Two codes of the ILO's lists can be nearly alike, not seven."""
_MOST_ALTERNATIVES = 300
_VERSION = re.compile(r"(_[0-9]+)+$")
_INDICATORS = Cell("indicators")
_FACT_EXAMPLES = {
    "minor": "${edad}='under_14' or ${edad}='14_17' or ${edad}='in_doubt' or ${edad}=''",
    "danger": "${peligro}='yes'",
    "consent": "${deriva}='yes'",
    "place": "${tipo_lugar}='bar' or ${tipo_lugar}='lodging' or ${tipo_lugar}='mine' or ${tipo_lugar}='camp'",
}


def check_reach(context: CheckContext) -> Iterator[FormProblem]:
    """Every indicator of the profile has a row in the sheet `indicators`, unless the author leaves some out on purpose.

    An author may leave out indicators, not dimensions: where the policy can end as `negative`, each one must be able to
    become positive.
    """
    profile = context.workbook.settings.get("profile", "")
    if not context.indicator_set or profile not in PROFILES:
        return
    reached = frozenset(row.get("code") for row in context.workbook.indicators)
    if context.policy and may_acquit(context.policy):
        yield from _alike(context, reached & {*context.indicator_set.used(profile)})
    if context.workbook.settings.get("unreached_on_purpose") != "yes":
        if missing := [code for code in context.indicator_set.used(profile) if code not in reached]:
            yield problem("indicator.unreached", _INDICATORS, "code", ", ".join(missing))
    elif context.policy and may_acquit(context.policy):
        if missing := [
            code for code in essential(context.indicator_set, context.policy, profile) if code not in reached
        ]:
            yield problem("indicator.essential", _INDICATORS, "code", ", ".join(missing), context.policy.name)
        if out := list(_out_of_reach(context.indicator_set, context.policy, profile, reached)):
            yield problem("indicator.dimension_unreached", _INDICATORS, "code", ", ".join(out), context.policy.name)


def may_acquit(policy: Policy) -> bool:
    """True if a policy can end as `negative`."""
    return any(row.outcome == "negative" for row in policy.step("outcome"))


def essential(known: IndicatorSet, policy: Policy, profile: str) -> list[str]:
    """Return the codes of which one sign alone may decide: no form that can acquit may leave them out.

    These are the strong ones, the bright lines, no pay at all, and those that the policy's outcomes name.
    """
    named = {*policy.names("outcome"), *known.strong(profile), *known.family(BRIGHT_LINES), *known.family(UNPAID)}
    return [code for code in known.used(profile) if code in named]


def _alike(context: CheckContext, counted: frozenset[str]) -> Iterator[FormProblem]:
    """At most three indicators rest on one condition: a form with two questions does not look at seventy signs."""
    alike: dict[frozenset[frozenset[Comparison]], list[Row]] = {}
    for row in context.workbook.indicators:
        for token in _parsed(row.get("when")) if row.get("code") in counted else ():
            ways = alternatives(token, _MOST_ALTERNATIVES)
            if ways is not None:
                alike.setdefault(frozenset(map(frozenset, ways)), []).append(row)
    for rows in alike.values():
        codes = list(dict.fromkeys(row.get("code") for row in rows))
        if len(codes) > MOST_ALIKE:
            yield problem("indicator.alike", rows[0], "when", rows[0].get("when"), ", ".join(codes), MOST_ALIKE)


def _out_of_reach(known: IndicatorSet, policy: Policy, profile: str, reached: frozenset[str]) -> Iterator[str]:
    """Yield each dimension and family that a policy decides with and that can never be positive."""
    for name in policy.names("outcome"):
        if name in ANY_OF and ANY_OF[name] != OBSERVED and not reached & {*known.family(ANY_OF[name])}:
            yield name
        elif name in known.dimensions:
            kinds = {kind: len(reached & {*known.members(profile, name, kind)}) for kind in RULES[name].kinds}
            if not RULES[name].holds(kinds):
                yield name


def check_newest(context: CheckContext) -> Iterator[FormProblem]:
    """The form uses the newest version of its tables: a successor corrects what the former one got wrong."""
    policy, known = (context.workbook.settings.get(name, "") for name in ("policy", "indicator_set"))
    if newest := newest_table(policy, BUILT_IN.policies):
        yield problem("policy.superseded", context.settings, "policy", policy, newest)
    if newest := newest_table(known, BUILT_IN.indicator_sets):
        yield problem("indicator_set.superseded", context.settings, "indicator_set", known, newest)


def newest_table(name: str, tables: Collection[str]) -> str:
    """Return the newest table with the stem of a name; empty if the name is the newest one, or has no version."""
    later = [other for other in tables if _stem(other) == _stem(name) and _version(other) > _version(name)]
    return max(later, key=_version, default="") if _version(name) else ""


def _stem(name: str) -> str:
    return _VERSION.sub("", name)


def _version(name: str) -> tuple[int, ...]:
    """Return the numbers at the end of a name: pe_adult_2026_2 -> (2026, 2)."""
    found = _VERSION.search(name)
    return tuple(int(number) for number in found[0].split("_")[1:]) if found else ()


def check_facts(context: CheckContext) -> Iterator[FormProblem]:
    """The sheet `indicators` has a row for every fact: without one, the fact is a no for everybody."""
    given = {row.get("code") for row in context.workbook.indicators}
    for fact in FACTS if given else ():
        if fact not in given:
            yield problem("fact.missing", _INDICATORS, "code", fact, _FACT_EXAMPLES[fact])


def check_guidance(context: CheckContext) -> Iterator[FormProblem]:
    """Every guidance note that the policy can choose exists, and its condition holds when the policy chooses it."""
    if not context.policy:
        return
    for name in dict.fromkeys(row.guidance for row in context.policy.step("referral")):
        row = context.questions.get(name)
        if row is None:
            yield problem("policy.guidance_missing", Cell("survey"), "name", name, context.policy.name)
        elif row.get("type") != "note" or _is_hidden(context, row):
            yield problem("policy.guidance_hidden", row, "relevant", name, context.policy.name)


def _is_hidden(context: CheckContext, row: Row) -> bool:
    """True if a note cannot be shown while the policy's guidance has its name."""
    chosen = Token("=", parts=(Token("$", "guidance"), Token("(string)", row.get("name"))))
    texts = [each.get("relevant") for each in (*context.groups.get(row.get("name"), ()), row)]
    types = {name: each.get("type").partition(" ")[0] for name, each in context.questions.items()}
    return is_unsatisfiable([chosen, *(token for text in texts for token in _parsed(text))], types)


def _parsed(text: str) -> list[Token]:
    try:
        return [parse_expression(text)] if text else []
    except ExpressionError:
        return []  # `check_expressions` reports it
