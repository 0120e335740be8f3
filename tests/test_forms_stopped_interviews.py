"""Laws of stopped interviews on the five questionnaires: a stop is no refusal, and it costs no referral."""

from __future__ import annotations

from random import Random

import pytest

from screening_forms.engine.evaluator import load_engine
from screening_forms.engine.interview import CONSENT_NODE, DANGER_NODE, Interview
from support.forms import CATALOGUE_FORMS, compiled, wishes
from support.stopping import (
    Stop,
    answer_next,
    answer_rest,
    danger_questions,
    fact_questions,
    referral_questions,
    states,
)

PEOPLE = 30
for_each_form = pytest.mark.parametrize("form", CATALOGUE_FORMS)
ADULTS = tuple(form for form in CATALOGUE_FORMS if form not in ("pe_nna", "pe_sitio"))
for_each_adult_form = pytest.mark.parametrize("form", ADULTS)


engines = {form: load_engine(compiled(form).xform) for form in CATALOGUE_FORMS}


def talking(form: str, draws: Random, **answers: str) -> dict[str, str]:
    """Draw a person's wishes; most people are adults in private who consent to the interview."""
    wished = wishes(engines[form], draws)
    if draws.random() < 0.8:
        gate = {
            "peligro": "no",
            "peligro_suyo": "no",
            "a_solas": "yes",
            "privado": "yes",
            "seguro_ahora": "yes",
            "sin_jefe": "yes",
        }
        age = {"edad": draws.choice(("18_29", "30_59"))} if form in ADULTS else {}
        wished |= {**gate, **age, "interprete": "none_needed", "consiente": "yes"}
    return wished | answers


@for_each_form
def test_who_stops_at_any_question_and_agrees_reaches_the_desk_of_who_finishes(form: str) -> None:
    engine, draws, referred = engines[form], Random("stop and agree"), 0
    for _ in range(PEOPLE):
        wished = talking(form, draws)
        before = draws.choice(list(states(engine, wished)))
        agreed = dict.fromkeys(referral_questions(engine), "yes")
        danger = {
            name: draws.choice(("yes", "no", "")) for name in sorted(danger_questions(engine) - before.answers.keys())
        }
        stop = Stop.at(before, wished | danger | agreed)
        for name in ("outcome", "tier", "queue_kinds", "guidance"):
            assert stop.stopped.filled.values[name] == stop.finished.filled.values[name], (name, before.turns)
        referred += bool(stop.stopped.filled.values["queue_kinds"])
    assert referred > PEOPLE / 10


@for_each_adult_form
def test_a_positive_person_who_stops_at_25_50_or_75_percent_and_agrees_is_referred(form: str) -> None:
    engine, draws, positives = engines[form], Random("positives"), 0
    while positives < 20:
        wished = talking(form, draws) | {"peligro_hoy": "no"}
        along = list(states(engine, wished))
        values = along[-1].filled.values
        if values["outcome"] != "positive" or "1" in (values[DANGER_NODE], values["f_minor"]):
            continue
        positives += 1
        for part in (0.25, 0.5, 0.75):
            before = along[int(part * len(along))]
            asked = names_after_stop(before, wished)
            assert {"peligro_hoy", "deriva"} <= asked, (part, before.turns)
            stop = Stop.at(before, wished | {"deriva": "yes"})
            assert stop.stopped.filled.values["queue_kinds"] or stop.stopped.filled.values["outcome"] == "negative"


def names_after_stop(before: Interview, wished: dict[str, str]) -> set[str]:
    """Return the questions and notes that had a turn, before or after a stop."""
    return set(answer_rest(before.close(), wished).turns)


@for_each_adult_form
def test_who_stops_and_leaves_consent_open_is_not_referred_and_did_not_refuse(form: str) -> None:
    engine, draws, opened = engines[form], Random("open"), 0
    for _ in range(PEOPLE):
        wished = talking(form, draws) | {"peligro_hoy": "no"}
        before = draws.choice(list(states(engine, wished)))
        if "deriva" in before.answers:
            continue
        stopped = Stop.at(before, wished | {"deriva": draws.choice(("", "no_answer"))}).stopped
        values = stopped.filled.values
        if values[DANGER_NODE] == "1" or values["f_minor"] == "1" or values["guidance"] == "guidance_seen":
            assert values["queue_kinds"]
            continue
        assert values["queue_kinds"] == ""
        opened += stopped.has_open_consent
        assert stopped.has_open_consent == ("deriva" in stopped.filled.relevant)
    assert opened > PEOPLE / 5


