"""Writes docs/policy_impact.md: what the policies of 2026_2 decide otherwise than those of 2026_1.

`make policy-impact` runs it. Both policies judge the same answers to the present forms, so each difference comes from a
row of the new policy. The people are synthetic; then come the interviews written down from published cases.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import Engine, FilledForm, load_engine
from screening_forms.impact.synthetic_interviews import InterviewGenerator
from screening_forms.rules.dimensions import FACTS, Facts
from screening_forms.rules.indicators import indicator_set_from_dict
from screening_forms.rules.policy import Policy, policy_from_dict
from screening_forms.scoring.assessment import Assessment, assess_indicators
from screening_forms.scoring.calculates import indicator_node
from screening_forms.workbook.package import load_package
from screening_forms.workbook.resources import BUILT_IN, CATALOGUE
from sync.envelope.route import AUTHOR_FIELDS

FILE = Path(__file__).with_name("policy_impact.md")
VIGNETTES = Path(__file__).parents[1] / "tests/support/vignettes.json"
FORMS = tuple(sorted(path.parent.name for path in CATALOGUE.glob("*/form.md")))
PEOPLE, SEED, ROWS_SHOWN, LONGEST_ROW = 10_000, 2026, 3, 100

HEAD = """# Impact of the policies of 2026_2

`make policy-impact` writes this page: {people:,} synthetic interviews of each form, then the {cases} interviews written
down from published cases. The policies of 2026_1 and of 2026_2 judge the same answers to the present form, so every
difference comes from a row of the new policy.

A line is: outcome, tier, desks, urgency. "Rows" are the conditions of the new policy that decided, the most frequent
first. The shares of synthetic people say nothing about real people: the generator aims at every rule of a form.

Why results differ:
- One strong sign, no pay at all, or a sign that was seen when the person was not alone leads to a review. Before, it
  could end as `negative` (ILO 2012: one indicator can be enough [unverified]).
- Deceived or coerced and then coerced here is `positive` before any work was done: the purpose is enough (Palermo
  Protocol, article 3 a).
- A person who is held (documents, debt, locked in) and exploited is `positive`.
- Exploitation with vulnerability alone, without force, threat or deception, is a `review` in the labour forms. Before,
  it was `positive`.
- A child whose outcome is a review is `prompt`. Before, every child was `immediate`.
"""

CASES_HEAD = """
## Interviews written down from published cases

| case | form | 2026_1 | 2026_2 | row of 2026_2 |
|---|---|---|---|---|
"""


class ComparedForm:
    """A form with its policy and the former version of that policy."""

    def __init__(self, name: str) -> None:
        package = load_package(CATALOGUE / name)
        self.form: CompiledForm = compile_form(package.workbook, channel="training", route_vocabulary=AUTHOR_FIELDS)
        self.engine: Engine = load_engine(self.form.xform)
        self.new: Policy = policy_from_dict(self.form.policy)
        self.old: Policy = BUILT_IN.policy(self.new.name.removesuffix("2026_2") + "2026_1")

    def results(self, filled: FilledForm) -> tuple[str, str]:
        """Return the results under the former and the new policy; equal if the interview has no score."""
        if "outcome" not in filled.relevant:
            return "not scored", "not scored"
        return _words(self._assess(filled, self.old)), _words(self._assess(filled, self.new))

    def row(self, filled: FilledForm) -> str:
        """Return the condition of the new policy's row that decided the outcome."""
        if "outcome" not in filled.relevant:
            return ""
        values = filled.values
        if values["outcome"] != values["p_min_outcome"]:
            return "a question without an answer decides"
        rows = self.new.step("outcome")
        text = rows[int(values["p_min"]) - 1].condition.write(str)
        return text if len(text) <= LONGEST_ROW else f"{text[:LONGEST_ROW].rpartition(' or ')[0]} or ..."

    def _assess(self, filled: FilledForm, policy: Policy) -> Assessment:
        known = indicator_set_from_dict(self.form.indicator_set)
        found = {code: filled.values.get(indicator_node(code), "0") for code in known.indicators}
        values = {code: int(value) if value else None for code, value in found.items()}
        facts = Facts(**{fact: int(filled.values[f"f_{fact}"]) for fact in FACTS})
        return assess_indicators(values, facts, profile=self.form.profile, policy=policy, indicator_set=known)


def _words(assessed: Assessment) -> str:
    desks = " ".join(assessed.queue_kinds) or "no desk"
    return f"{assessed.outcome} {assessed.tier}, {desks}, {assessed.urgency}"


def form_section(name: str, people: int) -> Iterator[str]:
    """Yield the lines about one form: how many results differ, from what to what, by which rows."""
    compared, moves, rows = ComparedForm(name), Counter[tuple[str, str]](), dict[tuple[str, str], Counter[str]]()
    scored = 0
    for answers in InterviewGenerator(compared.engine).generate(people, SEED):
        filled = compared.engine.drop_invalid(answers)
        scored += "outcome" in filled.relevant
        move = compared.results(filled)
        if move[0] != move[1]:
            moves[move] += 1
            rows.setdefault(move, Counter())[compared.row(filled)] += 1
    yield f"\n## {name}: `{compared.old.name}` to `{compared.new.name}`\n"
    yield f"\n{scored:,} of {people:,} interviews have a score; {moves.total():,} of them have another result.\n"
    yield "\n| interviews | 2026_1 | 2026_2 | rows |\n|---|---|---|---|\n"
    for (old, new), count in moves.most_common():
        shown = "; ".join(f"`{row}`" for row, _ in rows[old, new].most_common(ROWS_SHOWN))
        yield f"| {count:,} | {old} | {new} | {shown} |\n"


def case_lines() -> Iterator[str]:
    """Yield one line for each interview written down from a published case."""
    compared = {name: ComparedForm(name) for name in FORMS}
    vignettes: list[Mapping[str, Any]] = json.loads(VIGNETTES.read_text("utf-8"))
    for vignette in vignettes:
        name = vignette["form"]
        filled = compared[name].engine.drop_irrelevant({**vignette["answers"], **vignette["added"]})
        old, new = compared[name].results(filled)
        row = f"`{compared[name].row(filled)}`" if compared[name].row(filled) else ""
        yield f"| {vignette['id']} | {name} | {old} | {'the same' if new == old else new} | {row} |\n"


def page(people: int) -> str:
    """Return the whole page."""
    cases = list(case_lines())
    forms = [line for name in FORMS for line in form_section(name, people)]
    return "".join([HEAD.format(people=people, cases=len(cases)), *forms, CASES_HEAD, *cases])


if __name__ == "__main__":
    sys.stderr.write(f"Comparing the policies on {PEOPLE:,} interviews of each form; this takes minutes ...\n")
    FILE.write_text(page(PEOPLE), encoding="utf-8")
