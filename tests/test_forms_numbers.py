"""Numbers and dates: what a question accepts, and which uses of them a form may not have.

A form passes only if ODK Collect, ODK Web Forms and our engine read each number alike.
"""

from __future__ import annotations

import pytest

from screening_forms.compiler.compile_form import check_and_compile
from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.errors import AnswerError
from screening_forms.expressions.numbers import is_clear_number, is_fraction
from screening_forms.problems import ADVICE
from screening_forms.workbook.reader import parse_markdown
from support.agreement_forms import markdown
from support.forms import compiled
from sync.envelope.route import AUTHOR_FIELDS


@pytest.fixture(scope="module")
def odd() -> Engine:
    return load_engine(compiled("odd").xform)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        *(("0", "0"), ("-0", "0"), ("00012", "12"), ("007", "7"), ("-007", "-7"), ("0" * 30 + "5", "5")),
        *(("1000000000", "1000000000"), ("2147483647", "2147483647"), ("-2147483648", "-2147483648")),
    ],
)
def test_an_integer_has_32_bits_as_in_both_odk_engines(odd: Engine, typed: str, kept: str) -> None:
    assert odd.run({"saldo": typed}).answers == {"saldo": kept}


@pytest.mark.parametrize("typed", ["2147483648", "-2147483649", "9999999999", "1e3", "0x10", "+5", "5.0", "٣", "--5"])
def test_an_integer_beyond_32_bits_or_in_other_signs_is_refused(odd: Engine, typed: str) -> None:
    with pytest.raises(AnswerError, match="2147483647"):
        odd.run({"saldo": typed})


@pytest.mark.parametrize("day", ["1583-01-01", "1900-01-01", "2000-02-29", "2024-02-29", "9999-12-31"])
def test_a_day_of_the_calendar_is_accepted(odd: Engine, day: str) -> None:
    assert odd.run({"desde": day}).values["desde"] == day


@pytest.mark.parametrize("day", ["1900-02-29", "2023-02-29", "2026-13-01", "1582-10-10", "0001-01-01", "10000-01-01"])
def test_a_day_that_engines_read_differently_or_that_never_was_is_refused(odd: Engine, day: str) -> None:
    with pytest.raises(AnswerError, match="1583"):
        odd.run({"desde": day})


def test_a_free_text_with_other_digits_is_no_number() -> None:
    """A version that was published before the check still loads; its text is read as both ODK engines read it."""
    xform = compiled("odd").xform.replace("/data/codigo  = 7", "/data/nota  = 3")
    old = load_engine(xform)
    changed = next(node.name for node in old.form.nodes if "/data/nota  = 3" in node.calculate)
    assert old.run({"nota": "3"}).values[changed] == "1"
    assert old.run({"nota": "٣"}).values[changed] == "0"


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        ("| | calculate | mal | | | | | | | if(${nota} >= 8, 1, 0) |", "calculation", "expression.text_as_number"),
        ("| | calculate | mal | | | | | | | ${nota} + 1 |", "calculation", "expression.text_as_number"),
        ("| | note | mal | Ver | 7 = (${nota}) | | | | | |", "relevant", "expression.text_as_number"),
        ("| | calculate | mal | | | | | | | if(${raro} >= 8, 1, 0) |", "calculation", "expression.code_as_number"),
        ("| | note | mal | Ver | ${raro} < 8 | | | | | |", "relevant", "expression.code_as_number"),
        ("| | calculate | mal | | | | | | | if(${saldo} > '1e3', 1, 0) |", "calculation", "expression.code_as_number"),
        ("| | integer | mal | ¿Cuánto? | | | . < 9999999999999999 | | | |", "constraint", "expression.code_as_number"),
        ("| | calculate | mal | | | | | | | ${saldo} + 0.5 |", "calculation", "expression.fraction"),
        (
            "| | calculate | mal | | | | | | | if(${horas} > 8, ${codigo} + 1, 0) |",
            "calculation",
            "expression.fraction",
        ),
        ("| | calculate | mal | | | | | | | -(${codigo}) |", "calculation", "expression.fraction"),
        ("| | note | mal | Ver | ${desde} >= '2024-02-29' | | | | | |", "relevant", "expression.date_as_number"),
        ("| | date | mal | ¿Cuándo? | | | . = 2024 | | | |", "constraint", "expression.date_as_number"),
        ("| | note | mal | Ver | ${saldo} = '5' | | | | | |", "relevant", "expression.number_as_text"),
        ("| | integer | mal | ¿Cuánto? | | | (.) != ${codigo} | | | |", "constraint", "expression.number_as_text"),
    ],
)
def test_a_number_that_engines_read_differently_is_refused_in_its_cell(row: str, column: str, code: str) -> None:
    before = "| | begin_group | adulto |"
    text = markdown("odd").replace(before, f"{row}\n{before}", 1)
    problems, form = check_and_compile(parse_markdown(text), channel="training", route_vocabulary=AUTHOR_FIELDS)
    found = {(problem.sheet, problem.column, problem.code) for problem in problems}
    assert form is None
    assert ("survey", column, code) in found
    placed = next(problem for problem in problems if problem.code == code)
    assert parse_markdown(text).survey[placed.row - 2].get("name") == "mal"


