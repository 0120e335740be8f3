"""Interviews written down from published cases and everyday work: each questionnaire gives the result fixed before.

`support/vignettes.json`: `facts` in our words; `answers` as they were written for the forms of 2026112203; `added`, the
answers to questions that are newer; `expected` and `tolerated` results as [outcome, tiers, queue kinds].
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from screening_forms.engine.evaluator import FilledForm
from support.catalogue import form

IMPACT = Path(__file__).parents[1] / "docs" / "write_policy_impact.py"
VIGNETTES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "support/vignettes.json").read_text("utf-8"))
for_each_vignette = pytest.mark.parametrize("vignette", VIGNETTES, ids=lambda vignette: vignette["id"])


def fill(vignette: dict[str, Any]) -> FilledForm:
    """Fill the vignette's form. Questions that the newer answers hide lose their answers."""
    answers = {**vignette["answers"], **vignette["added"]}
    return form(vignette["form"]).drop_irrelevant(answers)


def is_among(filled: FilledForm, results: list[list[Any]]) -> bool:
    values = filled.values
    outcome, tier = values.get("outcome", "not_scored"), values.get("tier")
    queue_kinds = values.get("queue_kinds", "").split()
    return any((outcome, queue_kinds) == (result[0], result[2]) and tier in result[1] for result in results)


@for_each_vignette
def test_a_case_has_the_result_fixed_before_or_a_tolerated_one_with_a_reason(vignette: dict[str, Any]) -> None:
    filled = fill(vignette)
    assert is_among(filled, vignette["tolerated"] if vignette["reason"] else vignette["expected"]), filled.values


@for_each_vignette
def test_a_case_answers_every_question_about_signs_that_is_asked(vignette: dict[str, Any]) -> None:
    filled, engine = fill(vignette), form(vignette["form"])
    signs = {node.name for node in engine.questions if f"u_{node.name}" in engine.nodes}
    stopped_early = vignette["id"] == "P02"
    assert stopped_early or not (signs & filled.relevant) - filled.answers.keys()


def test_the_page_on_the_policies_shows_what_the_forms_decide_today() -> None:
    impact = runpy.run_path(str(IMPACT))
    page = IMPACT.with_name("policy_impact.md").read_text(encoding="utf-8")
    assert page.endswith("".join(impact["case_lines"]()))
    assert page.count("10,000 interviews have a score") == len(impact["FORMS"])
