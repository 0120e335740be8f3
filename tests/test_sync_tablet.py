"""Tests of the reference tablet against a real server, over a proxy that changes responses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from screening_forms.errors import AnswerError
from server.app import clock
from server.flows.trust import documents as trust_documents
from server.store import keyrings
from support.changed_answers import change_documents, change_keys
from support.clients import FORM, STORY, Office, PassingAnswer, answers
from sync.documents import manifest, registry
from sync.documents.enrolment import CERTIFICATE_TYP, Certificate
from sync.documents.registry import Keyring
from sync.documents.signed import Document
from sync.durations import YEAR
from sync.envelope.verify import parse_envelope
from sync.errors import SyncError
from sync.exchange import messages
from sync.exchange.messages import SIGNATURE_HEADER, Message, Response
from sync.exchange.short_envelopes import read_envelopes
from sync.exchange.transport import RefusedError
from sync.keys.key_pairs import SealKey, SigningKey, VerifyKey
from sync.tablet.client import Tablet
from sync.tablet.rollback_guard import Checkpoint
from sync.tablet.status import TabletStatus
from sync.wire.json_object import JsonObject

TAKEN = date(2026, 11, 20)
TEN_YEARS = 10 * YEAR


def screen(tablet: Tablet, name: str = STORY[0]) -> str:
    return tablet.screen(FORM, answers(name), TAKEN).jti


def meddle(path: str, change: Callable[[bytes], bytes]) -> Callable[[PassingAnswer], None]:
    """Change the body of every response under `path`."""

    def answer(passing: PassingAnswer) -> None:
        if passing.path.startswith(path):
            passing.put(change(passing.plain))

    return answer


def flip(body: bytes) -> bytes:
    """Change one byte somewhere in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def holdings(status: TabletStatus) -> tuple[object, ...]:
    return status.trust, status.registry, status.manifest, status.forms


# Joining


def test_the_tablet_shows_six_words_and_waits_for_the_registrar(office: Office, tmp_path: Path) -> None:
    with Tablet(tmp_path / "new") as tablet:
        words = tablet.enrol(office.invite())
        assert (len(words), words) == (6, tablet.status().words)
        assert not tablet.pull().certified
        with pytest.raises(SyncError, match=r"tablet\.not_certified"):
            screen(tablet)
        office.certify(tablet)
        assert [form.form for form in tablet.pull().forms] == [FORM]
        assert tablet.status().label == "Huepetuhe 1"


def test_roots_that_are_not_those_of_the_invitation_are_refused_and_nothing_is_kept(
    office: Office, tmp_path: Path
) -> None:
    other = office.invite().replace(office.pin, "0" * 64)
    with Tablet(tmp_path / "new") as tablet:
        with pytest.raises(SyncError, match=r"trust\.wrong_pin"):
            tablet.enrol(other)
        assert tablet.status().url == ""
    assert office.line.asked == ["POST /v1/enrolments", "GET /v1/trusts"]


def test_only_enrolling_makes_a_tablet(office: Office, tmp_path: Path) -> None:
    kept = tmp_path / "holiday" / "photo.jpg"
    kept.parent.mkdir()
    kept.touch()
    for folder in (tmp_path / "typo", kept.parent):
        with Tablet(folder) as tablet:
            assert tablet.status() == TabletStatus()
            for work in (tablet.pull, tablet.sync, lambda made=tablet: screen(made)):
                with pytest.raises(SyncError, match=r"tablet\.not_enrolled"):
                    work()
            with pytest.raises(SyncError, match=r"trust\.wrong_pin"):
                tablet.enrol(office.invite().replace(office.pin, "0" * 64))
    assert not (tmp_path / "typo").exists()
    assert list(kept.parent.iterdir()) == [kept]


