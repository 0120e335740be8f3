"""No number, date or text of a form identifies a person."""

from __future__ import annotations

import pytest

from screening_forms.checks.identifying import is_real_reason
from screening_forms.compiler.compile_form import compile_form
from screening_forms.errors import FormError
from screening_forms.workbook.reader import Workbook, parse_markdown
from support.author_edits import LABEL, blocks, of_code, with_cells, with_row
from support.catalogue import book
from support.forms import WHOLE
from sync.envelope.route import AUTHOR_FIELDS

IDENTIFIES, UNBOUNDED = "question.identifies", "question.unbounded"
REASON = "Los oficios de esta zona no caben en una lista"
FORM = parse_markdown(WHOLE)


def asking(kind: str, name: str, label: str, **cells: str) -> Workbook:
    """A sound form with one question more."""
    return with_row(FORM, "survey", "region", {"type": kind, "name": name, LABEL: label, **cells})


@pytest.mark.parametrize(
    ("kind", "name", "label", "cells"),
    [
        ("integer", "dni", "¿Cuál es su número?", {}),
        ("integer", "numero", "¿Cuál es su DNI?", {"constraint": ". >= 0 and . <= 99999999"}),
        ("integer", "n", "¿Qué número tiene su carné de extranjería?", {"constraint": ". > 0 and . < 1000000"}),
        ("integer", "n", "Número de pasaporte", {"constraint": ". > 0"}),
        ("integer", "ruc", "¿Qué número tiene la empresa?", {}),
        ("integer", "n", "¿A qué TELÉFONO le llamamos?", {"constraint": ". < 999999999"}),
        ("integer", "su_celular", "¿Número?", {"constraint": "(. < 100) or (. < 999999999)"}),
        ("date", "nacimiento", "¿Cuándo nació?", {}),
        ("date", "f", "¿Cuál es su fecha de nacimiento?", {"reason": REASON}),
        ("date", "cumple", "¿Qué día es su cumpleaños?", {"reason": REASON}),
        ("integer", "anio", "¿En qué año y mes nació?", {"constraint": ". <= 999912"}),
        ("integer", "anio", "¿En qué año naciste?", {"constraint": ". >= 1990 and . <= 2026"}),
        ("integer", "mes", "¿En qué mes nació?", {"constraint": ". >= 1 and . <= 12"}),
        ("integer", "dia", "Día de nacimiento", {"constraint": ". >= 1 and . <= 31"}),
        ("integer", "a", "Primeras cuatro cifras de su DNI", {"constraint": ". >= 0 and . <= 9999"}),
        ("integer", "b", "¿Cuántas cifras? Diga los números de su documento", {"constraint": ". >= 0 and . <= 9999"}),
        ("integer", "llamar", "¿A qué número podemos llamarte?", {"constraint": ". >= 0 and . <= 9999"}),
        ("text", "w", "¿Tiene guasap?", {"reason": REASON}),
        ("text", "t", "¿Cuál es tu apodo?", {"reason": REASON}),
        ("text", "t", "¿Cómo te dicen?", {"reason": REASON}),
        ("text", "t", "¿Dónde vives?", {"reason": REASON}),
        ("text", "t", "¿Quién te trajo?", {"reason": REASON}),
        ("text", "t", "¿De quién eres hija?", {"reason": REASON}),
        ("text", "quien", "¿Cómo se llama usted?", {"reason": REASON}),
        ("text", "quien", "Nombres y apellidos", {"reason": REASON}),
        ("text", "donde", "¿Cuál es su dirección?", {"reason": REASON}),
    ],
)
def test_a_question_for_what_identifies_a_person_is_stopped_everywhere(
    kind: str, name: str, label: str, cells: dict[str, str]
) -> None:
    form = asking(kind, name, label, **cells)
    (found,) = of_code(form, IDENTIFIES)
    assert (found.sheet, found.row, found.column) == ("survey", 22, "name")
    assert blocks(form, IDENTIFIES, "training")


def test_the_advice_says_what_to_ask_instead() -> None:
    (born,) = of_code(asking("date", "nac", "¿Fecha de nacimiento?"), IDENTIFIES)
    assert "pregunte la edad por tramos" in born.advice_es
    assert "age_band" in born.advice_en
    bands = {"type": "select_one age", "name": "nac", LABEL: "¿Qué edad tiene?", "constraint": "", "reason": ""}
    assert of_code(with_cells(asking("date", "nac", "¿Fecha de nacimiento?"), "survey", "nac", bands), IDENTIFIES) == []
    (document,) = of_code(asking("integer", "dni", "¿DNI?"), IDENTIFIES)
    assert "¿Quién tiene hoy su documento?" in document.advice_es


