"""Tests of the coordinator's client against a real server: keys, signatures, and results computed again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from screening_forms.engine.evaluator import Engine, load_engine
from support.clients import FORM, STORY, Office, answers, compiled
from sync.desk.client import DeskClient
from sync.desk.opened_screening import build_answer, read_screening
from sync.durations import DAY
from sync.envelope.verify import parse_envelope
from sync.errors import SyncError
from sync.keys.key_pairs import SealKey
from sync.tablet.client import Tablet, now_ms

TAKEN = date(2026, 11, 20)
DESKS = {
    "1_huepetuhe_quz": ("proteccion-17", "17-protection"),
    "2_ananea_es": ("trabajo-21", "21-labour"),
    "3_putina_ayr": ("proteccion-21", "21-review"),
    "4_inambari_minor": ("ninez-17", "17-child"),
}


@pytest.fixture
def scorer() -> Engine:
    return load_engine(compiled().xform)


def deliver(tablet: Tablet, name: str = STORY[0]) -> str:
    jti = tablet.screen(FORM, answers(name), TAKEN).jti
    assert tablet.sync().waiting == 0
    return jti


def referral(desk: DeskClient, queue: str, jti: str) -> str:
    """Find a screening's referral in a queue."""
    found: str = next(each["id"] for each in desk.list_referrals(queue, "training") if each["jti"] == jti)
    return found


@pytest.mark.parametrize("name", DESKS)
def test_a_coordinator_of_the_right_desk_reads_answers_and_equal_results(
    office: Office, tablet: Tablet, name: str
) -> None:
    jti = deliver(tablet, name)
    login, queue = DESKS[name]
    with office.desk(login) as desk:
        screening = desk.open_screening(referral(desk, queue, jti))
    given = answers(name)
    assert {answer.question for answer in screening.answers} == set(given) - {"a_salvo"}
    told = {answer.question: answer for answer in screening.answers}
    assert told["edad"].codes == (given["edad"],)
    assert "¿Qué edad tiene usted" in told["edad"].text_es
    assert screening.differences == ()
    assert screening.agrees
    assert screening.route_agrees is True
    assert (screening.jti, screening.device, screening.mode) == (jti, "Huepetuhe 1", "training")


def test_the_outcome_comes_with_fired_indicators_by_dimension_and_reasons(office: Office, tablet: Tablet) -> None:
    jti = deliver(tablet)
    with office.desk("proteccion-17") as desk:
        screening = desk.open_screening(referral(desk, "17-protection", jti))
    assert (screening.outcome, screening.tier) == ("positive", "T1")
    assert [fired.code for indicators in screening.fired.values() for fired in indicators] == list(
        screening.assessment.fired
    )
    assert {"D4", "D5"} <= set(screening.fired)
    assert screening.assessment.why


def test_a_coordinator_of_another_desk_group_cannot_open_it(office: Office, tablet: Tablet) -> None:
    jti = deliver(tablet)
    with office.desk("proteccion-17") as desk:
        wanted = referral(desk, "17-protection", jti)
    with office.desk("ninez-17") as other:
        with pytest.raises(SyncError, match=r"referral\."):
            other.open_screening(wanted)
        raw = tablet.outbox.envelopes.list_stored()[0].raw
        with pytest.raises(SyncError, match=r"desk\.not_a_member"):
            other.unwrap_keyring(parse_envelope(raw))


def test_claim_accept_and_close_reach_the_tablet(office: Office, tablet: Tablet) -> None:
    jti = deliver(tablet)
    with office.desk("proteccion-17") as desk:
        wanted = referral(desk, "17-protection", jti)
        states = [desk.claim(wanted)["state"], desk.accept(wanted)["state"], desk.close(wanted, "attended")["state"]]
    assert states == ["claimed", "accepted", "closed"]
    assert [(event.jti, event.status) for event in tablet.sync().events] == [(jti, "accepted"), (jti, "closed")]
    assert [event.status for event in tablet.status().events] == ["closed"]