def test_a_code_that_was_used_says_whom_to_tell(office: Office, tablet: Tablet, tmp_path: Path) -> None:
    used = tablet.outbox.documents.get("invitation")
    assert used is not None
    with (
        Tablet(tmp_path / "thief") as thief,
        pytest.raises(SyncError, match=r"enrolment\.code_used: The enrolment code has been used\. Ask for a new"),
    ):
        thief.enrol(used.decode())


def test_a_lost_answer_to_the_enrolment_costs_nothing(office: Office, tmp_path: Path) -> None:
    invitation = office.invite()
    with Tablet(tmp_path / "new") as tablet:
        office.line.cut = frozenset({"/v1/enrolments"})
        with pytest.raises(SyncError, match=r"transport\.broken"):
            tablet.enrol(invitation)
        office.line.cut = frozenset()
        assert tablet.enrol(invitation) == tablet.status().words


def test_a_certified_tablet_is_not_enrolled_again(office: Office, tablet: Tablet) -> None:
    with pytest.raises(SyncError, match=r"tablet\.certified"):
        tablet.enrol(office.invite())


def test_a_key_file_that_others_may_read_is_refused(office: Office, tmp_path: Path) -> None:
    office.tablet().close()
    (tmp_path / "tablet" / "device.key").chmod(0o644)
    with Tablet(tmp_path / "tablet") as again, pytest.raises(SyncError, match=r"key\.file_readable_by_others"):
        screen(again)


# Documents of the tablet


@pytest.mark.parametrize("name", ["manifest", "registry", "certificate"])
def test_one_changed_byte_is_refused_and_the_tablet_works_on_with_what_it_had(
    office: Office, tablet: Tablet, name: str
) -> None:
    before = holdings(tablet.status())
    office.publish("2")
    office.line.answer = change_documents(name, flip)
    with pytest.raises(SyncError, match=r"signed\.|encoding\.|document\."):
        tablet.pull()
    assert holdings(tablet.status()) == before
    screen(tablet)
    office.line.answer = lambda passing: None
    assert [form.version for form in tablet.pull().forms] == ["2"]


def test_a_keyring_with_one_changed_byte_is_refused(office: Office, tmp_path: Path) -> None:
    office.line.answer = change_keys(flip)
    with Tablet(tmp_path / "new") as tablet:
        tablet.enrol(office.invite())
        office.certify(tablet)
        with pytest.raises(SyncError, match=r"registry\.wrong_key"):
            tablet.pull()
        assert not tablet.status().certified


def test_an_older_manifest_is_refused(office: Office, tablet: Tablet) -> None:
    older = tablet.outbox.documents.get("manifest")
    assert older is not None
    office.publish("2")
    tablet.pull()
    office.line.answer = change_documents("manifest", lambda body: older)
    with pytest.raises(SyncError, match=r"document\.rolled_back"):
        tablet.pull()
    assert [form.version for form in tablet.status().forms] == ["2"]


def move(office: Office, tablet: Tablet, number: int, region: str) -> bytes:
    """Certify the tablet anew, for a region; return the certificate that the server has from now on."""
    dev = tablet.status().dev
    key = office.field.rows("SELECT key FROM devices WHERE dev = ?", dev)[0][0]
    said = Certificate(dev, VerifyKey.from_raw(key), region, "moved", number)
    signed = Document(said.to_payload(clock())).signed_by(office.registrar, CERTIFICATE_TYP).to_bytes()
    with office.field.services.db.write() as w:
        w.execute("UPDATE devices SET certificate = ?, region = ? WHERE dev = ?", [signed, region, dev])
    return signed


def test_an_older_certificate_moves_no_tablet_back_to_its_former_region(office: Office, tablet: Tablet) -> None:
    older = tablet.outbox.documents.get("certificate")
    assert older is not None
    newer = move(office, tablet, 2, "21")
    tablet.pull()
    sha = office.publish("2")
    office.line.answer = change_documents("certificate", lambda body: older)
    assert f"bundle/{sha}" in tablet.pull().updated, "the other documents are accepted"
    assert (tablet.status().region, tablet.outbox.documents.get("certificate")) == ("21", newer)


