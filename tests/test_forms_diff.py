"""The diff of two versions of a form: every change has a sentence, and no change goes unseen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from xml.etree.ElementTree import fromstring, tostring

import pytest

from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import compile_form
from screening_forms.diff.cases import case_changes
from screening_forms.diff.changes import SENTENCES, Change
from screening_forms.diff.form_model import parse_form
from screening_forms.diff.forms import form_changes
from screening_forms.workbook.reader import parse_markdown
from screening_forms.workbook.resources import BUILT_IN, Resources
from server.cli import terminal
from server.cli.authors.compare import print_changes
from server.cli.safe_console import SafeConsole
from support.forms import SMALL, compiled
from sync.envelope.route import AUTHOR_FIELDS


def made(text: str, resources: Resources = BUILT_IN) -> CompiledForm:
    """Compile a draft without its cases, which may fail."""
    workbook = parse_markdown(text[: text.index("| cases |")] if "| cases |" in text else text)
    form = compile_form(
        workbook, channel="training", route_vocabulary=AUTHOR_FIELDS, resources=resources, run_cases=False
    )
    return replace(form, bucket=1024)


@pytest.fixture(scope="module")
def small() -> CompiledForm:
    return made(SMALL)


def edited(before: str, after: str) -> str:
    assert before in SMALL
    return SMALL.replace(before, after)


def told(changes: list[Change]) -> list[tuple[str, str]]:
    return [(each.code, each.name) for each in changes]


EVERY = 8
"""The test tries one change of this many; 1 tries all."""

DEBT = "| | select_one ynd | deuda | ¿Tiene una deuda? | ${oferta}='yes' or ${oferta}='no' | | | | |"
HOURS = "| | integer | horas | ¿Cuántas horas al día? | | | . >= 0 and . <= 24 | | |"
EDITS = {
    "title": ("Diez preguntas", "Once preguntas", [("form.member", "title")]),
    "reworded": ("¿Hay peligro?", "¿Corre peligro?", [("text.reworded", "peligro")]),
    "choice reworded": ("| Puno |", "| Puno y Juliaca |", [("text.reworded", "region.21")]),
    "choice added": (
        "| | place | bar |",
        "| | place | mina | Una mina | all |\n| | place | bar |",
        [("choice.added", "place.mina")],
    ),
    "choice removed": ("| | place | la_pampa | La Pampa | 17 |\n", "", [("choice.removed", "place.la_pampa")]),
    "choice of another region": ("La Pampa | 17 |", "La Pampa | 21 |", [("choice.column", "place.la_pampa")]),
    "choices in another order": (
        "| | region | 17 | Madre de Dios | |\n| | region | 21 | Puno | |",
        "| | region | 21 | Puno | |\n| | region | 17 | Madre de Dios | |",
        [("choice.reordered", "region")],
    ),
    "required": (
        "| region | ¿En qué región? | | |",
        "| region | ¿En qué región? | | yes |",
        [("item.required", "region")],
    ),
    "optional": ("${peligro}='no' | yes |", "${peligro}='no' | |", [("item.optional", "permiso")]),
    "constraint": (". <= 24", ". <= 20", [("item.rule", "horas")]),
    "filter": ("region=${region} or region='all'", "region='all' or region=${region}", [("item.rule", "lugar")]),
    "list": ("select_one yn | peligro", "select_one consent | peligro", [("item.list", "peligro")]),
    "moved": (f"\n{HOURS}", "", [("item.moved", "horas")]),
    "mapping": ("D5.14 | ${deuda}='yes'", "D5.14 | ${atado}='yes'", [("mapping.changed", "D5.14")]),
    "mapping of another code": (
        "| | D5.02 | ${atado}='yes' |",
        "| | D5.03 | ${atado}='yes' |",
        [("mapping.removed", "D5.02"), ("mapping.added", "D5.03")],
    ),
    "fact": ("place | ${lugar}='bar'", "place | ${lugar}='la_pampa'", [("mapping.changed", "place of risk")]),
    "consent policy": (
        "| form_id | form_title | version |",
        "| consent_policy | form_id | form_title | version |",
        [("form.member", "consent_policy")],
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_gives_its_own_change_and_no_other(edit: str, small: CompiledForm) -> None:
    before, after, expected = EDITS[edit]
    text = edited(before, after)
    if edit == "consent policy":
        text = text.replace("| small | Diez", "| duty_to_report | small | Diez")
    if edit == "moved":
        text = text.replace(DEBT, f"{HOURS}\n{DEBT}")
    changes = form_changes(small, made(text))
    assert [each for each in told(changes) if each[0] != "score.steps"] == expected


def test_the_same_bytes_have_no_changes(small: CompiledForm) -> None:
    assert form_changes(small, CompiledForm.from_bytes(small.to_bytes())) == []


def test_a_change_has_numbers_and_labels_in_both_languages(small: CompiledForm) -> None:
    text = edited("El trato | ${oferta}='yes'", "El trato | ${oferta}='yes' or ${oferta}='no'")
    found = form_changes(small, made(text))[0]
    assert found.es == "grupo «El trato» se pregunta si: «oferta» es «Sí» → «oferta» es «Sí» o «oferta» es «No»"
    assert found.en == "group 'El trato' is asked if: 'oferta' is 'Sí' -> 'oferta' is 'Sí' or 'oferta' is 'No'"
    reworded = form_changes(small, made(edited("¿Cuántas horas al día?", "¿Cuántas horas?")))[0]
    assert reworded.en == "question 9 'horas', text reworded in Spanish: '¿Cuántas horas al día?' -> '¿Cuántas horas?'"


def test_a_question_in_a_new_group_changes_no_later_group(small: CompiledForm) -> None:
    new = (
        "| | begin_group | casa | La casa | | | | | |\n"
        "| | select_one yn | cama | ¿Tiene cama? | ${oferta}='yes' | | | | |\n"
        "| | end_group | | | | | | | |\n| | begin_group | trato"
    )
    changes = form_changes(small, made(edited("| | begin_group | trato", new)))
    assert [each.code for each in changes] == ["item.added", "item.added"]
    assert changes[1].es == "se añade: pregunta 5 «cama» (select_one; se pregunta si «oferta» es «Sí»): «¿Tiene cama?»"


def test_a_renamed_question_is_reported_as_another_question_for_the_data(small: CompiledForm) -> None:
    text = SMALL.replace("${horas}", "${jornada}").replace("| horas |", "| jornada |")
    assert told(form_changes(small, made(text)))[0] == ("item.renamed", "horas")


def test_a_removed_question_removes_its_indicators(small: CompiledForm) -> None:
    gone = [line for line in SMALL.split("\n") if "horas" not in line or "| cases |" in line]
    changes = told(form_changes(small, made("\n".join(gone))))
    assert ("item.removed", "horas") in changes
    assert ("mapping.removed", "D4.01") in changes
    assert ("mapping.changed", "D4.04") in changes


def test_a_changed_strength_is_reported_for_the_forms_own_profile_first(small: CompiledForm) -> None:
    lines = BUILT_IN.indicator_sets["ilo_delphi_2009"].split("\n")
    weaker = "\n".join(line.replace(",S,S,S,S,", ",M,S,W,S,") if line.startswith("D5.03,") else line for line in lines)
    assert weaker != BUILT_IN.indicator_sets["ilo_delphi_2009"]
    changes = form_changes(small, made(SMALL, Resources({"ilo_delphi_2009": weaker}).with_fallback(BUILT_IN)))
    assert told(changes) == [("indicator.strength", "D5.03")] * 2
    assert changes[0].es.endswith("fuerte → media en adult_labour")
    assert changes[1].en.endswith("strong -> weak for adult_sexual")


def test_a_policys_changes_are_reported_rule_by_rule(small: CompiledForm) -> None:
    text = BUILT_IN.policies["pe_adult_2026_1"]
    harsher = text.replace("outcome,D4,labour_rights,T3", "outcome,D4,review,T3")
    changes = form_changes(small, made(SMALL, Resources({}, {"pe_adult_2026_1": harsher}).with_fallback(BUILT_IN)))
    ruled = [each for each in changes if each.sheet == "policy"]
    assert [each.es for each in ruled] == [
        "regla, resultado: si condiciones de explotación: resultado «labour_rights» → «review»"
    ]


def test_each_change_of_a_translation_has_its_own_code() -> None:
    form = compiled("pe_laboral_adulto")
    label = parse_form(form.xform).items["peligro"].texts
    quechua, spanish = label["label", "quz"], label["label", "es"]
    assert quechua.startswith("[borrador] ")

    def changed(before: str, after: str) -> list[Change]:
        return form_changes(form, replace(form, xform=form.xform.replace(f">{before}<", f">{after}<", 1)))

    assert told(changed(quechua, quechua.removeprefix("[borrador] "))) == [("text.reviewed", "peligro")]
    assert [(each.code, each.language) for each in changed(quechua, "[borrador] Manan")] == [
        ("text.retranslated", "quz")
    ]
    (stale,) = changed(spanish, "¿Hay peligro?")
    assert stale.en.endswith("; its Quechua and Aymara is now stale")
    assert stale.es.endswith("; su texto en quechua y aimara es del español de antes")


def test_a_change_of_any_signed_member_is_reported(small: CompiledForm) -> None:
    others = {
        "version": "2",
        "channel": "field",
        "languages": ("es", "quz"),
        "left_out": {"quz": {"draft": 3}},
        "fell_back": {"quz": ["small/peligro/label"]},
        "audio": {"es": {"small/peligro/label": {"sha256": "0" * 64}}},
        "free_text": {"horas": "x"},
        "profile": "child_labour",
        "route": {"consent": "permiso"},
        "omit_route": ("sex",),
        "bucket": 2048,
        "indicator_set": {**small.indicator_set, "note": "x"},
        "policy": {**small.policy, "name": "other"},
    }
    for member, value in others.items():
        assert form_changes(small, replace(small, **{member: value})), member


def test_another_change_hides_no_change_of_the_xform(small: CompiledForm) -> None:
    """Change attributes and texts of the XForm one at a time, each together with a reworded question."""
    reworded = small.xform.replace("¿En qué región?", "¿Cuál región?")
    for xform in islice(_each_changed_once(reworded), 0, None, EVERY):
        places = {(each.code, each.name) for each in form_changes(small, replace(small, xform=xform))}
        assert len(places) > 1 or "¿Cuál región?x" in xform, xform


def _each_changed_once(xform: str) -> Iterator[str]:
    html = fromstring(xform)
    for element in html.iter():
        for name, value in list(element.attrib.items()):
            if name not in (
                "nodeset",
                "ref",
                "lang",
                "id",
            ):  # These attributes are references or names; other tests change them.
                element.set(name, f"{value}x")
                yield tostring(html, encoding="unicode")
                element.set(name, value)
        if text := (element.text or "").strip():
            element.text = f"{text}x"
            yield tostring(html, encoding="unicode")
            element.text = text


def test_changes_of_cases_are_reported_beside_those_of_the_signed_bytes() -> None:
    text = edited("| | No contesta | review | T4 | review |", "| | No contesta | positive | T2 | protection |")
    text = text.replace("| | No quiere hablar |", "| | Se niega |").replace(
        "| yes | yes | yes | 14 |", "| yes | yes | yes | 9 |"
    )
    changes = list(case_changes(parse_markdown(SMALL), parse_markdown(text)))
    assert [(each.code, each.name) for each in changes] == [
        ("case.answer", "Deuda y encierro"),
        ("case.expected", "No contesta"),
        ("case.removed", "No quiere hablar"),
        ("case.added", "Se niega"),
    ]
    assert changes[1].en.endswith("review, T4, review -> positive, T2, protection")


def test_the_reason_for_free_text_is_signed_and_its_change_reported(small: CompiledForm) -> None:
    (found,) = form_changes(small, replace(small, free_text={"otro": "Revisora 7: los oficios no caben en una lista"}))
    assert (found.code, found.name) == ("item.reason", "otro")
    assert "los oficios no caben en una lista" in found.es


def test_every_sentence_exists_in_spanish_and_english() -> None:
    for code, (es, en) in SENTENCES.items():
        assert es, code
        assert en, code
        assert es != en, code


def test_control_characters_of_an_author_never_reach_a_signers_terminal() -> None:
    hidden = "¿Trabaja?\x1b[1A\x1b[2K0 change(s).\x1b[8m\x9b2K\u202e"
    seen = io.StringIO()
    console = SafeConsole(file=seen, force_terminal=True, width=200)
    print_changes(console, [Change("text.reworded", "survey", "x", "es", hidden, hidden)])
    assert seen.getvalue().count("¿Trabaja?␛[1A␛[2K0 change(s).␛[8m\ufffd2K\ufffd") == 2
    assert isinstance(terminal.console, SafeConsole)