@pytest.mark.parametrize(
    ("when", "code"),
    [
        ("${raro} >= 8", "expression.code_as_number"),
        ("${nota} = 7", "expression.text_as_number"),
        ("${desde} > 7", "expression.date_as_number"),
        ("${saldo} = 'no'", "expression.number_as_text"),
    ],
)
def test_an_indicator_with_such_a_number_is_refused_in_its_row(when: str, code: str) -> None:
    text = markdown("odd").replace("| | D4.01 | ${horas} >= 12 |", f"| | D4.01 | {when} |")
    problems, form = check_and_compile(parse_markdown(text), channel="training", route_vocabulary=AUTHOR_FIELDS)
    assert form is None
    rows = {(problem.sheet, problem.column, problem.code): problem.row for problem in problems}
    assert parse_markdown(text).indicators[rows["indicators", "when", code] - 2].get("code") == "D4.01"


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        (
            "| | camp | otro | Otra parte | all | all | all | |",
            "| | camp | otro | Otra parte | all | all | | |",
            "place",
        ),
        ("| | place | bar | Un bar | | all | | |", "| | place | bar | Un bar | | | | |", "district"),
        ("| | region | 17 |", "| | region | 17 |", ""),
    ],
)
def test_a_blank_cell_that_a_choice_filter_compares_is_refused(old: str, new: str, at: str) -> None:
    text = markdown("cascade")
    assert old in text
    problems, _ = check_and_compile(
        parse_markdown(text.replace(old, new)), channel="training", route_vocabulary=AUTHOR_FIELDS
    )
    blank = [(problem.sheet, problem.column) for problem in problems if problem.code == "choice.filter_blank"]
    assert blank == ([("choices", at)] if at else [])


@pytest.mark.parametrize("text", ["1e3", "1E-3", "0x10", "0b1", "0o7", "Infinity", "-Infinity", "9" * 16, "1" * 20])
def test_a_text_that_only_some_engines_read_as_a_number_is_not_clear(text: str) -> None:
    assert not is_clear_number(text)


@pytest.mark.parametrize(
    "text", ["0", "-0", "007", "-5", ".5", "5.", "9" * 15, "yes", "no_answer", "1-2", "1.5.2", "-"]
)
def test_plain_numbers_and_words_are_clear(text: str) -> None:
    assert is_clear_number(text)
    assert is_fraction(text) == (text in (".5", "5."))


def test_each_of_these_problems_says_what_to_write_instead() -> None:
    for code in ("text_as_number", "code_as_number", "date_as_number", "number_as_text", "fraction"):
        assert any(word in ADVICE[f"expression.{code}"].es for word in ("pregúntelo", "cámbielo", "como en", "sume"))
