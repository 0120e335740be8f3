"""A person who does not agree is only counted: her answers are not in what the tablet seals (SPEC 8.1 step 0)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from random import Random
from typing import Any

import pytest
from rich.console import Console

from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.scoring.assessment import ANSWERS_DROPPED
from server.cli.desk.reading import print_screenings
from support.clients import FORM, STORY, Office, answers, compiled, send_sealed
from support.forms import CATALOGUE_FORMS, walk, wishes, workbook
from support.forms import compiled as compiled_form
from sync.desk.opened_screening import Difference, read_screening
from sync.envelope import seal
from sync.envelope.content import Context
from sync.envelope.dropped_answers import are_dropped, drop_answers, kept_leaves
from sync.envelope.route import AUTHOR_FIELDS
from sync.envelope.verify import parse_envelope
from sync.keys.key_pairs import RouteKey, RoutePublicKey
from sync.tablet.client import Tablet
from sync.tablet.screening_route import build_route

TAKEN = date(2026, 11, 20)
DECLINES = "5_declines"
RESULTS = {"outcome": "positive", "tier": "T1"}
TOLD_BEFORE_CONSENT = ("peligro", "a_solas", "privado", "seguro_ahora", "interprete")
PLACE_AND_AGE = ("edad", "region", "distrito", "tipo_lugar")


@pytest.fixture
def scorer() -> Engine:
    return load_engine(compiled().xform)


def declining(**changes: Any) -> dict[str, Any]:
    """The answers of the adult who declines, changed; None takes an answer away."""
    return {name: value for name, value in {**answers(DECLINES), **changes}.items() if value is not None}


def only(*questions: str, **changes: Any) -> dict[str, Any]:
    return {**{name: answers(DECLINES)[name] for name in questions}, **changes}


def sealed_by(form: CompiledForm, scorer: Engine, given: Mapping[str, Any]) -> bytes:
    """The instance that a tablet seals for these answers."""
    return drop_answers(scorer.write_instance(scorer.run(given)), form.route, form.omit_route)


def opened_by_the_national_desk(office: Office, tablet: Tablet) -> list[bytes]:
    """The plaintexts of everything that the tablet sealed."""
    with office.desk("nacional") as desk:
        sealed = [parse_envelope(each.raw) for each in tablet.outbox.envelopes.list_stored()]
        return [seal.open_envelope(each, desk.unwrap_keyring(each)).instance for each in sealed]


COUNTED = {
    "she declines": (declining(), RESULTS),
    "she does not answer": (declining(deriva="no_answer"), RESULTS),
    "the question is left open": (declining(deriva=None), RESULTS),
    "she does not want to talk": (only(*TOLD_BEFORE_CONSENT, *PLACE_AND_AGE, consiente="no"), {}),
    "no quiet place was found": (only(*TOLD_BEFORE_CONSENT, *PLACE_AND_AGE, privado="no", acompana=["none"]), {}),
}
KEPT = {
    "she agrees": (declining(deriva="yes"), "protection"),
    "she declines in danger": (declining(peligro_hoy="yes"), "protection"),
    "danger before any question": (only(*PLACE_AND_AGE, peligro="yes"), "protection"),
    "a child": (answers("4_inambari_minor"), "child"),
    "the boss answers for her": (
        only(*TOLD_BEFORE_CONSENT, *PLACE_AND_AGE, a_solas="no", acompana=["answers"]),
        "review",
    ),
}


@pytest.mark.parametrize("why", COUNTED)
def test_an_adult_who_does_not_say_yes_leaves_only_what_the_server_counts(scorer: Engine, why: str) -> None:
    given, results = COUNTED[why]
    sealed = sealed_by(compiled(), scorer, given)
    route = {name: given[name] for name in compiled().route.values() if name in given}
    assert are_dropped(sealed)
    assert scorer.read_values(sealed) == {**route, **results}
    kept = {*route.values(), *results.values()}
    codes = {str(code) for value in given.values() for code in (value if isinstance(value, list) else [value])} - kept
    words = set(re.findall(r"[\w.-]+", sealed.decode()))
    assert not codes & words
    assert not (given.keys() - route.keys()) & words


@pytest.mark.parametrize("why", KEPT)
def test_a_screening_that_a_desk_works_on_keeps_every_answer(scorer: Engine, why: str) -> None:
    given, kinds = KEPT[why]
    filled = scorer.run(given)
    assert filled.values["queue_kinds"] == kinds
    assert sealed_by(compiled(), scorer, given) == scorer.write_instance(filled)


def test_a_duty_to_report_keeps_the_answers_of_a_positive_adult_alone() -> None:
    book = workbook(FORM)
    bound = replace(book, settings={**book.settings, "consent_policy": "duty_to_report"})
    form = compile_form(bound, channel="training", route_vocabulary=AUTHOR_FIELDS, run_cases=False)
    duty = load_engine(form.xform)
    assert not are_dropped(sealed_by(form, duty, declining()))
    harmless = answers("2_ananea_es") | {"deriva": "no"}
    assert duty.run(harmless).values["outcome"] == "labour_rights"
    assert are_dropped(sealed_by(form, duty, harmless))


def test_a_form_that_asks_nobody_for_consent_keeps_what_was_seen() -> None:
    form, draws = compiled_form("pe_sitio"), Random("site")
    site = load_engine(form.xform)
    for _ in range(20):
        filled = walk(site, [wishes(site, draws)])
        assert not are_dropped(drop_answers(site.write_instance(filled), form.route, form.omit_route))


@pytest.mark.parametrize("name", CATALOGUE_FORMS)
def test_in_every_form_answers_stay_with_yes_or_a_queue_and_with_nothing_else(name: str) -> None:
    form, draws = compiled_form(name), Random(f"declined {name}")
    engine = load_engine(form.xform)
    seen = set()
    for _ in range(150):
        filled = walk(engine, [wishes(engine, draws)])
        stays = "consent" not in form.route or filled.values[form.route["consent"]] == "yes"
        stays = stays or bool(filled.values["queue_kinds"])
        seen.add(stays)
        pruned, whole = engine.write_instance(filled), engine.write_instance(filled, prune=False)
        sealed = drop_answers(pruned, form.route, form.omit_route)
        assert (sealed == pruned, are_dropped(sealed)) == (stays, not stays)
        if not stays:
            assert sealed == drop_answers(whole, form.route, form.omit_route), "also from an instance with all nodes"
            assert engine.read_values(sealed).keys() <= kept_leaves(form.route, form.omit_route)
            assert read_screening(form, engine, sealed).agrees
    assert seen == ({True, False} if "consent" in form.route else {True})


@pytest.mark.parametrize("version", ["3", "", "2026 ñ", "a&amp;&lt;b&gt;&quot;'", "1&#10;2&#9;3&#13;"])
@pytest.mark.parametrize(
    "text", ["ñ\u0301 \U0001f600", "a & <b> ]]> \"c\" 'd'", " \r\n\t ", "\ufeff\u0085\ufffd\u00a0"]
)
def test_every_text_and_version_of_a_form_can_be_sealed(version: str, text: str) -> None:
    xform = compiled().xform.replace(f'version="{compiled().version}"', f'version="{version}"')
    engine = load_engine(xform)
    written = f' id="{FORM}" version="'.encode()
    for deriva in ("no", "yes"):
        filled = engine.run(declining(deriva=deriva))
        spoken = replace(filled, values={**filled.values, "deuda_monto": text})
        instance = engine.write_instance(spoken)
        assert written in instance
        sealed = drop_answers(instance, compiled().route, compiled().omit_route)
        assert are_dropped(sealed) is (deriva == "no")
        assert engine.read_values(sealed)["outcome"] == "positive"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<data ", b'<?xml version="1.0"?>\n<data '),
        (b"<data ", b'<data xmlns="http://www.w3.org/2002/xforms" '),
        (b"<tier>", b"<!-- a note --><tier>"),
    ],
    ids=["a declaration", "a namespace", "a comment"],
)
@pytest.mark.parametrize("deriva", ["yes", "no"])
def test_a_desk_still_opens_a_screening_that_another_client_spelled_otherwise(
    scorer: Engine, old: bytes, new: bytes, deriva: str
) -> None:
    honest = sealed_by(compiled(), scorer, declining(deriva=deriva))
    assert are_dropped(honest) is (deriva == "no")
    spelled = honest.replace(old, new, 1)
    assert spelled != honest
    opened = read_screening(compiled(), scorer, spelled)
    assert (opened.outcome, opened.dropped) == ("positive", False)
    assert opened.agrees is (deriva == "yes"), "a mark that no tablet writes is not believed"


def test_a_field_that_the_form_leaves_out_of_the_route_does_not_stay(scorer: Engine) -> None:
    form = replace(compiled(), omit_route=("sector", "province", "consent"))
    sealed = sealed_by(form, scorer, declining())
    assert scorer.read_values(sealed) == {**RESULTS, "edad": "18_29", "sexo": "male", "idioma": "es"}
    assert read_screening(form, scorer, sealed).agrees


def test_what_is_sealed_for_a_person_who_declines_holds_no_answer_and_is_counted(
    office: Office, tablet: Tablet
) -> None:
    for name in STORY:
        tablet.screen(FORM, answers(name), TAKEN)
    screened = tablet.screen(FORM, declining(deriva="yes"), TAKEN)
    assert screened.result.outcome == "positive"
    sealed = [each.raw for each in tablet.outbox.envelopes.list_stored()]
    assert len({len(raw.split(b".")[4]) for raw in sealed}) == 1, "all six are in one bucket"
    assert [parse_envelope(raw).header.seq for raw in sealed] == [1, 2, 3, 4, 5, 6]
    *others, declined, agreed = opened_by_the_national_desk(office, tablet)
    route = {name: answers(DECLINES)[name] for name in compiled().route.values()}
    _, scorer = tablet.form(screened.sha)
    assert scorer.read_values(declined) == {**route, **RESULTS}
    assert all(b"<deuda_monto>68471</deuda_monto>" in agreed and not are_dropped(each) for each in others)
    assert not tablet.drafts.list_all()
    assert tablet.sync().waiting == 0
    assert len(office.stored()) == 6
    referred = {jti for (jti,) in office.field.rows("select jti from referrals join envelopes e on e.id = envelope")}
    assert len(referred) == 5
    counted = office.field.rows("select value, count from statistics_cells where dimension = 'outcome'")
    assert dict(counted) == {"positive": 4, "labour_rights": 1, "review": 1}


def store_declined(office: Office, tablet: Tablet, told: dict[str, Any], route_key: RoutePublicKey) -> None:
    """Store the screening of the adult who declines, with the route of other answers or for another route key."""
    sha = tablet.version(FORM)
    form, scorer = tablet.form(sha)
    instance, route = sealed_by(form, scorer, declining()), build_route(form, sha, scorer.run(told), TAKEN)
    send_sealed(
        office, tablet, instance, context=Context(sha), route=route, keyring="08-protection", route_key=route_key
    )


def test_a_desk_that_has_to_sort_such_a_screening_sees_that_the_answers_were_dropped(
    office: Office, tablet: Tablet
) -> None:
    store_declined(office, tablet, declining(), RouteKey.generate().public)
    with office.desk("proteccion-08") as desk:
        queued = [each for queue in desk.list_queues("field") for each in desk.list_referrals(queue["id"], "field")]
        [referral] = queued
        assert referral["mark"] == "route_unreadable"
        opened = desk.open_screening(referral["id"])
    assert (opened.dropped, opened.agrees, opened.route_agrees) == (True, True, None)
    assert (opened.outcome, opened.tier, opened.assessment) == ("positive", "T1", ANSWERS_DROPPED)
    assert {each.question for each in opened.answers} == set(compiled().route.values())
    with (console := Console(width=200)).capture() as printed:
        print_screenings(console, [opened])
    assert "La persona no aceptó o no dijo que sí: sus respuestas no salieron de la tableta." in printed.get()
    assert "Recalculado" not in printed.get()
    assert opened.as_dict()["dropped"] is True


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ((b"<tier>", b"<urgency>prompt</urgency><tier>"), "urgency"),
        ((b"<distrito>", b"<lugar>quincemil</lugar><distrito>"), "lugar"),
        ((b">no</deriva>", b">yes</deriva>"), "kept"),
        ((b"<tier>", b"<queue_kinds>protection</queue_kinds><tier>"), "kept"),
    ],
    ids=["a result", "an answer", "consent", "a queue"],
)
def test_a_screening_that_only_says_that_its_answers_were_dropped_differs(
    scorer: Engine, change: tuple[bytes, bytes], kept: str
) -> None:
    honest = sealed_by(compiled(), scorer, declining())
    lying = honest.replace(*change)
    assert lying != honest
    opened = read_screening(compiled(), scorer, lying)
    assert opened.differences == (Difference("answers", "dropped", kept),)
    assert not opened.agrees


def test_dropped_answers_with_a_route_that_names_a_queue_are_on_the_work_list(office: Office, tablet: Tablet) -> None:
    store_declined(office, tablet, declining(deriva="yes"), office.field.route_key())
    with office.desk("proteccion-08") as desk:
        [referral] = desk.list_referrals("08-protection", "training")
        assert desk.open_screening(referral["id"]).route_agrees is False
    assert office.field.rows("select kind from work_items") == [("disagrees",)]
