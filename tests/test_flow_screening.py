"""Follows one screening from an inspector's tablet to a coordinator's desk and back. Read this file first.

It uses a real server on loopback, real files and the real questionnaire. The inspector has no network at the interview.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from conftest import World
from support.clients import FORM, answers, open_office
from sync.envelope.verify import parse_envelope
from sync.tablet.client import Tablet


def test_a_screening_goes_from_the_tablet_to_the_desk_and_its_status_comes_back(world: World, tmp_path: Path) -> None:
    with open_office(world, tmp_path) as office:
        office.tablet("tablet").close()  # Enrolled and certified, with trust, registry, manifest and form.

        # At the mine, without a network, the form scores the interview. The tablet seals it to the right desk.
        interview = answers("1_huepetuhe_quz")
        with Tablet(tmp_path / "tablet") as tablet:
            screened = tablet.screen(FORM, interview, taken=date(2026, 11, 20))
            assert screened.keyring == "17-protection"
            assert tablet.status().waiting == 1
            sealed = tablet.outbox.envelopes.list_stored()[0]

        # In town, one request delivers it. After the server's receipt nothing is waiting.
        with Tablet(tmp_path / "tablet") as tablet:
            report = tablet.sync()
            assert (report.requests, report.sent, report.waiting) == (1, 1, 0)
            assert [(receipt.jti, receipt.outcome) for receipt in report.receipts] == [(screened.jti, "stored")]

        # The server stores exactly the bytes that the tablet signed.
        [(stored,)] = office.field.rows("SELECT body FROM envelopes")
        assert stored == sealed.raw
        assert parse_envelope(stored).header.jti == screened.jti

        # At the desk, the coordinator decrypts it with her own key. It has every answer, and the same outcome.
        with office.desk("proteccion-17") as desk:
            [referral] = desk.list_referrals("17-protection", mode="training")
            assert (referral["jti"], referral["urgency"]) == (screened.jti, "prompt")
            opened = desk.open_screening(referral["id"])
            assert {answer.question: answer.codes for answer in opened.answers} == as_codes(interview)
            assert (opened.outcome, opened.tier, opened.lang) == ("positive", "T1", "quz")
            assert opened.agrees
            desk.claim(referral["id"])
            desk.accept(referral["id"])
            desk.close(referral["id"], "attended")

        # At the next sync the inspector learns that the referral was accepted and closed, and nothing more.
        with Tablet(tmp_path / "tablet") as tablet:
            told = [(event.jti, event.status) for event in tablet.sync().events]
            assert told == [(screened.jti, "accepted"), (screened.jti, "closed")]


def as_codes(interview: dict[str, object]) -> dict[str, tuple[str, ...]]:
    """Return the answers as a desk shows them, without the inspector's own confirmation, which is not sent."""
    given = {question: value for question, value in interview.items() if question != "a_salvo"}
    return {
        question: tuple(map(str, value)) if isinstance(value, list) else (str(value),)
        for question, value in given.items()
    }
