"""Tests of the form for a site visit: the inspector observes, risks no person, and leaves if there are weapons."""

import itertools
import re

import pytest

from screening_forms.checks.cases import case_answers, case_failures
from screening_forms.checks.run import blocking_problems, check_form
from screening_forms.engine.evaluator import Answer
from screening_forms.rules.policy import OUTCOMES
from screening_forms.texts.translations import language_coverage
from screening_forms.workbook.resources import CATALOGUE
from support.catalogue import LABEL, asked, book, came, compiled, form, guidance, questions
from support.forms import sealed_size
from sync.envelope.route import AUTHOR_FIELDS

NAME = "pe_sitio"
PLACE: dict[str, Answer] = {"armas": "no", "region": "17", "distrito": "170102", "tipo_lugar": "mine"}
NOTHING: dict[str, Answer] = {
    **PLACE,
    **{"ninos": ["none"], "encierro": "no", "control": ["none"], "duerme": ["none"], "trabajo": ["none"]},
}
CONTROL = ("guards", "papers", "silence", "hurt", "debts")
CHILD = ("work", "companion", "paid_sex", "sexual", "present")


def test_the_form_passes_every_check_and_all_of_its_cases() -> None:
    assert check_form(book(NAME), AUTHOR_FIELDS) == blocking_problems(check_form(book(NAME), AUTHOR_FIELDS)) == []
    assert len(book(NAME).cases) >= 8
    assert list(case_failures(book(NAME), form(NAME))) == []


def test_weapons_end_the_questions_and_show_the_inspector_a_note_to_leave() -> None:
    filled = form(NAME).run({**PLACE, "armas": "yes"})
    assert asked(filled, NAME, "g_salida", "g_vida") == set()
    assert came(filled) == ("positive", "danger", "protection")
    assert {"nota_retirada"} | guidance(filled) <= filled.relevant
    assert guidance(filled) == {"guidance_danger"}
    for note in ("nota_retirada", "guidance_danger"):
        assert form(NAME).nodes[note].label["es"].startswith("Retírese")


def test_the_first_question_is_about_weapons() -> None:
    assert questions(NAME)[0].get("name") == "armas"


@pytest.mark.parametrize("place", ["bar", "lodging", "mine", "camp", "home", "farm", "road"])
@pytest.mark.parametrize("child", CHILD)
def test_every_observed_child_is_referred_to_the_child_desk(child: str, place: str) -> None:
    others: list[dict[str, Answer]] = [{}, {"encierro": "yes"}, {"duerme": ["bed"]}, {"armas": "yes"}]
    for more in others:
        filled = form(NAME).drop_invalid({**NOTHING, "tipo_lugar": place, "ninos": [child], **more})
        assert "child" in filled.values["queue_kinds"].split()
        urgent = filled.values["outcome"] == "positive"
        assert filled.values["urgency"] == ("immediate" if urgent else "prompt")
        assert filled.values["outcome"] in ("positive", "review")


@pytest.mark.parametrize(("child", "place"), [("work", "mine"), ("companion", "bar"), ("present", "bar")])
def test_a_child_at_a_mine_or_in_a_bar_needs_no_other_sign(child: str, place: str) -> None:
    assert came(form(NAME).run({**NOTHING, "tipo_lugar": place, "ninos": [child]})) == ("positive", "child", "child")


@pytest.mark.parametrize("place", ["farm", "home", "road", "business"])
def test_a_child_at_work_elsewhere_is_positive_only_with_a_second_sign(place: str) -> None:
    herding = {**NOTHING, "tipo_lugar": place, "ninos": ["work"]}
    assert came(form(NAME).run(herding)) == ("review", "child", "child")
    for sign in ({"trabajo": ["risk"]}, {"trabajo": ["worn"]}, {"control": ["hurt"]}, {"encierro": "yes"}):
        filled = form(NAME).run({**herding, **sign})
        assert came(filled)[:2] == ("positive", "child")
        assert filled.values["urgency"] == "immediate"


def test_adults_under_control_are_referred_together_with_children() -> None:
    for name, sign in (("encierro", "yes"), *(("control", sign) for sign in CONTROL)):
        filled = form(NAME).run({**NOTHING, "ninos": ["work"], name: sign})
        assert filled.values["queue_kinds"] == "child protection"


@pytest.mark.parametrize("pair", list(itertools.combinations(CONTROL, 2)))
def test_two_signs_of_control_are_referred_to_the_protection_desk(pair: tuple[str, str]) -> None:
    assert came(form(NAME).run({**NOTHING, "control": list(pair)})) == ("positive", "T2", "protection")


