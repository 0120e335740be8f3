"""Canaries: answers of respondents never appear in any file of the server, in normal operation and after failures.

A real server runs in its own process. After each scenario the tests search all files that it wrote or holds open, also
unpacked and decoded. Further tests plant canaries and verify that the search finds them.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import re
import sqlite3
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from conftest import World
from screening_forms.engine.evaluator import load_engine
from server.cli.demo.server_process import ServerProcess, free_ports
from server.cli.demo.story import Demo, enrol_tablet, publish_form
from server.cli.terminal import now_ms
from support.clients import FORM, answers, compiled
from support.waiting import PATIENCE, wait_until_read
from sync.documents import trust
from sync.documents.signed import Document, sign_bare
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import Route
from sync.envelope.verify import ChainPosition
from sync.exchange import messages
from sync.exchange.staff_session import StaffSession
from sync.exchange.transport import RefusedError
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SealPublicKey, SigningKey
from sync.tablet.client import Tablet

PEOPLE = ("1_huepetuhe_quz", "4_inambari_minor")
MARK = "Kanaryo-Qhilqasqa"  # a careless client sends this in a wrong place
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
URL_SAFE = bytes.maketrans(b"-_", b"+/")
PACKED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
SPOOLED = 700_000  # bytes; from half a megabyte on the server keeps a body in a file


def answered(name: str) -> set[bytes]:
    """An interview's answers in the usual ways of writing them: XML, JSON and form data."""
    words = set()
    for question, value in answers(name).items():
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        words |= {f"<{question}>{text}<".encode(), f"{question}={text}&".encode()}
        words |= {f'"{question}":{gap}{json.dumps(value)}'.encode() for gap in ("", " ")}
    return words


