"""Checks that a form reaches what its policy decides with: indicators, dimensions, facts and guidance notes.

Called by `run.py`. A form that looks at little calls everybody negative. For the channel `field` these problems block.
"""

from __future__ import annotations

from collections.abc import Iterator

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormProblem
from screening_forms.expressions.parser import ExpressionError, Token, parse_expression
from screening_forms.expressions.satisfiability import is_unsatisfiable
from screening_forms.problems import Cell, problem
from screening_forms.rules.dimensions import ANY_OF, FACTS, OBSERVED, RULES
from screening_forms.rules.indicators import PROFILES, IndicatorSet
from screening_forms.rules.policy import Policy
from screening_forms.workbook.reader import Row

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
    if context.workbook.settings.get("unreached_on_purpose") != "yes":
        if missing := [code for code in context.indicator_set.used(profile) if code not in reached]:
            yield problem("indicator.unreached", _INDICATORS, "code", ", ".join(missing))
    elif context.policy and (out := list(_out_of_reach(context.indicator_set, context.policy, profile, reached))):
        yield problem("indicator.dimension_unreached", _INDICATORS, "code", ", ".join(out), context.policy.name)


def _out_of_reach(known: IndicatorSet, policy: Policy, profile: str, reached: frozenset[str]) -> Iterator[str]:
    """Yield each dimension and family that a policy with a `negative` decides with and that can never be positive."""
    if all(row.outcome != "negative" for row in policy.step("outcome")):
        return
    for name in policy.names("outcome"):
        if name in ANY_OF and ANY_OF[name] != OBSERVED and not reached & {*known.family(ANY_OF[name])}:
            yield name
        elif name in known.dimensions:
            kinds = {kind: len(reached & {*known.members(profile, name, kind)}) for kind in RULES[name].kinds}
            if not RULES[name].holds(kinds):
                yield name


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