def test_a_restored_server_gets_the_newer_certificate_back(office: Office, tablet: Tablet) -> None:
    older = tablet.outbox.documents.get("certificate")
    newer = move(office, tablet, 2, "21")
    tablet.pull()
    with office.field.services.db.write() as w:
        w.execute("UPDATE devices SET certificate = ?, region = '17'", [older])
    tablet.pull()
    assert office.field.rows("SELECT certificate, region FROM devices") == [(newer, "21")]
    assert tablet.status().region == "21"


def test_two_certificates_of_one_number_change_nothing(office: Office, tablet: Tablet) -> None:
    move(office, tablet, 1, "21")
    with pytest.raises(SyncError, match=r"document\.same_number"):
        tablet.pull()
    assert tablet.status().region == "17"


def test_a_new_version_comes_with_the_next_sync_and_one_former_one_stays(office: Office, tablet: Tablet) -> None:
    sha = office.publish("2")
    report = tablet.sync()
    assert set(report.updated) == {"manifest", f"bundle/{sha}"}
    assert report.requests == 2
    assert tablet.screen(FORM, answers(), TAKEN).sha == sha
    third = office.publish("3")
    tablet.sync()
    on_board = {name for name in tablet.outbox.documents.list_names() if name.startswith("bundle/")}
    assert on_board == {f"bundle/{sha}", f"bundle/{third}"}


def test_an_expired_trust_is_a_warning_and_stops_no_work(office: Office, tmp_path: Path) -> None:
    office.tablet().close()
    with Tablet(tmp_path / "tablet", clock=lambda: TEN_YEARS * 10) as tablet:
        assert tablet.status().old
        screen(tablet)
        assert tablet.status().waiting == 1


# Screening


def test_a_tablet_screens_offline_and_delivers_everything_in_one_request(office: Office, tablet: Tablet) -> None:
    asked = len(office.line.asked)
    jtis = [screen(tablet, name) for name in STORY]
    assert len(office.line.asked) == asked
    report = tablet.sync()
    assert (report.requests, report.sent, report.waiting) == (1, 5, 0)
    assert [(receipt.jti, receipt.outcome) for receipt in report.receipts] == [(jti, "stored") for jti in jtis]
    assert office.stored() == jtis


def test_the_result_has_guidance_and_is_not_in_the_repr(tablet: Tablet) -> None:
    screened = tablet.screen(FORM, answers(), TAKEN)
    assert (screened.result.outcome, screened.result.tier) == ("positive", "T1")
    assert screened.result.guidance["es"]
    assert "positive" not in repr(screened)


def test_each_screening_is_sealed_to_the_desk_it_belongs_to(tablet: Tablet) -> None:
    keyrings = [tablet.screen(FORM, answers(name), TAKEN).keyring for name in STORY]
    assert keyrings == ["17-protection", "21-labour", "21-protection", "17-child", "08-protection"]


def test_a_keyring_counts_anew_in_each_epoch_so_that_its_desk_misses_nothing(office: Office, tablet: Tablet) -> None:
    screen(tablet)
    screen(tablet)
    renewed, db = SealKey.generate().public, office.field.services.db
    named = Keyring.of("17-protection", 2, renewed)
    with db.write() as w:
        stored = {"sha256": renewed.sha256, "keyring": named.id, "epoch": 2, "kid": renewed.kid, "public": renewed.raw}
        keyrings.add_key(w, **stored, at=clock())
    held = trust_documents.registry_in_force(db.read())
    listed = [*(held.keyrings | {named.id: named}).values()]
    newer = registry.make(number=held.number + 1, keyrings=listed, desks=held.desks, revoked=[], issued=clock())
    signed = Document(newer).signed_by(office.registrar, registry.TYP)
    trust_documents.accept_registry(db, signed.to_bytes(), actor="tests", now=clock())
    tablet.sync()
    screen(tablet)
    headers = [parse_envelope(kept.raw).header for kept in tablet.outbox.envelopes.list_stored()]
    assert [(header.seq, header.kseq) for header in headers] == [(1, 1), (2, 2), (3, 1)]
    assert headers[2].kid == renewed.kid


