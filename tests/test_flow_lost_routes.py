"""A screening is read for as long as it is stored: without its route, and long after its form version left use."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from rich.console import Console

from server.app import clock
from server.cli.desk.reading import print_screenings
from server.flows.operations import retention
from server.store import versions
from server.store.versions import NewVersion
from support.clients import FORM, Office, answers, send_sealed
from sync.desk.client import DeskClient, VerifiedScreening
from sync.documents import bundle
from sync.documents.signed import Document
from sync.durations import DAY
from sync.envelope.content import Context
from sync.errors import SyncError
from sync.exchange.transport import RefusedError
from sync.keys.key_pairs import RouteKey, SigningKey
from sync.tablet.client import Tablet, now_ms
from sync.tablet.screening_route import build_route
from test_flow_old_versions import age, publish, retire, reworded

TAKEN = date(2026, 11, 20)
STRANGE_ROUTE_KEY = RouteKey(b"r" * 32)


def seal_with(
    office: Office, tablet: Tablet, context: Context | None, *, readable: bool = False, route_sha: str = ""
) -> str:
    """Let the tablet send a whole interview with this context, or none as older tablets did; return the version."""
    sha = tablet.version(FORM)
    form, scorer = tablet.form(sha)
    filled = scorer.run(answers())
    send_sealed(
        office,
        tablet,
        scorer.write_instance(filled),
        context=context,
        route=build_route(form, route_sha or sha, filled, TAKEN),
        keyring="17-protection",
        route_key=None if readable else STRANGE_ROUTE_KEY.public,
    )
    return sha


def leave_use(office: Office, sha: str) -> None:
    """Publish other versions in place of this one, and retire it: no manifest names it any more."""
    office.publish("2")
    office.publish("3")
    retire(office, sha)


def referral(desk: DeskClient) -> str:
    """The only referral of the desk, in whichever queue it is."""
    work = [
        each
        for mode in ("training", "field")
        for queue in desk.list_queues(mode)
        for each in desk.list_referrals(queue["id"], mode)
    ]
    [found] = work
    return str(found["id"])


def opened(office: Office) -> VerifiedScreening:
    with office.desk("proteccion-17") as desk:
        return desk.open_screening(referral(desk))


def shown(screening: VerifiedScreening) -> str:
    with (console := Console(width=200)).capture() as printed:
        print_screenings(console, [screening])
    return str(printed.get())


class OtherServer:
    """A session in which a server answers some addresses in another way."""

    def __init__(self, staff: Any, answers: dict[str, Any]) -> None:
        self._staff, self._answers = staff, answers
        self.me, self.seal_key, self.post = staff.me, staff.seal_key, staff.post

    def get_bytes(self, path: str) -> Any:
        return self._instead(path) or self._staff.get_bytes(path)

    def get(self, path: str) -> Any:
        return self._instead(path) or self._staff.get(path)

    def _instead(self, path: str) -> Any:
        answer = next((answer for part, answer in self._answers.items() if part in path), None)
        if isinstance(answer, Exception):
            raise answer
        return answer


def at(desk: DeskClient, answers: dict[str, Any]) -> DeskClient:
    return DeskClient(OtherServer(desk.staff, answers), pin=desk.trust.pin, now=now_ms())  # type: ignore[arg-type]


def test_a_screening_whose_route_was_erased_and_whose_version_is_retired_is_read(
    office: Office, tablet: Tablet
) -> None:
    sha = tablet.screen(FORM, answers(), TAKEN).sha
    tablet.sync()
    leave_use(office, sha)
    with office.desk("proteccion-17") as desk:
        id_ = referral(desk)
        desk.claim(id_), desk.accept(id_), desk.close(id_, "attended")
        assert retention.erase_routes(office.field.services.db, now=clock() + 31 * DAY, days=30) == 1
        screening = desk.open_screening(id_)
    assert (screening.sha, screening.sealed_sha, screening.route_agrees) == (sha, sha, None)
    assert (screening.outcome, screening.agrees) == ("positive", True)


def test_an_urgent_screening_with_an_unreadable_route_is_read_after_its_version_left(
    office: Office, tablet: Tablet
) -> None:
    sha = seal_with(office, tablet, Context(tablet.version(FORM)))
    leave_use(office, sha)
    assert office.field.rows("select urgency, mark from referrals") == [("immediate", "route_unreadable")]
    with office.desk("proteccion-17") as desk:
        lists_nothing = at(desk, {"?version=": RefusedError(404, {"code": "http.not_found"})})
        screening = lists_nothing.open_screening(referral(desk))
    assert (screening.sha, screening.sealed_sha, screening.agrees) == (sha, sha, True)


def test_an_older_screening_without_a_context_is_read_by_its_forms_name(office: Office, tablet: Tablet) -> None:
    sha = seal_with(office, tablet, None)
    leave_use(office, sha)
    screening = opened(office)
    assert (screening.sha, screening.sealed_sha, screening.agrees) == (sha, "", True)
    assert "otra versión" not in shown(screening)


def test_of_two_versions_under_one_name_the_one_that_can_be_read_is_used(office: Office, tablet: Tablet) -> None:
    sha = seal_with(office, tablet, None)
    leave_use(office, sha)
    [held] = [each for each in versions.list_versions(office.field.services.db.read()) if each.sha == sha]
    twin = office.sign(replace(reworded(held.version), channel="field"))  # A demo refuses what is for the field.
    forged = Document(twin.payload).signed_by(SigningKey.generate(), bundle.TYP)
    named = NewVersion(FORM, held.version, "field", twin.sha256, "", "", forged.to_bytes(), None)
    with office.field.services.db.write() as w:
        versions.add_version(w, named, state="retired", author="", at=clock())
    with office.desk("proteccion-17") as desk:
        listed = desk.staff.get(f"/v1/forms/{FORM}?version={held.version}")
        assert [each["sha"] for each in listed] == [twin.sha256, sha]
        screening = desk.open_screening(referral(desk))
    assert (screening.sha, screening.mode, screening.agrees) == (sha, "training", True)


@pytest.mark.parametrize("lie", ["another form", "another version", "a version that no server has"])
def test_a_screening_whose_tablet_sealed_a_wrong_version_is_read_and_the_lie_shown(
    office: Office, tablet: Tablet, lie: str
) -> None:
    said = {"another form": lambda: office.publish("1", form_id="otro"), "another version": lambda: office.publish("9")}
    wrong = said.get(lie, lambda: "0" * 64)()
    sha = seal_with(office, tablet, Context(wrong), readable=True)
    screening = opened(office)
    assert (screening.sha, screening.sealed_sha, screening.outcome) == (sha, wrong, "positive")
    assert screening.route_agrees is False, "the route names another version than the tablet sealed"
    assert "La tableta selló otra versión" in shown(screening)
    assert office.field.rows("select kind from work_items where kind = 'disagrees'") == [("disagrees",)]


def test_a_wrong_version_is_shown_even_if_the_route_cannot_be_read(office: Office, tablet: Tablet) -> None:
    sha = seal_with(office, tablet, Context("0" * 64))
    leave_use(office, sha)
    screening = opened(office)
    assert (screening.sha, screening.sealed_sha, screening.route_agrees) == (sha, "0" * 64, None)
    assert "La tableta selló otra versión" in shown(screening)


def test_a_route_that_names_another_version_than_was_sealed_disagrees(office: Office, tablet: Tablet) -> None:
    newer = publish(office, reworded("2").to_bytes())
    sha = seal_with(office, tablet, Context(tablet.version(FORM)), readable=True, route_sha=newer)
    screening = opened(office)
    assert (screening.sha, screening.sealed_sha, screening.route_agrees) == (sha, sha, False)
    assert "de 30 a 59" in age(screening).lower()
    assert "El servidor usó otros datos" in shown(screening)
    assert "La tableta selló otra versión" not in shown(screening)


def test_a_forged_bundle_and_a_server_that_is_busy_name_the_true_reason(office: Office, tablet: Tablet) -> None:
    sha = seal_with(office, tablet, Context(tablet.version(FORM)), readable=True)
    forged = office.sign(reworded("1")).to_bytes()
    with office.desk("proteccion-17") as desk:
        id_ = referral(desk)
        with pytest.raises(SyncError, match=r"bundle\.wrong_version"):
            at(desk, {f"{FORM}/{sha}": forged}).open_screening(id_)
        with pytest.raises(SyncError, match=r"server\.busy"):
            at(desk, {f"{FORM}/{sha}": RefusedError(503, {"code": "server.busy"})}).open_screening(id_)
        with pytest.raises(SyncError, match=r"desk\.unknown_form"):
            at(desk, {f"{FORM}/{sha}": RefusedError(404, {"code": "form.unknown"})}).open_screening(id_)


def test_a_desk_at_a_server_of_the_release_before_still_finds_versions_in_use(office: Office, tablet: Tablet) -> None:
    sha = seal_with(office, tablet, None)
    with office.desk("proteccion-17") as desk:
        older = at(desk, {"?version=": RefusedError(404, {"code": "http.not_found"})})
        assert older.open_screening(referral(desk)).sha == sha


def test_a_desk_lists_retired_versions_of_a_name_and_no_draft(office: Office) -> None:
    sha = office.field.form_sha
    retire(office, sha)
    draft = NewVersion(FORM, "1", "field", "d" * 64, "", "", b"{}", None)
    with office.field.services.db.write() as w:
        versions.add_version(w, draft, state="draft", author="", at=clock())
    with office.desk("ninez-17") as desk:
        named = {"form": FORM, "version": "1", "channel": "training", "sha": sha, "state": "retired"}
        assert desk.staff.get(f"/v1/forms/{FORM}?version=1") == [named]
        assert desk.staff.get(f"/v1/forms/{FORM}?version=2") == desk.staff.get("/v1/forms/otro?version=1") == []
        with pytest.raises(RefusedError, match=r"http\.invalid"):
            desk.staff.get(f"/v1/forms/{FORM}")