@pytest.mark.parametrize("sign", CONTROL)
def test_one_sign_of_control_alone_leads_to_a_review(sign: str) -> None:
    assert came(form(NAME).run({**NOTHING, "control": [sign]})) == ("review", "T4", "review")


def test_people_locked_in_need_no_second_sign() -> None:
    assert came(form(NAME).run({**NOTHING, "encierro": "yes"})) == ("positive", "T2", "protection")


@pytest.mark.parametrize("poor", [{"duerme": ["bed"]}, {"duerme": ["water", "toilet"]}, {"trabajo": ["worn"]}])
def test_poor_lodging_or_work_alone_is_referred_to_the_labour_desk(poor: dict[str, Answer]) -> None:
    assert came(form(NAME).run({**NOTHING, **poor})) == ("labour_rights", "T3", "labour")


def test_a_missing_observation_is_not_a_no() -> None:
    assert came(form(NAME).run(NOTHING)) == ("negative", "none", "")
    assert came(form(NAME).run(PLACE)) == ("review", "T4", "review")
    for name, unseen in (("encierro", "does_not_know"), ("control", "does_not_know"), ("ninos", "no_answer")):
        assert form(NAME).run({**NOTHING, name: unseen}).values["outcome"] == "review"


def test_more_observations_never_lower_the_outcome() -> None:
    signs: list[dict[str, Answer]] = [{"encierro": "yes"}, {"duerme": ["food"]}, {"trabajo": ["risk"]}]
    signs += [{"ninos": ["present"]}, {"control": ["guards"]}, {"control": ["guards", "debts"]}, {"armas": "yes"}]
    for some in itertools.chain.from_iterable(itertools.combinations(signs, size) for size in (0, 1, 2)):
        before = NOTHING | {name: code for sign in some for name, code in sign.items()}
        rank = OUTCOMES.index(form(NAME).drop_invalid({**before, "tipo_lugar": "home"}).values["outcome"])
        for more in signs:
            if not set(more) & {name for sign in some for name in sign}:
                after = form(NAME).drop_invalid({**before, "tipo_lugar": "home", **more})
                assert OUTCOMES.index(after.values["outcome"]) >= rank, (some, more)


def test_a_site_visit_asks_for_no_consent() -> None:
    assert "consent" not in {row.get("route") for row in book(NAME).survey}
    assert all(form(NAME).run({**PLACE, "armas": armas}).values["f_consent"] == "1" for armas in ("yes", "no"))


def test_the_form_names_no_person_and_no_place_below_a_district() -> None:
    assert {row.get("type").split()[0] for row in questions(NAME)} == {"select_one", "select_multiple", "acknowledge"}
    texts = " ".join(row.get(LABEL) for row in (*book(NAME).survey, *book(NAME).choices))
    assert not re.search(r"\bDNI\b|nombre del|apellido|dirección de|coordenad|GPS|teléfono de|trata\b|víctim", texts)


def test_only_weapons_and_place_are_required() -> None:
    needed = [row.get("name") for row in questions(NAME) if row.get("required") == "yes"]
    assert needed == ["armas", "region", "distrito", "tipo_lugar"]


def test_guidance_is_hidden_until_the_inspector_has_left() -> None:
    observed = {**NOTHING, "encierro": "yes"}
    assert guidance(form(NAME).run(observed)) == set()
    assert guidance(form(NAME).run({**observed, "a_salvo": "OK"})) == {"guidance_protection"}


def test_a_sealed_visit_fits_the_smallest_bucket() -> None:
    for case in book(NAME).cases:
        sealed = form(NAME).write_instance(form(NAME).run(case_answers(book(NAME), case)))
        assert sealed_size(sealed, 1024) == compiled(NAME).bucket == 1024


def test_places_are_the_same_in_every_form() -> None:
    def places(name: str) -> list[tuple[str, ...]]:
        kept = ("region", "district", "named_place", "place_kind")
        return [tuple(row.cells.values()) for row in book(name).choices if row.get("list_name") in kept]

    forms = [folder.name for folder in CATALOGUE.iterdir()]
    assert len(forms) >= 5
    assert [name for name in forms if places(name) != places(NAME)] == []


@pytest.mark.parametrize("lang", ["quz", "ayr"])
def test_every_text_has_a_draft(lang: str) -> None:
    assert language_coverage(book(NAME), lang).missing == ()