def test_a_wrong_passphrase_and_a_wrong_pin_open_nothing(office: Office) -> None:
    with pytest.raises(SyncError, match=r"session\.refused"):
        DeskClient.sign_in(office.people_url, "proteccion-17", "uno dos tres", pin=office.pin)
    phrase = office.field.world.passphrase("proteccion-17")
    with pytest.raises(SyncError, match=r"trust\.wrong_pin"):
        DeskClient.sign_in(office.people_url, "proteccion-17", phrase, pin="0" * 64)
    assert office.field.rows("select * from sessions") == [], "no session stays open behind a refusal"


def test_a_wrong_pin_is_named_before_anything_is_sent_and_a_typed_one_is_read(office: Office) -> None:
    phrase = office.field.world.passphrase("proteccion-17")
    for pin in ("", "abc", "g" * 64, office.pin[:-1]):
        with pytest.raises(SyncError, match=r"trust\.bad_pin: a pin has 64 digits"):
            DeskClient.sign_in("http://127.0.0.1:9", "proteccion-17", phrase, pin=pin)
    typed = " ".join(office.pin[at : at + 8] for at in range(0, 64, 8)).upper()
    with DeskClient.sign_in(office.people_url, "proteccion-17", phrase, pin=typed) as desk:
        assert desk.trust.pin == office.pin


def test_a_refusal_reads_as_advice_in_english_and_names_the_fields(office: Office) -> None:
    with office.desk("proteccion-17") as desk, pytest.raises(SyncError) as refused:
        desk.list_queues("both")
    assert str(refused.value).startswith("http.invalid: A field is not valid. mode: Must be one of")
    assert str(refused.value).endswith("Correct the fields named")
    with pytest.raises(SyncError, match=r"The login or the passphrase is wrong\. Check the login and the six words"):
        DeskClient.sign_in(office.people_url, "proteccion-17", "uno dos tres", pin=office.pin)


def test_a_typed_id_cannot_lead_to_another_url(office: Office) -> None:
    with office.desk("proteccion-17") as desk:
        for typed in ("../../me", "..", "", "a/b", "x?mode=field", "%2e%2e"):
            for work in (desk.claim, desk.accept, desk.open_screening, desk.list_referrals):
                with pytest.raises(SyncError, match=r"desk\.bad_id"):
                    work(typed)


def test_a_desk_works_45_days_with_an_expired_trust_and_says_so(office: Office) -> None:
    with office.desk("proteccion-17") as desk:
        expires = desk.trust.expires
        assert (desk.warnings, DeskClient(desk.staff, pin=office.pin, now=expires).warnings) == ((), ())
        for days in (0, 45):
            late = DeskClient(desk.staff, pin=office.pin, now=expires + days * DAY + (days == 0))
            assert [each for each in late.list_queues() if each["id"] == "17-protection"]
            (warning,) = late.warnings
            assert "venció" in warning
            assert f"{45 - days} días" in warning
        with pytest.raises(SyncError, match=r"trust\.expired"):
            DeskClient(desk.staff, pin=office.pin, now=expires + 45 * DAY + 1)


class FalseServer:
    """A session whose server returns other responses for some paths."""

    def __init__(self, staff: Any, lies: dict[str, Any]) -> None:
        self._staff, self._lies = staff, lies
        self.me = staff.me

    def get_bytes(self, path: str) -> bytes:
        return next((lie for end, lie in self._lies.items() if path.endswith(end)), None) or self._staff.get_bytes(path)

    def get(self, path: str) -> Any:
        found = self._staff.get(path)
        return found | self._lies.get("referral", {}) if isinstance(found, dict) else found

    def post(self, path: str) -> Any:
        return self._staff.post(path)

    def seal_key(self) -> SealKey:
        key: SealKey = self._staff.seal_key()
        return key


def lied_to(desk: DeskClient, lies: dict[str, Any]) -> DeskClient:
    """The same person's desk with a false server in between."""
    return DeskClient(FalseServer(desk.staff, lies), pin=desk.trust.pin, now=now_ms())  # type: ignore[arg-type]