@pytest.mark.parametrize(
    ("kind", "name", "label", "cells"),
    [
        ("integer", "sueldo", "¿Cuántos soles al mes?", {"constraint": ". >= 0 and . <= 1000000"}),
        ("integer", "celulares", "¿Cuántos celulares hay?", {"constraint": ". >= 0 and . <= 50"}),
        ("integer", "hijos", "¿Cuántos hijos le nacieron aquí?", {"constraint": ". >= 0 and . <= 20"}),
        ("integer", "llamadas", "¿Cuántas veces puede llamar a su familia?", {"constraint": ". >= 0 and . <= 50"}),
        ("integer", "quincena", "¿Cuántos días trabajó?", {"constraint": "(. >= 0 and . <= 15) or . = 99"}),
        ("select_one ynd", "dni_hoy", "¿Tiene usted hoy su DNI y su celular?", {}),
        ("date", "llegada", "¿Cuándo llegó?", {"reason": "El plazo para denunciar corre desde ese día"}),
        ("text", "oficio", "¿Qué oficio tiene?", {"reason": REASON}),
    ],
)
def test_a_question_that_identifies_no_one_is_allowed(kind: str, name: str, label: str, cells: dict[str, str]) -> None:
    form = asking(kind, name, label, **cells)
    assert not any(of_code(form, code) for code in (IDENTIFIES, UNBOUNDED, "question.empty_reason"))
    assert not of_code(form, "question.date_without_reason")


@pytest.mark.parametrize(
    ("constraint", "better"),
    [
        ("", ". >= 0 and . <= 1000"),
        (". > 0", "(. > 0) and . <= 1000"),
        (". < 10 or . > 20", "(. < 10 or . > 20) and . <= 1000"),
        (". <= 99999999", "(. <= 99999999) and . <= 1000"),
    ],
)
def test_a_number_without_a_limit_is_not_for_the_field_and_the_limit_puts_it_right(
    constraint: str, better: str
) -> None:
    form = asking("integer", "cuantos", "¿Cuántos?", constraint=constraint)
    (found,) = of_code(form, UNBOUNDED)
    assert (found.sheet, found.row, found.column) == ("survey", 22, "constraint")
    assert f"escriba en constraint {better}," in found.advice_es
    assert blocks(form, UNBOUNDED, "field")
    assert not blocks(form, UNBOUNDED, "training")
    assert of_code(with_cells(form, "survey", "cuantos", {"constraint": better}), UNBOUNDED) == []


def test_an_exact_date_needs_a_reason_in_the_field() -> None:
    form = asking("date", "llegada", "¿Cuándo llegó?")
    (found,) = of_code(form, "question.date_without_reason")
    assert (found.row, found.column) == (22, "reason")
    assert blocks(form, "question.date_without_reason", "field")
    assert not blocks(
        with_cells(form, "survey", "llegada", {"reason": REASON}), "question.date_without_reason", "field"
    )


@pytest.mark.parametrize("kind", ["text", "date"])
@pytest.mark.parametrize(
    "reason",
    [
        *("x", "n/a", "porque sí", "Es necesario", "Hace falta el dato", "x x x x x", "ok"),
        *("asdfgh qwerty", "lorem ipsum dolor", "Observaciones generales adicionales"),
    ],
)
def test_a_reason_that_says_nothing_is_not_for_the_field(kind: str, reason: str) -> None:
    form = asking(kind, "otro", "¿Qué pasó antes?", reason=reason)
    (found,) = of_code(form, "question.empty_reason")
    assert (found.sheet, found.row, found.column) == ("survey", 22, "reason")
    assert blocks(form, "question.empty_reason", "field")
    pasted = found.advice_es.rpartition(": ")[2]
    assert of_code(with_cells(form, "survey", "otro", {"reason": pasted}), "question.empty_reason") == []


@pytest.mark.parametrize(
    "reason",
    [
        "Solo hay lugares.",
        "Para hablarle; no es su nombre.",
        "Revisora 7: los oficios no caben en una lista",
        "El plazo para denunciar corre desde ese día",
        "Las herramientas cambian de una mina a otra",
    ],
)
def test_a_reason_with_words_of_its_own_is_real(reason: str) -> None:
    assert is_real_reason(reason)


def test_the_children_form_with_a_document_number_or_a_birthday_does_not_compile() -> None:
    for kind, name, label in (("integer", "dni", "¿Cuál es tu DNI?"), ("date", "fecha", "¿Cuándo naciste?")):
        form = with_row(book("pe_nna"), "survey", "menor_antes", {"type": kind, "name": name, LABEL: label})
        with pytest.raises(FormError, match=r"question\.identifies"):
            compile_form(form, channel="training", route_vocabulary=AUTHOR_FIELDS)
