"""Synthetic interviews, and the outcomes that a new version of a form changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import load_engine
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.impact.comparison import Impact, cases_by_name, compare_outcomes
from screening_forms.impact.synthetic_interviews import InterviewGenerator
from screening_forms.sandbox import client as sandbox
from screening_forms.sandbox.tasks import CompareForms, CompareOutcomes
from screening_forms.scoring.assessment import explain_screening
from screening_forms.workbook.reader import parse_markdown
from support.forms import CATALOGUE_FORMS, SMALL, compiled
from sync.envelope.route import AUTHOR_FIELDS


def made(text: str) -> CompiledForm:
    workbook = parse_markdown(text[: text.index("| cases |")])
    return compile_form(workbook, channel="training", route_vocabulary=AUTHOR_FIELDS, run_cases=False)


@pytest.fixture(scope="module")
def small() -> CompiledForm:
    return made(SMALL)


# Synthetic interviews


@pytest.mark.parametrize("form", ["small", *CATALOGUE_FORMS])
def test_synthetic_interviews_give_every_choice_refuse_and_reach_every_branch(form: str) -> None:
    scorer = load_engine(compiled(form).xform)
    filled = [
        scorer.run(scorer.drop_irrelevant(answers).answers)
        for answers in InterviewGenerator(scorer).generate(400, seed=1)
    ]
    given = {(name, code) for each in filled for name, text in each.answers.items() for code in text.split()}
    choices = {(node.name, code) for node in scorer.questions for code in node.choices}
    assert not choices - given
    assert {each.values["outcome"] for each in filled} >= {"positive", "review"}
    assert any(code in NO_ANSWERS for _, code in given)
    assert any(each.missing == () for each in filled)


def test_the_same_seed_gives_the_same_interviews(small: CompiledForm) -> None:
    scorer = load_engine(small.xform)
    first, again, other = (list(InterviewGenerator(scorer).generate(30, seed)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_the_form_and_the_second_opinion_agree_on_synthetic_interviews(small: CompiledForm) -> None:
    scorer = load_engine(small.xform)
    for answers in InterviewGenerator(scorer).generate(200, seed=2):
        filled, second = scorer.drop_irrelevant(answers), explain_screening(small, scorer.drop_irrelevant(answers))
        assert (filled.values["outcome"] or "not_scored") == second.outcome


# Impact


def test_a_version_compared_with_itself_moves_no_screening(small: CompiledForm) -> None:
    found = compare_outcomes(small, small, count=100)
    assert (found.made_up, found.moved, found.moves, found.uncarried) == (100, 0, (), ())
    assert sum(found.outcomes.values()) == 100


def test_each_move_has_its_count_both_outcomes_and_the_reasons(small: CompiledForm) -> None:
    stricter = made(SMALL.replace("D4.01 | ${horas} >= 12", "D4.01 | ${horas} >= 8"))
    found = compare_outcomes(small, stricter, count=200)
    moved = {pair: count for pair, count in found.outcomes.items() if pair[0] != pair[1]}
    assert moved
    assert all(before in ("negative", "review", "labour_rights") for before, _ in moved), "more evidence never lowers"
    assert found.moved_outcomes == sum(moved.values()) <= found.moved
    example = found.moves[0].examples[0]
    assert not any("D4.01" in sentence for sentence in example.why_before)
    assert any("D4.01" in sentence for sentence in example.why_after)
    assert ("¿Cuántas horas al día?", example.answers["horas"]) in example.words


def test_the_answers_of_an_example_fill_in_the_form_again(small: CompiledForm) -> None:
    stricter = made(SMALL.replace("D4.01 | ${horas} >= 12", "D4.01 | ${horas} >= 8"))
    for move in compare_outcomes(small, stricter, count=100).moves:
        for example in move.examples:
            assert load_engine(stricter.xform).run(example.answers).values["tier"] == move.after.tier


def test_an_authors_own_cases_come_first_with_their_names(small: CompiledForm) -> None:
    workbook = parse_markdown(SMALL)
    own = cases_by_name(workbook)
    assert len(own) == len(workbook.cases) > 0
    without = made(SMALL.replace("| | danger | ${peligro}='yes' |", "| | danger | ${peligro}='no' |"))
    found = compare_outcomes(small, without, own=own, count=0)
    assert found.cases == len(own)
    assert sum(found.outcomes.values()) == len(own)
    assert {example.case for move in found.moves for example in move.examples} <= own.keys()


def test_an_answer_without_a_place_in_the_other_version_is_counted(small: CompiledForm) -> None:
    text = SMALL.replace("${horas}", "${jornada}").replace("| horas |", "| jornada |")
    text = text.replace("| | place | bar |", "| | place | cantina | Una cantina | all |\n| | place | bar |")
    found = {
        (each.question, each.choice, each.only_in): each.answers
        for each in compare_outcomes(small, made(text)).uncarried
    }
    assert found.keys() == {("horas", "", "old"), ("jornada", "", "new"), ("lugar", "cantina", "new")}
    assert all(found.values())


def test_a_renamed_question_is_answered_in_both_versions(small: CompiledForm) -> None:
    renamed = made(SMALL.replace("${horas}", "${jornada}").replace("| horas |", "| jornada |"))
    outcomes = compare_outcomes(small, renamed, count=300).outcomes
    same = sum(count for (before, after), count in outcomes.items() if before == after)
    assert same > 150, "the same respondent must answer both versions"


def test_progress_is_reported_up_to_the_end(small: CompiledForm) -> None:
    told: list[tuple[int, int]] = []
    compare_outcomes(small, small, count=120, progress=lambda done, of: told.append((done, of)))
    assert told == [(50, 120), (100, 120), (120, 120)]


def test_the_sandbox_compares_versions(small: CompiledForm) -> None:
    reworded = replace(small, xform=small.xform.replace("¿Hay peligro?", "¿Corre peligro?"))
    content, old = reworded.to_bytes(), small.to_bytes()
    assert sandbox.run(CompareForms(content, old)).changes[0]["code"] == "text.reworded"
    told: list[tuple[int, int]] = []
    request = CompareOutcomes(content, old, SMALL.encode(), count=60)
    found = sandbox.run(request, lambda done, of: told.append((done, of))).impact
    assert isinstance(found, dict)
    assert found["moved"] == 0
    assert found["made_up"] == 60
    assert told[-1][0] == told[-1][1]


def test_an_impact_is_plain_json(small: CompiledForm) -> None:
    found: Impact = compare_outcomes(small, small, count=10)
    assert found.as_dict()["outcomes"][0].keys() == {"before", "after", "count"}