def test_a_form_with_an_omitted_route_is_sealed_to_the_right_desk_all_the_same(office: Office, tablet: Tablet) -> None:
    office.publish("2", omit_route=("queue_kinds", "outcome", "tier", "urgency", "taken"))
    tablet.pull()
    assert tablet.screen(FORM, answers("4_inambari_minor"), TAKEN).keyring == "17-child"
    tablet.sync()
    routes = office.field.rows("SELECT outcome, tier, urgency, queue_kinds, taken FROM routes")
    assert routes == [(None, None, None, None, None)]


def test_a_wrong_answer_keeps_nothing_and_takes_no_number(tablet: Tablet) -> None:
    with pytest.raises(AnswerError):
        tablet.screen(FORM, {**answers(), "edad": "old"}, TAKEN)
    assert tablet.screen(FORM, answers(), TAKEN).seq == 1


def test_an_interview_without_a_required_answer_is_named_and_not_sealed(tablet: Tablet) -> None:
    with pytest.raises(AnswerError, match="peligro, edad, region, distrito"):
        tablet.screen(FORM, {}, TAKEN)
    without = {name: value for name, value in answers().items() if name != "tipo_lugar"}
    with pytest.raises(AnswerError, match=r"^tipo_lugar: falta"):
        tablet.screen(FORM, without, TAKEN)
    assert tablet.status().waiting == 0


def test_no_answer_can_be_read_in_any_file_of_the_tablet(office: Office, tablet: Tablet, tmp_path: Path) -> None:
    screen(tablet)
    tablet.sync()
    files = {path.name: path.read_bytes() for path in (tmp_path / "tablet").rglob("*") if path.is_file()}
    assert "outbox.db-wal" in files
    for canary in (b"73519", b"<edad>30_59", b"<distrito>170204", b"<outcome>positive"):
        assert [name for name, content in files.items() if canary in content] == []


# Syncing over a bad connection


def test_without_a_server_nothing_is_sent_and_the_next_sync_is_one_request(office: Office, tablet: Tablet) -> None:
    screen(tablet)
    held = tablet.outbox.documents.get("invitation")
    assert held is not None
    tablet.transport.close()
    tablet.outbox.documents.update({"invitation": held.replace(office.line.url.encode(), b"http://127.0.0.1:9")})
    vars(tablet).pop("transport")
    with pytest.raises(SyncError, match=r"transport\.unreachable"):
        tablet.sync()
    vars(tablet).pop("transport")
    tablet.outbox.documents.update({"invitation": held})
    report = tablet.sync()
    assert (report.requests, report.sent) == (1, 1)


def test_after_a_lost_response_the_tablet_asks_and_nothing_is_stored_twice(office: Office, tablet: Tablet) -> None:
    jtis = [screen(tablet) for _ in range(3)]
    office.line.cut = frozenset({messages.PATH})
    with pytest.raises(SyncError, match=r"transport\.broken"):
        tablet.sync()
    office.line.cut = frozenset()
    report = tablet.sync()
    assert (report.requests, report.sent, report.waiting) == (1, 1, 0), "one is sent again, with the question for two"
    assert [receipt.outcome for receipt in report.receipts] == ["duplicate"] * 3
    assert office.stored() == jtis