@dataclass
class Watch:
    """All places where a process writes, and the canaries that must not appear there."""

    folders: tuple[Path, ...]
    canaries: set[bytes]
    process: int

    def found(self) -> dict[str, str]:
        """Return the canaries that were found, each with a place."""
        return {
            canary.decode(): place
            for place, content in self.contents()
            for reading in readings(content)
            for canary in self.canaries
            if canary in reading
        }

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield each file in the folders, and the deleted files that the process holds open."""
        for folder in self.folders:
            yield from ((path.name, path.read_bytes()) for path in folder.rglob("*") if path.is_file())
        yield from ((str(path), path.read_bytes()) for path in self.nameless())

    def nameless(self) -> list[Path]:
        """List open files of the process that were deleted. Temporary files on Unix are deleted from the start."""
        return [path for path, target in self._open() if target.endswith(" (deleted)")]

    def elsewhere(self) -> list[str]:
        """List files outside the folders that the process holds open for writing."""
        written = (target.removesuffix(" (deleted)") for path, target in self._open() if is_written(path))
        return [name for name in written if not any(Path(name).is_relative_to(folder) for folder in self.folders)]

    def _open(self) -> list[tuple[Path, str]]:
        found = []
        for path in Path(f"/proc/{self.process}/fd").iterdir():
            try:
                target = os.readlink(path)
            except FileNotFoundError:
                continue
            if target.startswith("/") and not target.startswith("/dev/"):
                found.append((path, target))
        return found


def is_written(path: Path) -> bool:
    """True if the open file /proc/<process>/fd/<number> was opened for writing."""
    flags = re.search(r"^flags:\s*([0-7]+)$", (path.parent.parent / "fdinfo" / path.name).read_text(), re.MULTILINE)
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY


def readings(content: bytes) -> Iterator[bytes]:
    """Yield the bytes, the contents of gzip and zlib members in them, and decoded base64 in them, packed or not."""
    yield content
    yield from unpacked(content)
    runs = BASE64.findall(content)
    for skipped in range(4):
        decoded = b"\n".join(filter(None, (decode(run[skipped:]) for run in runs)))
        yield decoded
        yield from unpacked(decoded)


def unpacked(content: bytes) -> Iterator[bytes]:
    """Yield the content of each gzip or zlib member in the bytes."""
    for start in PACKED.finditer(content):
        try:
            yield zlib.decompressobj(47).decompress(content[start.start() :], 4_000_000)
        except zlib.error:
            continue  # not a gzip or zlib member


def decode(run: bytes) -> bytes:
    """Undo base64 of either alphabet, with or without padding."""
    whole = run.translate(URL_SAFE)[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(whole + b"=" * (-len(whole) % 4))


# Scenarios


@dataclass
class Scene:
    """The running server, the folder of a certified tablet, and the watch over the server's files."""

    stage: Demo
    world: World
    public: set[bytes] = field(default_factory=set)  # content from before any answer: the form, the desks

    def watch(self) -> Watch:
        """Return a watch over the current server process."""
        running = self.stage.server.running
        assert running is not None
        folder = self.stage.folder
        secrets = {self.world.passphrase(login).encode() for login in ("proteccion-17", "publicacion", "registro")}
        canaries = {MARK.encode(), *secrets}.union(*map(answered, PEOPLE))
        return Watch((*self.stage.server.folders, folder / "tmp"), canaries - self.public, running.pid)

    def tablet(self) -> Tablet:
        """Open the tablet."""
        return Tablet(self.stage.tablet)

    def device(self) -> SigningKey:
        """The tablet's key."""
        return load_secret(self.stage.tablet / "device.key", SigningKey)

    def push(self, tablet: Tablet, *envelopes: bytes) -> list[dict[str, object]]:
        """Send any bytes as envelopes, in a request that the tablet signs. Returns the receipts."""
        request = messages.Request(tablet.outbox.sync_state.next_batch(now_ms()).number, now_ms(), envelopes=envelopes)
        message = messages.write_request(request, self.device())
        headers = {"Content-Type": messages.CONTENT_TYPE, messages.SIGNATURE_HEADER: message.signature}
        reply = tablet.transport.send("POST", messages.PATH, message.body, headers)
        answer = messages.Message(reply.body, reply.headers[messages.SIGNATURE_HEADER.lower()])
        servers = trust.read(Document.parse(tablet.transport.get("/v1/trust"))).servers
        asked: dict[str, Any] = {"dev": self.device().kid, "n": request.n, "envelopes": envelopes}
        response = messages.read_response(answer, servers, **asked)
        assert response.receipts is not None
        items: list[dict[str, object]] = response.receipts.content["items"]
        return items

    def database(self) -> sqlite3.Connection:
        """Open the server's database from this process."""
        return sqlite3.connect(self.world.config.database, timeout=PATIENCE, isolation_level=None)

    def log(self) -> str:
        """Return the server's log."""
        return (self.stage.server.folders[1] / "server.log").read_text(encoding="utf-8")


