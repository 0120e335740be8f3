"""Tests of the form engine: relevance, accepted answers, unknown values, and the sealed instance."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from random import Random

import pytest

from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import RESULT_NODES, SEALED_RESULTS, Engine, FilledForm, load_engine
from screening_forms.errors import AnswerError, FormError
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.workbook.reader import parse_markdown
from support.forms import CATALOGUE_FORMS, SMALL, compiled, sealed_size, walk, wishes
from sync.envelope.route import AUTHOR_FIELDS

ADULT = {"peligro": "no", "permiso": "yes", "edad": "18_29"}
RANK = {"negative": 0, "labour_rights": 1, "review": 1, "positive": 2}


@pytest.fixture(scope="module")
def small() -> Engine:
    return load_engine(compiled("small").xform)


def interviews(form: Engine, seed: str, count: int = 60) -> Iterator[FilledForm]:
    draws = Random(seed)
    for _ in range(count):
        yield walk(form, [wishes(form, draws)])


def test_questions_behind_a_refusal_are_unknown_and_questions_behind_a_no_are_known(small: Engine) -> None:
    refused = small.run(ADULT | {"oferta": "no_answer"}).values
    assert (refused["i_D1_01"], refused["u_mentira"]) == ("", "1")
    answered = small.run(ADULT | {"oferta": "no"}).values
    assert (answered["i_D1_01"], answered["u_mentira"]) == ("0", "0")


def test_an_unknown_answer_makes_all_nested_groups_unknown(small: Engine) -> None:
    unknown = small.run(ADULT | {"oferta": "does_not_know"}).values
    assert [unknown[f"u_{name}"] for name in ("oferta", "deuda", "atado")] == ["1", "1", "1"]
    known = small.run(ADULT | {"oferta": "does_not_know", "edad": "14_17"} | {"oferta": ""}).values
    assert [known[f"u_{name}"] for name in ("oferta", "deuda", "atado")] == ["0", "0", "0"]


def test_one_certain_no_decides_an_and_and_one_certain_yes_decides_an_or(small: Engine) -> None:
    pay = ADULT | {"oferta": "yes", "mentira": ["pay"]}
    assert small.run(pay | {"deuda": "no"}).values["i_D1_08"] == "0", "no debt: other unknown answers do not matter"
    assert small.run(pay | {"deuda": "no_answer"}).values["i_D1_08"] == ""
    assert small.run(pay | {"horas": 9, "deuda": "no_answer"}).values["i_D4_04"] == "1", "false pay alone is enough"


def test_without_consent_there_is_no_score_instead_of_a_negative_one(small: Engine) -> None:
    filled = small.run({"peligro": "no", "permiso": "no", "edad": "18_29"})
    assert "outcome" not in filled.relevant
    assert filled.values["outcome"] == ""
    assert b"score" not in small.write_instance(filled)


def test_danger_is_scored_without_consent_and_without_other_answers(small: Engine) -> None:
    values = small.run({"peligro": "yes"}).values
    assert (values["outcome"], values["tier"], values["guidance"]) == ("positive", "danger", "guidance_danger")


@pytest.mark.parametrize("form", ["small", *CATALOGUE_FORMS])
def test_a_refused_answer_never_lowers_the_highest_possible_outcome(form: str) -> None:
    filler = load_engine(compiled(form).xform)
    # What an inspector saw when no talk was possible (`acompana`) is not an answer of the person.
    refusable = [q.name for q in filler.questions if q.choices.keys() >= set(NO_ANSWERS) and q.name != "acompana"]
    draws = Random("refusals")
    for filled in interviews(filler, "before"):
        answered = [name for name in refusable if name in filled.answers]
        if not answered or "outcome" not in filled.relevant:
            continue
        silent = filler.drop_irrelevant({**filled.answers, draws.choice(answered): "no_answer"})
        assert RANK[silent.values["p_max_outcome"]] >= RANK[filled.values["p_max_outcome"]]


@pytest.mark.parametrize("form", ["small", *CATALOGUE_FORMS])
def test_a_count_with_all_unknowns_as_no_is_at_most_the_count_with_all_as_yes(form: str) -> None:
    for filled in interviews(load_engine(compiled(form).xform), "bounds"):
        for name, value in filled.values.items():
            if name.startswith(("c_", "d_")) and name.endswith("_min") and value:
                assert int(value) <= int(filled.values[name.removesuffix("min") + "max"]), name


@pytest.mark.parametrize("form", ["small", *CATALOGUE_FORMS])
def test_a_desk_recomputes_the_tablets_result_from_the_sealed_answers(form: str) -> None:
    filler = load_engine(compiled(form).xform)
    for filled in interviews(filler, "desk"):
        sealed = filler.write_instance(filled)
        again = filler.run(filler.read_instance(sealed))
        assert {name: again.values[name] for name in RESULT_NODES} == {
            name: filled.values[name] for name in RESULT_NODES
        }
        found = filler.read_values(sealed)
        assert {name: found.get(name, "") for name in SEALED_RESULTS} == {
            name: filled.values[name] for name in SEALED_RESULTS
        }


def test_a_sealed_instance_contains_the_answers_and_the_result_only(small: Engine) -> None:
    filled = small.run(ADULT | {"oferta": "yes", "mentira": ["pay", "job"], "a_salvo": "OK"})
    assert small.write_instance(filled) == (
        b'<data id="small" version="1"><peligro>no</peligro><permiso>yes</permiso><edad>18_29</edad>'
        b"<g1><oferta>yes</oferta><g2><mentira>job pay</mentira></g2></g1>"
        b"<score><outcome>review</outcome><tier>T4</tier><urgency>routine</urgency><queue_kinds>review</queue_kinds>"
        b"</score></data>"
    )


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("nadie", "yes", "no existe"),
        ("outcome", "negative", "no existe"),
        ("adulto", "yes", "no existe"),
        ("deuda", "perhaps", "una de las opciones"),
        ("deuda", ["yes"], "una de las opciones"),
        ("deuda", True, "una de las opciones"),
        ("mentira", ["job", "job"], "sin repetir"),
        ("mentira", ["job", "boat"], "sin repetir"),
        ("mentira", [["job"]], "sin repetir"),
        ("mentira", 3, "sin repetir"),
        ("mentira", ["job", "none"], "no cumple la condición"),
        ("horas", 25, "no cumple la condición"),
        ("horas", "ocho", "número entero"),
        ("horas", "٣", "número entero"),
        ("horas", True, "número entero"),
        ("horas", 10**12, "número entero"),
        ("desde", "2026-02-30", "AAAA-MM-DD"),
        ("desde", "20260201", "AAAA-MM-DD"),
        ("a_salvo", "yes", "«OK»"),
        ("guidance_none", "OK", "no es una pregunta que se responda"),
        ("atado", "yes", "no corresponde preguntarla"),
        ("lugar", "la_rinconada", "esa opción no corresponde"),
    ],
)
def test_a_rejected_answer_raises_an_error_with_question_and_reason(
    small: Engine, question: str, answer: object, why: str
) -> None:
    asked = ADULT | {"oferta": "yes", "mentira": ["job"], "deuda": "no", "region": "17"}
    with pytest.raises(AnswerError) as caught:
        small.run({**asked, question: answer})  # type: ignore[dict-item]
    assert caught.value.question == question
    assert why in caught.value.why


def test_answers_in_other_notations_are_normalized(small: Engine) -> None:
    written = {**ADULT, "oferta": "yes", "mentira": "pay job", "horas": "09", "deuda": "", "region": None, "lugar": []}
    filled = small.run(written)  # type: ignore[arg-type]
    assert filled.answers == {**ADULT, "oferta": "yes", "mentira": "job pay", "horas": "9"}


def test_irrelevant_required_questions_are_not_missing(small: Engine) -> None:
    assert small.run({}).missing == ("peligro", "edad")
    assert small.run({"peligro": "no"}).missing == ("permiso", "edad")
    assert small.run({"peligro": "yes", "edad": "14_17"}).missing == ()


def test_going_back_drops_answers_to_irrelevant_questions(small: Engine) -> None:
    first = ADULT | {"oferta": "yes", "mentira": "job", "deuda": "yes", "atado": "yes"}
    back = small.drop_irrelevant(first | {"permiso": "no"})
    assert back.answers == {"peligro": "no", "permiso": "no", "edad": "18_29"}
    assert small.drop_irrelevant(first | {"deuda": "no"}).values["i_D5_02"] == "0"


@pytest.mark.parametrize(
    "instance",
    [
        b"no xml",
        b"",
        b'<data id="small" version="2"><peligro>no</peligro></data>',
        b'<data id="other" version="1"><peligro>no</peligro></data>',
        b'<data id="small" version="1"><invented>no</invented></data>',
        b'<data id="small" version="1"><oferta>no</oferta></data>',
        b'<data id="small" version="1"><peligro>no</peligro><peligro>yes</peligro></data>',
        b'<data id="small" version="1"><peligro><b>no</b></peligro></data>',
        b'<!DOCTYPE d [<!ENTITY e "no">]><data id="small" version="1"><peligro>&e;</peligro></data>',
        b'<!DOCTYPE d SYSTEM "http://127.0.0.1/x"><data id="small" version="1"/>',
        b'<?xml version="1.0" encoding="nonsense"?><data id="small" version="1"/>',
    ],
)
def test_an_instance_of_another_form_is_rejected(small: Engine, instance: bytes) -> None:
    with pytest.raises(AnswerError):
        small.read_instance(instance)


def test_a_score_in_an_instance_is_ignored_and_computed_again(small: Engine) -> None:
    claimed = small.write_instance(small.run({"peligro": "yes"})).replace(b"positive", b"negative")
    assert small.run(small.read_instance(claimed)).values["outcome"] == "positive"
    assert small.read_values(claimed)["outcome"] == "negative"


@pytest.mark.parametrize(
    ("here", "instead"),
    [
        ("<bind ", '<submission action="http://127.0.0.1/"/><bind '),
        ("<bind ", '<setvalue ref="/data/peligro" event="odk-instance-first-load"/><bind '),
        ("<bind ", '<odk:setgeopoint ref="/data/peligro" event="odk-instance-first-load"/><bind '),
        ('<instance id="yn">', '<instance id="yn" src="jr://file/list.xml">'),
        ('<select1 ref="/data/peligro">', '<upload mediatype="image/*" ref="/data/peligro">'),
        ("<peligro/>", "<peligro>no</peligro>"),
        ("<peligro/>", "<deuda/>"),
        ('type="int"', 'type="geopoint"'),
        ("/data/permiso ='yes'", "pulldata('x', 'y', 'z', 'v')='yes'"),
        ("/data/permiso ='yes'", "/data/elsewhere ='yes'"),
        ("/data/permiso ='yes'", "/data/permiso"),
        ("/data/permiso ='yes'", "/data/g1/horas ='8'"),
        ("/data/permiso ='yes'", "/data/g1/g2/desde &gt; 3"),
        ("/data/permiso ='yes'", "/data/g1/oferta ='yes'"),
        ('<?xml version="1.0"?>', '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e "no">]>'),
        ("</h:html>", ""),
    ],
)
def test_an_xform_with_other_features_or_ambiguous_expressions_is_rejected(here: str, instead: str) -> None:
    xform = compiled("small").xform
    assert here in xform
    changed = xform.replace(here, instead, 1)
    if "upload" in instead:
        changed = changed.replace("</select1>", "</upload>", 1)
    with pytest.raises(FormError):
        load_engine(changed)


def test_a_form_has_its_labels_in_each_of_its_languages(small: Engine) -> None:
    assert small.form.languages == ("es",)
    question = next(node for node in small.questions if node.name == "deuda")
    assert question.label == {"es": "¿Tiene una deuda?"}
    assert {code: choice.label["es"] for code, choice in question.choices.items()} == {
        "yes": "Sí",
        "no": "No",
        "no_answer": "No responde",
        "does_not_know": "No sabe",
    }
    assert small.nodes[question.group].label == {"es": "Trabajo"}


def behind_gates(rooms: int) -> str:
    """Return the small form with questions that only one combination of six other answers makes relevant."""
    way = " and ".join(f"${{gate{n}}}='housing'" for n in range(6))
    rows = [f"| | select_one lies | gate{n} | ¿Sigue? |" for n in range(6)]
    rows += [f"| | select_multiple place | room{n} | ¿Dónde? | {way} |" for n in range(rooms)]
    region = "| | select_one region | region |"
    return SMALL.replace(region, "\n".join([*rows, region]))


def test_the_padding_covers_an_interview_that_only_one_of_thousands_of_paths_reaches() -> None:
    form = compile_form(parse_markdown(behind_gates(150)), channel="training", route_vocabulary=AUTHOR_FIELDS)
    filler, draws = load_engine(form.xform), Random("rooms")
    answers = {f"gate{n}": "housing" for n in range(6)}
    places = list(filler.nodes["room0"].choices)
    for n in range(150):
        answers[f"room{n}"] = " ".join(code for code in places if draws.random() < 0.5)
    sealed = filler.write_instance(filler.drop_irrelevant(ADULT | answers))
    assert sealed_size(sealed, form.bucket) == sealed_size(sealed, 1024) == form.bucket > 1024


def test_loading_a_form_restores_the_garbage_collectors_state() -> None:
    load_engine(compiled("small").xform)
    with pytest.raises(FormError):
        load_engine("no form")
    assert gc.isenabled()
    gc.disable()
    try:
        load_engine(compiled("small").xform)
        assert not gc.isenabled()
    finally:
        gc.enable()