@for_each_adult_form
def test_what_a_referral_means_is_read_before_consent_is_asked(form: str) -> None:
    engine, draws = engines[form], Random("notes")
    for _ in range(PEOPLE):
        wished = talking(form, draws) | {"peligro_hoy": "no"}
        closed = draws.choice(list(states(engine, wished))).close()
        while node := closed.question:
            if node.name in ("deriva", "consiente"):
                group = [each for each in engine.questions if each.group == node.group and each.type == "note"]
                place = engine.questions.index(node)
                needed = {each.name for each in group if engine.questions.index(each) < place}
                assert needed & closed.filled.relevant <= set(closed.turns)
            closed = answer_next(closed, wished)


@for_each_form
def test_after_a_stop_only_what_is_required_danger_consent_and_what_is_seen_is_asked(form: str) -> None:
    engine, draws = engines[form], Random("only")
    allowed = fact_questions(engine, DANGER_NODE) | fact_questions(engine, CONSENT_NODE)
    seen = set() if form == "pe_sitio" else {"acompana", "menor_ve", "menor_trabajo"}
    for _ in range(PEOPLE):
        wished = talking(form, draws)
        closed = draws.choice(list(states(engine, wished))).close()
        while node := closed.question:
            asked = node.name in allowed | seen or node.type in ("note", "acknowledge")
            assert asked or closed.is_required(node)
            closed = answer_next(closed, wished)
        assert closed.filled.missing == ()


# What the interviewer only has to look at

GATE = {"peligro": "no", "peligro_suyo": "no", "a_solas": "yes", "privado": "yes", "seguro_ahora": "yes"}
PLACE = {"region": "17", "distrito": "170102", "tipo_lugar": "home"}
CHILD = {**GATE, **PLACE, "sin_jefe": "yes", "interprete": "none_needed", "consiente": "no", "edad": "14_17"}


def before(form: str, name: str, wished: dict[str, str]) -> Interview:
    """Return the interview with a person before one question."""
    return next(state for state in states(engines[form], wished) if state.question and state.question.name == name)


@for_each_adult_form
@pytest.mark.parametrize("stopped_at", ["interprete", "nota_parar", "acompana"])
@pytest.mark.parametrize("sign", ["answers", "injuries", "watched"])
def test_signs_seen_of_an_accompanied_person_reach_a_desk_after_a_stop(form: str, stopped_at: str, sign: str) -> None:
    wished = {**GATE, **PLACE, "interprete": "related", "edad": "30_59", "acompana": sign}
    stopped = answer_rest(before(form, stopped_at, wished).close(), wished)
    assert {"nota_parar", "acompana"} <= set(stopped.turns)
    assert stopped.turns.index("nota_parar") < stopped.turns.index("acompana")
    assert "otra_hora" not in stopped.turns
    assert stopped.filled.values["queue_kinds"] == "review"
    refused = answer_rest(before(form, stopped_at, wished).close(), wished | {"acompana": ""})
    assert refused.filled.missing == (), "what is only looked at can be refused"
    assert refused.filled.values.get("queue_kinds", "") == ""


@pytest.mark.parametrize("form", ["pe_nna", *ADULTS])
@pytest.mark.parametrize("sign", ["paid_sex", "companion", "sexual"])
def test_what_was_seen_of_a_child_is_recorded_after_any_stop(form: str, sign: str) -> None:
    engine, wished = engines[form], CHILD | {"menor_ve": sign}
    for state in states(engine, wished):
        stopped = answer_rest(state.close(), wished)
        assert {"nota_menor", "menor_ve"} <= set(stopped.turns), state.turns
        assert stopped.filled.values["outcome"] == "positive"
        assert {"menor_antes", "menor_con", "necesita"}.isdisjoint(stopped.turns)


def test_every_sign_of_a_child_is_looked_for_after_a_stop_not_only_bright_lines() -> None:
    wished = CHILD | {"menor_ve": "none", "menor_trabajo": "escaped"}
    stopped = answer_rest(before("pe_nna", "sexo", wished).close(), wished)
    assert stopped.answers["menor_trabajo"] == "escaped"
    assert stopped.filled.values["outcome"] == "positive"


def test_who_leaves_a_place_is_asked_to_look_at_nothing_more() -> None:
    wished = {**PLACE, "armas": "no"}
    stopped = answer_rest(before("pe_sitio", "ninos", wished).close(), wished)
    assert {"ninos", "encierro", "control", "duerme", "trabajo"}.isdisjoint(stopped.turns)