@pytest.mark.parametrize(("status", "code"), [(503, "server.busy"), (507, "storage.quota"), (429, "http.too_many")])
def test_after_a_refusal_that_stores_nothing_the_tablet_asks_nothing(
    office: Office, tablet: Tablet, status: int, code: str
) -> None:
    jtis = [screen(tablet) for _ in range(3)]

    def refuse(passing: PassingAnswer) -> None:
        passing.status, passing.headers = status, {"Content-Type": "application/problem+json"}
        passing.put(json.dumps({"code": code}).encode())

    # The server stored them all the same: whatever a refusal says, nothing is lost and nothing doubled.
    office.line.answer = refuse
    with pytest.raises(RefusedError, match=code.replace(".", r"\.")):
        tablet.sync()
    office.line.answer = lambda passing: None
    asked: list[JsonObject] = []
    office.line.heard = lambda body: asked.append(messages.unpack_body(body, "request"))
    assert [receipt.outcome for receipt in tablet.sync().receipts] == ["duplicate"] * 3
    assert [(request.has("pending"), len(request.array("envelopes"))) for request in asked] == [(False, 3)]
    assert office.stored() == jtis


def resigned(
    office: Office, key: SigningKey, change: Callable[[Response], Response]
) -> Callable[[PassingAnswer], None]:
    """Read each sync response, change it, and sign it again with `key`."""

    def answer(passing: PassingAnswer) -> None:
        if passing.path == messages.PATH:
            # The response itself names the tablet and the request, so the test reads it without verifying.
            said = messages.unpack_body(passing.body, "response")
            dev, n = said.text("dev", messages.KID), said.integer("n")
            message = Message(passing.body, passing.headers[SIGNATURE_HEADER])
            elements = messages.unpack_body(passing.request, "request").array("envelopes")
            envelopes, servers = read_envelopes(elements, dev), office.field.trust.servers
            response = messages.read_response(message, servers, dev=dev, n=n, envelopes=envelopes)
            forged = messages.write_response(change(response), key)
            passing.put(forged.body)
            passing.headers[SIGNATURE_HEADER] = forged.signature

    return answer


def test_forged_receipts_delete_no_envelope(office: Office, tablet: Tablet) -> None:
    screen(tablet)
    server = office.field.services.keys.signing

    def foreign_receipts(response: Response) -> Response:
        assert response.receipts is not None
        return replace(response, receipts=Document(response.receipts.payload, ("e30..AAAA",)))

    def former_receipts(response: Response) -> Response:
        return replace(response, receipts=former)

    for forgery, code in (
        (meddle(messages.PATH, flip), r"exchange\.bad_signature"),
        (resigned(office, SigningKey.generate(), lambda response: response), r"exchange\.unknown_signer"),
        (resigned(office, server, foreign_receipts), r"signed\."),
        (resigned(office, server, lambda response: replace(response, n=response.n + 1)), r"exchange\.wrong_answer"),
    ):
        office.line.answer = forgery
        with pytest.raises(SyncError, match=code):
            tablet.sync()
        assert tablet.status().waiting == 1
    office.line.answer = lambda passing: None
    former_answers: list[Response] = []
    office.line.answer = resigned(office, server, lambda response: former_answers.append(response) or response)
    assert tablet.sync().waiting == 0
    former = former_answers[0].receipts
    screen(tablet)
    office.line.answer = resigned(office, server, former_receipts)
    with pytest.raises(SyncError, match=r"receipt\.stale"):
        tablet.sync()
    assert tablet.status().waiting == 1


def test_a_seized_servers_older_manifest_is_refused_after_the_screenings_are_safe(
    office: Office, tablet: Tablet
) -> None:
    older = tablet.outbox.documents.get("manifest")
    assert older is not None
    office.publish("2")
    tablet.pull()
    screen(tablet)
    server = office.field.services.keys.signing
    rolled_back = resigned(office, server, lambda response: replace(response, manifest=Document.parse(older)))

    def answer(passing: PassingAnswer) -> None:
        rolled_back(passing)
        change_documents("manifest", lambda body: older)(passing)

    office.line.answer = answer
    with pytest.raises(SyncError, match=r"document\.rolled_back"):
        tablet.sync()
    assert tablet.status().waiting == 0
    assert [form.version for form in tablet.status().forms] == ["2"]