def test_a_false_document_or_envelope_from_the_server_is_refused(office: Office, tablet: Tablet) -> None:
    first, second = deliver(tablet), deliver(tablet)
    form = office.sign(compiled())
    raws = [kept.raw for kept in tablet.outbox.envelopes.list_stored()]
    with office.desk("proteccion-17") as desk:
        wanted = referral(desk, "17-protection", first)
        assert wanted != referral(desk, "17-protection", second)
        certificate = desk.staff.get_bytes(f"/v1/devices/{tablet.status().dev}/certificate")
        sha = office.field.form_sha
        for lies, code in (
            ({"/envelope": raws[1]}, r"desk\.other_envelope"),
            ({"/envelope": raws[0][:-4] + b"AAAA"}, r"desk\.other_envelope|encoding\."),
            ({"/certificate": certificate.replace(b"Huepetuhe", b"Huepetuha")}, r"signed\.bad_signature"),
            ({sha: form.payload + b"\n" + form.signatures[0].encode()}, r"bundle\.wrong_version"),
        ):
            with pytest.raises(SyncError, match=code):
                lied_to(desk, lies).open_screening(wanted)


def test_a_route_that_contradicts_its_screening_is_shown_and_put_on_the_work_list(
    office: Office, tablet: Tablet
) -> None:
    jti = deliver(tablet)
    with office.desk("proteccion-17") as desk:
        wanted = referral(desk, "17-protection", jti)
        route = desk.staff.get(f"/v1/referrals/{wanted}")["route"]
        false = lied_to(desk, {"referral": {"route": {**route, "tier": "T4"}}})
        assert desk.open_screening(wanted).route_agrees is True
        assert desk.staff.get("/v1/work-list") == []
        assert false.open_screening(wanted).route_agrees is False
        assert [each["kind"] for each in desk.staff.get("/v1/work-list")] == ["disagrees"]
        none = lied_to(desk, {"referral": {"route": None}})
        assert (none.open_screening(wanted).route_agrees, none.open_screening(wanted).agrees) == (None, True)


def test_a_number_that_this_session_has_not_opened_is_reported(office: Office, tablet: Tablet) -> None:
    jtis = [deliver(tablet) for _ in range(3)]
    with office.desk("proteccion-17") as desk:
        wanted = [referral(desk, "17-protection", jti) for jti in jtis]
        assert desk.open_screening(wanted[0]).missing == ()
        assert desk.open_screening(wanted[2]).missing == (2,)
        assert desk.open_screening(wanted[1]).missing == ()


# Reading without a server


def test_an_outcome_that_does_not_follow_from_the_answers_is_a_difference(scorer: Engine) -> None:
    filled = scorer.run(answers())
    false = replace(filled, values={**filled.values, "outcome": "negative", "tier": "none"})
    reading = read_screening(compiled(), scorer, scorer.write_instance(false))
    assert reading.outcome == "negative"
    assert [(each.name, each.recorded, each.computed) for each in reading.differences] == [
        ("outcome", "negative", "positive"),
        ("tier", "none", "T1"),
    ]


def test_answers_that_cannot_go_together_are_shown_and_named(scorer: Engine) -> None:
    filled = scorer.run(answers())
    instance = scorer.write_instance(filled).replace(b"<peligro>no<", b"<peligro>yes<")
    reading = read_screening(compiled(), scorer, instance)
    assert not reading.agrees
    assert reading.differences[0].name == "answers"
    assert len(reading.answers) == len(answers()) - 1, "all but the confirmation, which is not sealed"


def test_the_repr_of_an_opened_screening_shows_no_answer(scorer: Engine) -> None:
    reading = read_screening(compiled(), scorer, scorer.write_instance(scorer.run(answers())))
    assert "170204" not in repr(reading)
    assert "positive" not in repr(reading)


def test_drafts_and_fallbacks_are_marked(scorer: Engine) -> None:
    lang = "quz"
    nodes = {node.name: node for node in scorer.questions}
    edad = replace(nodes["edad"], label={"es": "¿Edad?", lang: "[borrador] ¿Hayka watayuq?"})
    sexo = replace(nodes["sexo"], label={"es": "¿Sexo?"})
    shown = build_answer(edad, "30_59", lang)
    assert (shown.text, shown.text_state, shown.text_es) == ("¿Hayka watayuq?", "draft", "¿Edad?")
    assert build_answer(sexo, "male", lang).text_state == "fallback"
    assert build_answer(sexo, "male", "es").text_state == "reviewed"