@pytest.mark.parametrize("form", ["pe_nna", *ADULTS])
def test_signs_seen_are_still_asked_when_a_stopped_draft_is_continued(form: str) -> None:
    wished = CHILD | {"menor_ve": "paid_sex"}
    kept = before(form, "menor_ve", wished).close().saved_state()
    assert answer_rest(Interview.resume(engines[form], kept), wished).answers["menor_ve"] == "paid_sex"


@for_each_adult_form
def test_a_person_who_refused_the_interview_is_asked_nothing_after_a_stop(form: str) -> None:
    engine, draws = engines[form], Random("refused")
    for refusal in ("no", "no_answer"):
        wished = talking(form, draws, peligro="no", peligro_suyo="no", consiente=refusal, edad="30_59", acompana="none")
        gate = {"a_solas": "yes", "privado": "yes", "seguro_ahora": "yes", "interprete": "none_needed"}
        refused = next(state for state in states(engine, wished | gate) if "consiente" in state.answers)
        assert not {"peligro_hoy", "deriva"} & names_after_stop(refused, wished)


@for_each_form
def test_a_stop_keeps_the_same_way_after_a_draft_is_continued(form: str) -> None:
    engine, draws = engines[form], Random("drafts")
    for _ in range(PEOPLE // 3):
        wished = talking(form, draws)
        closed = draws.choice(list(states(engine, wished))).close()
        for _ in range(draws.randint(0, 4)):
            closed = answer_next(closed, wished) if closed.question else closed
        again = Interview.resume(engine, closed.saved_state())
        assert answer_rest(again, wished).filled == answer_rest(closed, wished).filled
        assert answer_rest(again.reopen(), wished).filled == answer_rest(closed.reopen(), wished).filled


def test_a_draft_that_an_earlier_release_closed_asks_for_danger_and_consent() -> None:
    engine, draws = engines["pe_laboral_adulto"], Random("earlier")
    wished = talking("pe_laboral_adulto", draws) | {"deriva": "yes", "peligro_hoy": "no"}
    before = next(state for state in states(engine, wished) if "tipo_lugar" in state.answers)
    earlier = {"answers": dict(before.answers), "turns": list(before.turns), "at": "", "closing": True}
    stopped = answer_rest(Interview.resume(engine, earlier), wished)
    assert {"peligro_hoy", "nota_ayuda", "deriva", "a_salvo"} <= set(stopped.turns)


# Danger

PERSONS = tuple(form for form in CATALOGUE_FORMS if form != "pe_sitio")


@for_each_adult_form
def test_noted_danger_needs_no_consent_and_no_further_question(form: str) -> None:
    engine, draws = engines[form], Random("danger")
    for _ in range(PEOPLE // 3):
        safe = {"peligro": "no", "peligro_suyo": "no", "edad": "30_59", "consiente": "yes"}
        wished = talking(form, draws, **safe) | {"peligro_hoy": "yes"}
        found = [state for state in states(engine, wished) if state.danger_question == "peligro_hoy"]
        before = draws.choice(found) if found else Interview(engine)
        if not found or "peligro_hoy" in before.answers:
            continue
        noted = before.note_danger()
        assert noted.question
        assert noted.question.name == "peligro_hoy"
        done = answer_rest(noted.answer("yes"), wished)
        assert done.filled.values["queue_kinds"] == "protection"
        assert "deriva" not in done.turns[len(before.turns) :]


@for_each_form
def test_the_danger_key_reaches_the_danger_tier_from_every_question(form: str) -> None:
    engine, draws = engines[form], Random("key")
    for _ in range(PEOPLE // 3):
        wished = talking(form, draws)
        noted = draws.choice(list(states(engine, wished))).note_danger()
        while node := noted.question:
            noted = noted.answer("yes") if node.name == "peligro_hoy" else answer_next(noted, wished)
        values = noted.filled.values
        assert (values[DANGER_NODE], values["tier"]) == ("1", "danger")
        assert values["queue_kinds"]
        assert values["guidance"] in noted.turns


@pytest.mark.parametrize("form", PERSONS)
def test_before_consent_the_danger_key_notes_danger_of_the_person_herself(form: str) -> None:
    engine, wished = engines[form], CHILD | {"edad": "30_59" if form in ADULTS else "14_17"}
    for state in states(engine, wished):
        noted = state.note_danger()
        assert noted.answers["peligro"] == "yes", state.turns
        assert "peligro_suyo" not in noted.answers
        assert noted.closing
        assert noted.is_in_danger
        kept = Interview.resume(engine, noted.saved_state())
        assert kept.is_in_danger, "a power cut right after the key loses nothing"


@pytest.mark.parametrize("form", PERSONS)
def test_a_former_no_about_today_is_asked_again_until_it_has_a_new_answer(form: str) -> None:
    engine, draws = engines[form], Random("former no")
    age = "30_59" if form in ADULTS else "14_17"
    wished = talking(form, draws) | CHILD | {"edad": age, "consiente": "yes", "peligro_hoy": "no"}
    after = next(state for state in states(engine, wished) if "peligro_hoy" in state.answers)
    noted = after.note_danger()
    for again in (noted, noted.close(), noted.reopen(), Interview.resume(engine, noted.saved_state())):
        assert "peligro_hoy" not in again.turns
        assert "peligro_hoy" not in again.answers
        assert "peligro_hoy" in {node.name for node in again.due}
        assert answer_rest(again, wished | {"peligro_hoy": "yes"}).filled.values["tier"] == "danger"


@pytest.mark.parametrize("form", PERSONS)
def test_danger_that_is_noted_already_stays_as_it_is(form: str) -> None:
    for own in ({"peligro": "no", "peligro_suyo": "yes"}, {"peligro": "yes"}):
        wished = {**PLACE, "edad": "14_17", **own}
        state = next(each for each in states(engines[form], wished) if each.is_in_danger)
        noted = state.note_danger()
        assert noted.answers == state.answers
        assert noted.closing


@pytest.mark.parametrize("form", PERSONS)
def test_the_danger_key_loses_nothing_that_was_seen(form: str) -> None:
    seen = {"acompana": "injuries", "menor_ve": "paid_sex", "menor_trabajo": "hurt"}
    for age in ("30_59", "14_17"):
        last = list(states(engines[form], CHILD | {"interprete": "related", "edad": age, **seen}))[-1]
        before = {name: last.answers[name] for name in seen if name in last.answers}
        after = last.note_danger().filled.answers
        assert before
        assert {name: after.get(name) for name in before} == before


# Enough for a referral


@for_each_adult_form
def test_enough_is_said_only_when_no_later_answer_changes_the_desk(form: str) -> None:
    engine, draws, said = engines[form], Random("enough"), 0
    for _ in range(PEOPLE):
        wished = talking(form, draws) | {"peligro_hoy": "no", "deriva": "yes"}
        enough = [state for state in states(engine, wished) if state.has_enough]
        if not enough:
            continue
        said += 1
        now = draws.choice(enough)
        desk = Stop.at(now, wished).stopped.filled.values["queue_kinds"]
        others = [talking(form, draws) | {"peligro_hoy": "no", "deriva": "yes"} for _ in range(5)]
        for other in ({}, wished, *others):
            values = answer_rest(now, {**other, "peligro_hoy": "no", "deriva": "yes"}).filled.values
            assert (values["outcome"], values["queue_kinds"]) == ("positive", desk)
    assert said > PEOPLE / 10


@for_each_form
def test_enough_is_never_said_to_a_child_in_danger_or_after_a_stop(form: str) -> None:
    engine, draws = engines[form], Random("never enough")
    for _ in range(PEOPLE):
        wished = talking(form, draws)
        for state in states(engine, wished):
            values = state.filled.values
            if state.has_enough:
                assert values["outcome"] == "positive"
                assert (values["f_minor"], values[DANGER_NODE]) == ("0", "0")
                assert state.is_skipping
            assert not state.close().has_enough


# Guidance


@for_each_form
def test_guidance_and_its_confirmation_come_again_after_a_draft_or_a_correction(form: str) -> None:
    engine, draws, seen = engines[form], Random("guidance"), 0
    for _ in range(PEOPLE // 3):
        wished = talking(form, draws) | {"a_salvo": "OK"}
        done = answer_rest(Interview(engine), wished)
        if "a_salvo" not in done.answers or done.guidance is None:
            continue
        seen += 1
        assert done.guidance.name in done.turns
        for again in (Interview.resume(engine, done.saved_state()), done.close().reopen()):
            assert again.question
            assert again.question.name == "a_salvo"
            assert again.answer("OK").question == done.guidance
        corrected = done.go_to("tipo_lugar")
        other = next(code for code in engine.nodes["tipo_lugar"].choices if code != done.answers["tipo_lugar"])
        assert "a_salvo" not in corrected.answer(other).answers
        assert corrected.answer(done.answers["tipo_lugar"]) == done
    assert seen