@pytest.mark.parametrize("lie", ["older", "of a stranger"])
def test_no_document_that_waited_for_others_is_accepted_without_a_check(
    office: Office, tablet: Tablet, tmp_path: Path, lie: str
) -> None:
    older = tablet.outbox.documents.get("manifest")
    assert older is not None
    office.publish("2")
    tablet.pull()
    held, sha = holdings(tablet.status()), office.publish("3")
    content = Document.parse(older).content
    false = Document.of({**content, "number": content["number"] + 10**6}, manifest.TYP, SigningKey.generate())
    offered = Document.parse(older) if lie == "older" else false
    server, posts = office.field.services.keys.signing, list[str]()
    lying = resigned(office, server, lambda response: replace(response, manifest=offered, more=True))

    def answer(passing: PassingAnswer) -> None:
        lying(passing)
        posts.append(passing.path)
        office.line.cut = frozenset({messages.PATH} if len(posts) > 1 else ())

    office.line.answer = answer
    with pytest.raises(SyncError, match=r"transport\.broken"):
        tablet.sync()
    assert holdings(tablet.status()) == held
    office.line.answer, office.line.cut = lambda passing: None, frozenset()
    tablet.close()
    with Tablet(tmp_path / "tablet") as again:
        again.sync()
        assert [form.sha for form in again.status().forms] == [sha], "what was false keeps the true one back no longer"
        assert again.sync().requests == 1


def test_a_pull_forgets_the_documents_that_waited_for_others(office: Office, tablet: Tablet) -> None:
    office.publish("2")
    office.line.cut = frozenset({"/v1/forms"})
    office.line.most = lambda path: 1 if path.startswith("/v1/forms") else None
    with pytest.raises(SyncError, match=r"transport\.broken"):
        tablet.sync()
    before = tablet.outbox.documents.list_names()
    office.line.most = lambda path: None
    tablet.pull()
    assert before - tablet.outbox.documents.list_names() >= {"received"}
    assert tablet.sync().requests == 1


def test_documents_are_not_sent_again_after_a_cut_between_them_and_the_forms(office: Office, tablet: Tablet) -> None:
    sha = office.publish("2")
    sent: list[bool] = []

    def answer(passing: PassingAnswer) -> None:
        if passing.path == messages.PATH:
            sent.append(messages.unpack_body(passing.body, "response").has("manifest"))

    office.line.answer = answer
    office.line.most = lambda path: 1 if path.startswith("/v1/forms") else None
    for _ in range(3):
        with pytest.raises(SyncError, match=r"transport\.broken"):
            tablet.sync()
    office.line.most = lambda path: None
    assert {"manifest", f"bundle/{sha}"} <= {*tablet.sync().updated}
    assert sent == [True, False, False, False]


def test_a_server_restored_from_a_backup_gets_back_what_it_forgot(office: Office, tablet: Tablet) -> None:
    jtis = [screen(tablet) for _ in range(3)]
    tablet.sync()
    with office.field.services.db.write() as w:
        w.execute("UPDATE meta SET value = 'AAAAAAAAAAA' WHERE name = 'generation'")
    report = tablet.sync()
    assert [(receipt.jti, receipt.outcome) for receipt in report.receipts] == [(jti, "duplicate") for jti in jtis]
    assert report.waiting == 0


