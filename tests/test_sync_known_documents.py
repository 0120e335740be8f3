"""Tests that staff clients remember the newest documents that they accepted, beyond the end of the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server.app import clock
from server.cli.main import main
from server.cli.tablet.device_orders import revoke_in_registry
from server.flows.trust import documents as trust_documents
from server.store import audit, documents, worklist
from support.clients import Office
from sync.desk.client import DeskClient
from sync.documents import registry
from sync.documents.signed import Document
from sync.durations import DAY
from sync.errors import SyncError
from sync.exchange.audit_heads import compare_audit_heads
from sync.exchange.known_documents import KINDS, KnownDocuments, KnownDocumentsFile
from sync.exchange.staff_documents import StaffDocuments
from sync.exchange.staff_session import StaffSession
from test_sync_root_changes import install, replace_root, roots_of, with_roots

STOLEN, LOST, OTHER = (letter * 22 for letter in "ABC")


def put_registry(office: Office, *revoked: str, issued: int | None = None) -> None:
    db = office.field.services.db
    held = trust_documents.registry_in_force(db.read())
    said: dict[str, Any] = {"keyrings": [*held.keyrings.values()], "desks": held.desks, "revoked": revoked}
    payload = registry.make(number=held.number + 1, issued=issued or clock(), **said)
    signed = Document(payload).signed_by(office.registrar, registry.TYP).to_bytes()
    trust_documents.accept_registry(db, signed, actor="tests", now=clock())


def revoked(office: Office) -> set[str]:
    return set(trust_documents.registry_in_force(office.field.services.db.read()).revoked)


def renew(office: Office, kind: str) -> None:
    """Publish the next document of a kind."""
    if kind == "registry":
        put_registry(office, STOLEN)
    elif kind == "trust":
        roots = roots_of(office)
        install(office, with_roots(office, roots, *roots[:2]))
    else:
        office.publish("2")


def roll_back(office: Office, kind: str) -> None:
    """Make the server forget the newest document of a kind, as after a snapshot."""
    with office.field.services.db.write() as w:
        newest = trust_documents.get_newest(w, kind).number
        w.execute("delete from documents where kind = ? and number = ?", [kind, newest])


def sign_in(office: Office, known: Path | None) -> DeskClient:
    phrase = office.field.world.passphrase("proteccion-17")
    return DeskClient.sign_in(office.people_url, "proteccion-17", phrase, pin=office.pin, known=known)


def fetch_all(desk: DeskClient, pin: str, known: Path) -> None:
    documents = StaffDocuments(desk.staff.get_bytes, pin=pin, now=clock(), known=KnownDocumentsFile(known))
    documents.fetch_registry()
    documents.fetch_manifest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_desk_that_restarts_refuses_an_older_document(office: Office, tmp_path: Path, kind: str) -> None:
    known = tmp_path / "known" / "pin.json"
    renew(office, kind)
    with sign_in(office, known) as desk:
        fetch_all(desk, office.pin, known)
    roll_back(office, kind)
    with sign_in(office, None) as desk, pytest.raises(SyncError, match=r"document\.rolled_back"):
        fetch_all(desk, office.pin, known)


@pytest.mark.parametrize("opens", ["sign_in", "with_token"])
def test_a_server_that_shows_an_older_trust_gets_no_passphrase_and_no_token(
    office: Office, tmp_path: Path, opens: str
) -> None:
    known = tmp_path / "pin.json"

    def open_session() -> StaffSession:
        said: dict[str, Any] = {"pin": office.pin, "known": KnownDocumentsFile(known)}
        if opens == "with_token":
            return StaffSession.with_token(office.people_url, "token", **said)
        return StaffSession.sign_in(
            office.people_url, "proteccion-17", office.field.world.passphrase("proteccion-17"), **said
        )

    renew(office, "trust")
    open_session().close()
    assert read_trust_number(known) == 2
    roll_back(office, "trust")
    before = office.field.rows("select * from sessions")
    with pytest.raises(SyncError, match=r"document\.rolled_back"):
        open_session()
    assert office.field.rows("select * from sessions") == before


def read_trust_number(known: Path) -> int:
    held = KnownDocumentsFile(known).documents.read_trust()
    assert held
    return held.number


@pytest.mark.parametrize("kind", ["trust", "registry"])
def test_a_desk_that_restarts_refuses_another_document_under_the_same_number(
    office: Office, tmp_path: Path, kind: str
) -> None:
    known = tmp_path / "pin.json"
    renew(office, kind)
    sign_in(office, known).staff.close()
    roll_back(office, kind)
    if kind == "trust":
        roots = roots_of(office)
        install(office, with_roots(office, roots, *roots[1:], issued=1))
    else:
        put_registry(office, OTHER)
    with pytest.raises(SyncError, match=r"document\.same_number"):
        sign_in(office, known)


def test_what_a_desk_knows_is_for_its_owner_alone_and_one_file_for_each_pin(office: Office, tmp_path: Path) -> None:
    known = tmp_path / "known" / "pin.json"
    sign_in(office, known).staff.close()
    assert known.stat().st_mode & 0o777 == 0o600
    assert known.parent.stat().st_mode & 0o777 == 0o700
    other = tmp_path / "known" / "other.json"
    put_registry(office, STOLEN)
    sign_in(office, other).staff.close()
    assert KnownDocumentsFile(known).documents.read_registry().number == 1  # type: ignore[union-attr]
    assert KnownDocumentsFile(other).documents.read_registry().number == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"trust":7}', b'{"registry":"{}\\nx..y"}', b"\xff", None])
def test_a_damaged_memory_is_an_error_and_never_an_empty_one(
    office: Office, tmp_path: Path, damage: bytes | None
) -> None:
    known = tmp_path / "pin.json"
    if damage is None:
        known.mkdir()
    else:
        known.write_bytes(damage)
    with pytest.raises(SyncError, match=r"known\.unreadable.*pin\.json"):
        sign_in(office, known)
    assert known.is_dir() or known.read_bytes() == damage


def test_one_changed_letter_in_the_known_trust_is_noticed(office: Office, tmp_path: Path) -> None:
    known = tmp_path / "pin.json"
    sign_in(office, known).staff.close()
    known.write_bytes(known.read_bytes().replace(b'\\"threshold\\":2', b'\\"threshold\\":1'))
    with pytest.raises(SyncError, match=r"known\.unreadable"):
        sign_in(office, known)


def test_a_newer_memory_of_another_process_stays(office: Office, tmp_path: Path) -> None:
    known = tmp_path / "pin.json"
    with sign_in(office, known) as desk:
        slow = KnownDocumentsFile(known)
        older = Document.parse(desk.staff.get_bytes("/v1/registry"))
        put_registry(office, STOLEN)
        sign_in(office, known).staff.close()
        slow.remember("registry", older)
    assert KnownDocumentsFile(known).documents.read_registry().number == 2  # type: ignore[union-attr]


def test_a_desk_that_knows_a_trust_follows_new_roots_from_it(office: Office, tmp_path: Path) -> None:
    known, pin = tmp_path / "pin.json", office.pin
    sign_in(office, known).staff.close()
    replace_root(office, times=2)
    phrase = office.field.world.passphrase("proteccion-17")
    for _ in range(2):
        with DeskClient.sign_in(office.people_url, "proteccion-17", phrase, pin=pin, known=known) as desk:
            assert desk.trust.number == 3
            (warning,) = desk.warnings
            assert office.pin in warning


# A registrar who signs


def registrar_session(office: Office) -> StaffSession:
    return StaffSession.sign_in(
        office.people_url, "registro", office.field.world.passphrase("registro"), pin=office.pin
    )


def test_a_registrar_signs_no_registry_made_from_an_older_one(office: Office, tmp_path: Path) -> None:
    known = tmp_path / "pin.json"
    with registrar_session(office) as staff:
        assert revoke_in_registry(staff, STOLEN, office.registrar, office.pin, known=known) == 2
        roll_back(office, "registry")
        with pytest.raises(SyncError, match=r"document\.rolled_back"):
            revoke_in_registry(staff, OTHER, office.registrar, office.pin, known=known)
    assert revoked(office) == set()


def test_a_revoked_tablet_stays_revoked_whatever_newer_registry_the_server_shows(
    office: Office, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "pin.json"
    with registrar_session(office) as staff:
        revoke_in_registry(staff, STOLEN, office.registrar, office.pin, known=known)
        revoke_in_registry(staff, LOST, office.registrar, office.pin, known=known)
        put_registry(office)
        capsys.readouterr()
        assert revoke_in_registry(staff, OTHER, office.registrar, office.pin, known=known) == 5
        assert revoked(office) == {STOLEN, LOST, OTHER}
        warning, *lines = capsys.readouterr().err.splitlines()
        assert f"{STOLEN}, {LOST}" in warning
        assert lines == [f"  + revoked tablet {OTHER}"]
        put_registry(office, OTHER)
        again = frozenset({LOST})
        revoke_in_registry(staff, OTHER, office.registrar, office.pin, known=known, readmitted=again)
        assert revoked(office) == {STOLEN, OTHER}
        assert capsys.readouterr().err.endswith(f"\n  - revoked tablet {LOST}\n")
        revoke_in_registry(staff, OTHER, office.registrar, office.pin, known=known)
        assert revoked(office) == {STOLEN, OTHER}
        assert capsys.readouterr().err == ""


def test_a_desk_command_before_the_registrars_makes_her_forget_no_revoked_tablet(
    office: Office, tmp_path: Path
) -> None:
    known = tmp_path / "pin.json"
    with registrar_session(office) as staff:
        revoke_in_registry(staff, STOLEN, office.registrar, office.pin, known=known)
        put_registry(office)
        with sign_in(office, known) as desk:
            (warning,) = desk.warnings
            assert STOLEN in warning
        revoke_in_registry(staff, OTHER, office.registrar, office.pin, known=known)
    assert revoked(office) == {STOLEN, OTHER}


def test_a_registrar_sees_each_keyring_and_desk_that_changed_since_she_signed(
    office: Office, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, db = tmp_path / "pin.json", office.field.services.db
    with registrar_session(office) as staff:
        revoke_in_registry(staff, STOLEN, office.registrar, office.pin, known=known)
        held = trust_documents.registry_in_force(db.read())
        gone, *desks = held.desks
        payload = registry.make(
            number=3, keyrings=[*held.keyrings.values()], desks=desks, revoked=held.revoked, issued=clock()
        )
        signed = Document(payload).signed_by(office.registrar, registry.TYP).to_bytes()
        trust_documents.accept_registry(db, signed, actor="tests", now=clock())
        capsys.readouterr()
        revoke_in_registry(staff, OTHER, office.registrar, office.pin, known=known)
    assert capsys.readouterr().err.splitlines() == [
        f"  - desk {gone.site or '-'} {gone.kind}",
        f"  + revoked tablet {OTHER}",
    ]


# Commands


def run(office: Office, *words: object) -> Any:
    phrase = office.field.world.people / "proteccion-17" / "passphrase.txt"
    who = ("--login", "proteccion-17", "--passphrase-file", phrase, "--server", office.people_url)
    return CliRunner().invoke(main, [str(word) for word in ("desk", *words, *who)])


@pytest.mark.parametrize("option", [True, False], ids=["option", "environment"])
def test_desk_commands_remember_between_two_runs(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, option: bool
) -> None:
    put_registry(office, STOLEN)
    folder = tmp_path / "mine"
    monkeypatch.setenv("CHASKI_KNOWN", str(folder if not option else tmp_path / "elsewhere"))
    chosen = ("--known", folder) if option else ()
    spelled = " ".join(office.pin[at : at + 8] for at in range(0, 64, 8)).upper()
    assert run(office, "queue", "--pin", spelled, *chosen).exit_code == 0
    assert [path.name for path in folder.glob("*.json")] == [f"{office.pin}.json"]
    roll_back(office, "registry")
    for words in (("queue",), ("open", "x", "--plain"), ("examine", "1", "--plain")):
        refused = run(office, *words, "--pin", office.pin, *chosen)
        assert refused.exit_code != 0
        assert "document.rolled_back" in refused.stderr


# The server's past


def cut_audit(office: Office, rows: int) -> None:
    """Remove the newest rows of the audit, as a database that was put back to an older state lacks them."""
    with office.field.services.db.write() as w:
        w.execute("drop trigger if exists audit_remains")
        last = w.row("select max(number) as number from audit")["number"]
        w.execute("delete from audit where number > ?", [last - rows])


def items(office: Office) -> list[tuple[str, str]]:
    return [(each.kind, each.reason) for each in worklist.list_open(office.field.services.db.read())]


@pytest.mark.parametrize("grown", [False, True], ids=["shorter", "grown again"])
def test_a_desk_tells_a_server_that_lost_its_past(office: Office, tmp_path: Path, *, grown: bool) -> None:
    known = tmp_path / "pin.json"
    for _ in range(2):
        with sign_in(office, known) as desk:
            assert desk.warnings == ()
    told = KnownDocumentsFile(known).documents.audit
    assert told is not None
    cut_audit(office, 3)
    if grown:
        for at in range(6):
            with office.field.services.db.write() as w:
                audit.append(w, at=at, action="tests.grown", actor="tests", subject="x")
    with sign_in(office, known) as desk:
        (warning,) = desk.warnings
    assert f"fila {told.number}" in warning
    assert ("other_past", f"audit.{told.number}") in items(office)
    assert "went_back" in {kind for kind, _ in items(office)}, "the server itself knows better than its file"
    with sign_in(office, known) as desk:
        assert desk.warnings == (), "it was told, and the present head is known now"


def test_a_desk_notices_a_lost_past_that_the_server_denies(office: Office, tmp_path: Path) -> None:
    file = KnownDocumentsFile(tmp_path / "pin.json")

    class Liar:
        def __init__(self, number: int, letter: str) -> None:
            self.answer = {"number": number, "hash": letter * 64, "agrees": True}

        def post(self, path: str, json: Any) -> Any:
            return self.answer

    for number, letter, lost in ((9, "a", False), (9, "a", False), (9, "b", True), (8, "b", True), (12, "c", False)):
        assert bool(compare_audit_heads(Liar(number, letter), file)) is lost  # type: ignore[arg-type]


def test_desk_commands_say_that_the_server_has_another_past(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHASKI_KNOWN", str(tmp_path / "known"))
    assert run(office, "queue", "--pin", office.pin).stderr == ""
    cut_audit(office, 2)
    said = run(office, "queue", "--pin", office.pin)
    assert said.exit_code == 0
    assert "El servidor ya no tiene la auditoría" in said.stderr


def test_who_types_the_new_pin_after_a_change_of_roots_forgets_no_revoked_tablet(
    office: Office, tmp_path: Path
) -> None:
    before, files = office.pin, tmp_path / "known"
    put_registry(office, STOLEN)
    sign_in_with(office, before, files).staff.close()
    replace_root(office)
    sign_in_with(office, before, files).staff.close()
    sign_in_with(office, office.pin, files).staff.close()
    roll_back(office, "registry")
    with pytest.raises(SyncError, match=r"document\.rolled_back"):
        sign_in_with(office, office.pin, files)
    put_registry(office, OTHER)
    put_registry(office, OTHER)
    with sign_in_with(office, office.pin, files) as desk:
        assert any(STOLEN in warning for warning in desk.warnings)


def test_a_new_pin_carries_on_from_all_files_whose_trust_has_it(office: Office, tmp_path: Path) -> None:
    files = tmp_path / "known"
    replace_root(office)
    pin = office.pin
    for name, revoked_by_it in (("b", STOLEN), ("a", OTHER)):
        put_registry(office, revoked_by_it)
        sign_in(office, files / f"{name}.json").staff.close()
    carried = KnownDocumentsFile(files / f"{pin}.json").documents
    assert carried.revoked == {STOLEN, OTHER}
    assert carried.registry == KnownDocumentsFile(files / "a.json").documents.registry
    assert carried.audit
    assert KnownDocumentsFile(files / f"{'0' * 64}.json").documents == KnownDocuments()


def sign_in_with(office: Office, pin: str, files: Path) -> DeskClient:
    phrase = office.field.world.passphrase("proteccion-17")
    url = office.people_url
    return DeskClient.sign_in(url, "proteccion-17", phrase, pin=pin, known=files / f"{pin}.json")


@pytest.mark.parametrize("kind", ["dangling link", "others may write", "the group may write"])
def test_a_memory_that_is_out_of_reach_or_that_others_write_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pin.json"
    if kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_bytes(b"{}")
        path.chmod(0o666 if kind == "others may write" else 0o660)
    with pytest.raises(SyncError, match=r"known\.unreadable"):
        KnownDocumentsFile(path)


def test_a_tablet_that_the_registry_still_revokes_is_not_forgotten_when_readmitted(
    office: Office, tmp_path: Path
) -> None:
    known = tmp_path / "pin.json"
    put_registry(office, STOLEN)
    sign_in(office, known).staff.close()
    phrase = office.field.world.passphrase("registro")
    with StaffSession.sign_in(office.people_url, "registro", phrase, pin=office.pin) as staff:
        again = frozenset({STOLEN})
        revoke_in_registry(staff, OTHER, office.registrar, office.pin, known=known, readmitted=again)
    assert revoked(office) == {STOLEN, OTHER} == KnownDocumentsFile(known).documents.revoked


@pytest.mark.parametrize(
    ("login", "words"),
    [("registro", ("device", "list")), ("autora", ("forms", "versions")), ("proteccion-17", ("desk", "work"))],
)
def test_every_staff_command_warns_of_an_expired_trust_and_refuses_it_after_45_days(
    office: Office, tmp_path: Path, login: str, words: tuple[str, ...]
) -> None:
    roots, world = roots_of(office), office.field.world

    def run() -> Result:
        phrase = world.people / login / "passphrase.txt"
        said = ["--server", office.people_url, "--pin", office.pin, "--known", str(tmp_path / "known")]
        return CliRunner().invoke(main, [*words, *said, "--login", login, "--passphrase-file", str(phrase)])

    install(office, with_roots(office, roots, *roots[:2], expires=clock() - DAY))
    warned = run()
    assert warned.exit_code == 0, warned.output
    assert warned.output.count("La confianza venció") == 1
    expire_long_ago(office)
    refused = run()
    assert (refused.exit_code, getattr(refused.exception, "code", "")) != (0, "")
    assert "trust.expired" in refused.output + repr(refused.exception)


def expire_long_ago(office: Office) -> None:
    """Store a trust that is past its grace, as if 46 days had passed."""
    roots = roots_of(office)
    body = with_roots(office, roots, *roots[:2], expires=clock() - 46 * DAY)
    with office.field.services.db.write() as w:
        said: dict[str, Any] = {"kind": "trust", "number": body.content["number"], "at": clock()}
        documents.put_document(w, sha256=body.sha256, body=body.to_bytes(), **said)


def test_a_revocation_sends_no_order_if_the_server_shows_an_older_registry(office: Office, tmp_path: Path) -> None:
    world, known = office.field.world, tmp_path / "known"
    with office.tablet() as tablet:
        dev = tablet.status().dev
        words = " ".join(tablet.status().words)
    put_registry(office, STOLEN)
    sign_in_with(office, office.pin, known).staff.close()
    roll_back(office, "registry")
    folder = world.people / "registro"
    said = ["--server", office.people_url, "--pin", office.pin, "--known", str(known), "--login", "registro"]
    said += ["--passphrase-file", str(folder / "passphrase.txt"), "--key", str(folder / "registrar.key")]
    said += ["--key-passphrase-file", str(folder / "passphrase.txt"), "--confirm", words]
    done = CliRunner().invoke(main, ["device", "revoke", dev, *said])
    assert done.exit_code != 0
    assert "document.rolled_back" in done.output + repr(done.exception)
    assert office.field.rows("select count(*) from orders") == [(0,)]