@pytest.fixture
def scene(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A server with the real form and a certified tablet. The watch includes its TMPDIR."""
    folder = world.data.parent
    (folder / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    stage = Demo(folder, ServerProcess(folder, *free_ports(2)), now_ms, world.pin)
    stage.server.start()
    try:
        for step in (publish_form, enrol_tablet):
            list(step(stage))
        scene = Scene(stage, world)
        scene.public = {canary.encode() for canary in scene.watch().found()}
        assert len(scene.public) < 5, "canaries must be words that are nowhere else"
        yield scene
    finally:
        stage.server.kill()


def a_good_day(scene: Scene) -> None:
    """Two interviews are sealed, delivered, opened at a desk, accepted and closed."""
    with scene.tablet() as tablet:
        for name in PEOPLE:
            tablet.screen(FORM, answers(name), date(2026, 11, 20))
        assert tablet.sync().waiting == 0
    with scene.stage.desk("proteccion-17") as desk:
        (referral,) = desk.list_referrals("17-protection", mode="training")
        assert desk.open_screening(referral["id"]).agrees
        desk.accept(referral["id"])
        desk.close(referral["id"], "attended")


def forgeries(scene: Scene) -> None:
    """The server rejects changed and truncated envelopes, and bytes that are not envelopes."""
    with scene.tablet() as tablet:
        raw = tablet.outbox.envelopes.list_stored()[0].raw
        items = scene.push(tablet, raw[:-8] + b"AAAAAAAA", raw[: len(raw) // 2], b"no envelope")
    assert [item["outcome"] for item in items] == ["rejected"] * 3


def an_unknown_version(scene: Scene) -> None:
    """The server holds a screening with an unknown form version."""
    scorer = load_engine(compiled().xform)
    with scene.database() as db:
        raw = db.execute("SELECT public FROM keyring_keys WHERE keyring = '17-protection'").fetchone()[0]
    sealed = seal.seal_envelope(
        Content(scorer.write_instance(scorer.run(answers(PEOPLE[0]))), Context("0" * 64)),
        to=SealPublicKey.from_raw(raw),
        route=Route(form=FORM, sha="0" * 64, mode="training", queue_kinds=("protection",), province="1702"),
        route_key=next(iter(scene.world.keys().routes.values())).public,
        device=scene.device(),
        jti=seal.new_screening_id(),
        position=ChainPosition(chain=seal.new_chain_id(), seq=1, kseq=1, prev=""),
        bucket=1024,
    )
    with scene.tablet() as tablet:
        assert [item["outcome"] for item in scene.push(tablet, sealed)] == ["held"]


def a_broken_server(scene: Scene) -> None:
    """A database table is missing: the sync gets status 500, and works again when the table is back."""
    with scene.tablet() as tablet, scene.database() as db:
        tablet.screen(FORM, answers(PEOPLE[0]), date(2026, 11, 20))
        db.execute("ALTER TABLE statistics_cells RENAME TO elsewhere")
        with pytest.raises(RefusedError, match=r"server\.failed"):
            tablet.sync()
        db.execute("ALTER TABLE elsewhere RENAME TO statistics_cells")
        assert tablet.sync().waiting == 0
    assert '"event": "failed"' in scene.log()


def a_large_body_half_sent(scene: Scene) -> None:
    """A body so large that many servers would write it to a file. The search runs while its rest is still missing."""
    with scene.tablet() as tablet:
        raw, number = (
            tablet.outbox.envelopes.list_stored()[0].raw.decode(),
            tablet.outbox.sync_state.next_batch(now_ms()).number,
        )
    many = [raw] * (SPOOLED // len(raw))
    content = {"protocol": messages.PROTOCOL, "n": number, "at": now_ms(), "envelopes": many}
    body, device = json.dumps(content).encode(), scene.device()
    door = http.client.HTTPConnection("127.0.0.1", scene.stage.server.tablets_port, timeout=PATIENCE)
    door.putrequest("POST", messages.PATH)
    door.putheader("Content-Length", str(len(body)))
    door.putheader(messages.SIGNATURE_HEADER, f"{device.kid}.{sign_bare(body, device, messages.REQUEST_TYP)}")
    door.endheaders(body[:-1000])
    wait_until_read(door.sock)
    assert not any(raw.encode() in path.read_bytes() for path in scene.watch().nameless())
    assert scene.watch().found() == {}
    door.send(body[-1000:])
    assert door.getresponse().status == 200
    door.close()


def careless_clients(scene: Scene) -> None:
    """The server rejects answers in paths, headers and wrong bodies, and writes them nowhere."""
    plain = json.dumps(answers(PEOPLE[0])).encode()
    server = scene.stage.server
    for port in (server.tablets_port, server.people_port):
        for method, path, body in (
            ("GET", f"/v1/forms/{MARK}/{MARK}?debug={MARK}", b""),
            ("GET", f"/{MARK}", b""),
            ("POST", messages.PATH, plain),
            ("POST", "/v1/enrolments", MARK.encode() + b"\n" + plain),
            ("POST", "/v1/session", json.dumps({"challenge": MARK, "proof": MARK}).encode()),
            ("POST", "/v1/session", b'{"login": "' + MARK.encode()),
            ("POST", messages.PATH, MARK.encode() * (messages.MAX_BODY_BYTES // len(MARK) + 1)),
        ):
            door = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            headers = {"X-Debug": MARK, "Cookie": f"chaski_session={MARK}", "Chaski-Request": "1"}
            headers |= {"Content-Type": "application/json", messages.SIGNATURE_HEADER: f"{scene.device().kid}.{MARK}"}
            door.request(method, path, body or None, headers)
            answer = door.getresponse()
            assert 400 <= answer.status < 500, (path, answer.status)
            assert not (body and MARK.encode() in answer.read()), path
            door.close()
    assert '"status": 413' in scene.log()
    phrase = scene.world.passphrase("proteccion-17")
    with pytest.raises(RefusedError, match=r"session\.refused"):
        StaffSession.sign_in(
            server.people_url, phrase, phrase, pin=scene.stage.pin
        )  # the passphrase in the wrong field
    with scene.stage.desk("ninez-17") as desk:
        (referral,) = desk.list_referrals("17-child", mode="training")
        with pytest.raises(RefusedError):
            desk.close(referral["id"], f"attended {MARK}")


def restarts(scene: Scene) -> None:
    """The server is stopped, started, killed in the middle of its work, started again."""
    scene.stage.server.stop()
    scene.stage.server.start()
    with scene.tablet() as tablet:
        tablet.screen(FORM, answers(PEOPLE[1]), date(2026, 11, 20))
        assert tablet.sync().waiting == 0
    scene.stage.server.kill()
    assert (scene.world.data / "chaski.db-wal").stat().st_size > 0
    scene.stage.server.start()


DAYS: tuple[Callable[[Scene], None], ...] = (
    a_good_day,
    forgeries,
    an_unknown_version,
    a_broken_server,
    a_large_body_half_sent,
    careless_clients,
    restarts,
)


def test_no_answer_is_in_any_file_of_the_server_after_any_scenario(scene: Scene) -> None:
    for day in DAYS:
        day(scene)
        assert scene.watch().found() == {}, day.__doc__
        assert scene.watch().elsewhere() == [], day.__doc__
    assert '"route": "/v1/sync"' in scene.log(), "the log is really there to be searched"


# The search itself


def in_a_database(path: Path, canary: bytes) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE notes (text TEXT)")
        db.execute("INSERT INTO notes VALUES (?)", [canary.decode()])


def in_a_write_ahead_log(path: Path, canary: bytes) -> None:
    """Write it to the log only, like a process that was killed before the checkpoint."""
    with sqlite3.connect(path.with_suffix(".db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE notes (text TEXT)")
        db.execute("INSERT INTO notes VALUES (?)", [canary.decode()])
        db.commit()
        path.write_bytes(path.with_suffix(".db-wal").read_bytes())
    db.close()
    path.with_suffix(".db").unlink()


PLANTED: dict[str, Callable[[Path, bytes], object]] = {
    "in clear": lambda path, canary: path.write_bytes(b"before" + canary + b"after"),
    "in a database": in_a_database,
    "in a write-ahead log": in_a_write_ahead_log,
    "gzip in the middle of a file": lambda path, canary: path.write_bytes(b"head" + gzip.compress(canary) + b"tail"),
    "zlib": lambda path, canary: path.write_bytes(zlib.compress(canary)),
    "base64": lambda path, canary: path.write_bytes(b'{"a":"' + base64.b64encode(b"some" + canary) + b'"}'),
    "base64url behind other letters": lambda path, canary: path.write_bytes(b"x" + base64.urlsafe_b64encode(canary)),
    "gzip in base64": lambda path, canary: path.write_bytes(base64.b64encode(gzip.compress(canary))),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_planted_canary_is_found(plant: Callable[[Path, bytes], object], tmp_path: Path) -> None:
    canaries = answered(PEOPLE[0])
    canary = max(canaries, key=len)
    # A separate process, because pytest's may hold deleted files of other tests open.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as idle:
        watch = Watch((tmp_path,), canaries, idle.pid)
        assert watch.found() == {}
        plant(tmp_path / "file", canary)
        assert watch.found() == {canary.decode(): "file"}


def test_a_canary_in_an_unnamed_temporary_file_is_found(tmp_path: Path) -> None:
    with tempfile.TemporaryFile(dir=tmp_path) as nameless:
        nameless.write(b"<nobody>knows<")
        nameless.flush()
        assert list(tmp_path.iterdir()) == []
        watch = Watch((tmp_path,), {b"<nobody>knows<"}, os.getpid())
        assert list(watch.found()) == ["<nobody>knows<"]
        assert Watch((tmp_path / "another",), set(), os.getpid()).elsewhere() != []