def test_a_tablet_restored_from_a_copy_begins_a_new_chain_and_delivers(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    screen(tablet)
    tablet.close()
    shutil.copytree(tmp_path / "tablet", tmp_path / "copy")
    with Tablet(tmp_path / "tablet") as again:
        screen(again)
        again.sync()
        again.sync()
    for file in ("outbox.db", "outbox.proof"):
        shutil.copy(tmp_path / "copy" / file, tmp_path / "tablet" / file)
    (tmp_path / "tablet" / "outbox.proof").unlink()
    with Tablet(tmp_path / "tablet") as restored:
        screen(restored)
        report = restored.sync()
        assert report.waiting == 0
        assert len({kept.chain for kept in restored.outbox.envelopes.list_stored()}) == 2
    assert len(office.stored()) == 3


def test_only_a_number_refused_by_a_trusted_server_changes_anything_on_the_tablet(
    office: Office, tablet: Tablet
) -> None:
    server, dev, jti = office.field.services.keys.signing, tablet.status().dev, screen(tablet)
    chain = tablet.outbox.envelopes.list_stored()[0].chain
    stranger, other = SigningKey.generate(), {"dev": "A" * 22}

    def refused(key: SigningKey | None, **said: object) -> Callable[[PassingAnswer], None]:
        def answer(passing: PassingAnswer) -> None:
            number = messages.unpack_body(passing.body, "response").integer("n")
            problem = {"code": "sync.number_used", "status": 409, "dev": dev, "n": number, "last": number + 7, **said}
            message = messages.write_refusal(problem, key or stranger)
            passing.status, passing.headers = 409, {"Content-Type": "application/problem+json"}
            passing.put(message.body)
            if key is not None:
                passing.headers[SIGNATURE_HEADER] = message.signature

        return lambda passing: answer(passing) if passing.path == messages.PATH else None

    for forgery in (refused(None), refused(stranger), refused(server, n=10**6), refused(server, **other)):
        office.line.answer, number = forgery, tablet.outbox.counters.latest().request
        with pytest.raises(SyncError, match=r"sync\.number_used"):
            tablet.sync()
        assert tablet.outbox.counters.latest() == Checkpoint(chain, 1, number + 1)
        assert not tablet.status().copied
        assert not tablet.outbox.sync_state.load().ended
    office.line.answer, number = refused(server), tablet.outbox.counters.latest().request
    with pytest.raises(SyncError, match=r"sync\.number_used"):  # The second number gives the same code.
        tablet.sync()
    assert (tablet.outbox.counters.latest().request, tablet.status().copied) == (number + 1 + 7 + 1, True)
    assert tablet.outbox.sync_state.load().ended == {chain: 1}
    office.line.answer = lambda passing: None
    assert tablet.sync().waiting == 0
    assert office.stored() == [jti]


def test_a_tablet_with_a_number_far_above_the_servers_goes_down_and_keeps_its_chain(
    office: Office, tablet: Tablet
) -> None:
    tablet.sync()
    number, jti = tablet.outbox.counters.latest().request, screen(tablet)
    tablet.outbox.connection.execute("UPDATE place SET request = ?", (number + 2**21,))
    report = tablet.sync()
    assert (report.waiting, report.copied, office.stored()) == (0, False, [jti])
    place = tablet.outbox.counters.latest()
    assert (place.chain, place.request) == (tablet.outbox.envelopes.list_stored()[0].chain, number + 1), (
        "the refusal had the receipt already"
    )
    told = office.field.services.db.read().row("select max(number) as number from audit")
    assert told == {"number": tablet.outbox.sync_state.load().told.number}, "what it says counts for later"


def test_a_sync_with_nothing_new_is_one_request_of_at_most_a_thousand_bytes(tablet: Tablet) -> None:
    screen(tablet)
    tablet.sync()
    traffic = tablet.sync().traffic
    assert traffic.requests == 1
    assert traffic.up + traffic.down <= 1_000


def test_ten_screenings_are_one_request_of_at_most_thirty_two_kilobytes(tablet: Tablet) -> None:
    for number in range(10):
        screen(tablet, STORY[number % 5])
    traffic = tablet.sync().traffic
    assert traffic.requests == 1
    assert traffic.up + traffic.down <= 32_000
