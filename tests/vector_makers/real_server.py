"""Results of vectors that need a server or a tablet's store, computed by the real ones over a new SQLite file each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from server.database.connection import Database
from server.database.sqlite import SqliteDatabase
from server.flows.desks import routing
from server.flows.desks.routing import Rulebook
from server.flows.intake import gaps, sync_request
from server.flows.trust import enrolment
from server.server_keys import ServerKeys
from server.store import devices, queues, versions
from server.store.queues import Queue
from server.store.versions import NewVersion
from sync.documents import courier_receipt, manifest, registry, trust
from sync.documents.enrolment import Certificate
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.exchange.bundle_stream import Piece, Wanted
from sync.exchange.messages import Message, Request, read_response, write_request
from sync.exchange.transport import Reply
from sync.keys.key_pairs import RouteKey, SigningKey, VerifyKey
from sync.tablet.form_selection import FormSelection
from sync.tablet.orders import execute
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_records import SyncResult
from sync.tablet.trusted_documents import DocumentSource, TrustedDocuments, select_forms
from sync.wire.encoding import unb64u
from vector_makers.fixed_inputs import GENERATION, NOW, SERVER, fixed

CARRIER = SigningKey(fixed("carrier"))
RULES = routing.read_rules()
HOURS = {"immediate": 1, "prompt": 24, "routine": 72}


def _trust(text: str) -> Trust:
    return trust.reopen(Document.parse(text.encode()))


@contextmanager
def _server(*known: tuple[VerifyKey, str]) -> Iterator[Database]:
    """A new server database with pending, certified and revoked tablets."""
    with TemporaryDirectory() as folder:
        db = SqliteDatabase(Path(folder) / "chaski.db", create=True)
        with db.write() as w:
            for rule in RULES:
                queues.put_queue(w, Queue(rule.queue, rule.site, rule.queue_kind, rule.keyring, rule.title_es))
            for key, state in known:
                devices.add_device(w, dev=key.kid, key=key.raw, label="", region="17", at=NOW)
                if state != "pending":
                    devices.certify(w, key.kid, certificate=b"", label="", region="17", at=NOW)
                if state == "revoked":
                    devices.revoke(w, key.kid, at=NOW)
        yield db
        db.close()


def _answer(db: Database, message: Message, *opens: RouteKey) -> Message:
    keys = ServerKeys(SERVER, {key.kid: key for key in opens})
    return sync_request.answer_request(db, message, keys=keys, rulebook=Rulebook(RULES, HOURS), now=NOW)[0]


def taken_in(given: dict[str, Any]) -> dict[str, Any]:
    """Send the envelopes to a server from another tablet. One request or several give the same result."""
    together, apart = ([given["envelopes"]], [[raw] for raw in given["envelopes"]])
    taken = _carried(given, together)
    assert _carried(given, apart) == taken
    return taken


def _carried(given: dict[str, Any], batches: list[list[str]]) -> dict[str, Any]:
    known = [(VerifyKey.from_raw(unb64u(each["key"])), each["state"]) for each in given["devices"]]
    route_key = RouteKey.from_secret(unb64u(given["route_secret"]))
    items: list[dict[str, Any]] = []
    seq: dict[str, int] = {}
    with _server((CARRIER.public, "certified"), *known) as db:
        with db.write() as w:
            for number, sha in enumerate(given["versions"]):
                known_form = NewVersion("forma", str(number), "training", sha, "", "", b"", None)
                versions.add_version(w, known_form, state="published", author="", at=NOW)
        for n, batch in enumerate(batches, start=1):
            asked = Request(n=n, at=NOW, envelopes=tuple(raw.encode() for raw in batch))
            answer = _answer(db, write_request(asked, CARRIER), route_key)
            servers = {SERVER.kid: SERVER.public}
            read = read_response(answer, servers, dev=CARRIER.kid, n=n, envelopes=asked.envelopes)
            assert read.receipts is not None
            items += read.receipts.content["items"]
            seq |= read.seq
    return {"items": items, "seq": seq}


def listed_as_lost(given: dict[str, Any]) -> list[list[int]]:
    """Return what a server asks a tablet for again that holds a receipt for this number; these rows are stored."""
    dev, chain = CARRIER.kid, "chain"
    put = (
        "insert into envelopes (id, dev, jti, chain, seq, kseq, prev, kid, outcome, body, size, received)"
        " values (?, ?, ?, ?, ?, 1, '', '', 'stored', x'', 0, 0)"
    )
    with _server((CARRIER.public, "certified")) as db, db.write() as w:
        for place, seq in enumerate(given["stored"]):
            w.execute(put, [str(place), dev, str(place), chain, seq])
        found = gaps.list_lost(w, dev, {chain: given["receipted"]}, now=NOW)
    return [[gap.first, gap.last] for gap in found.get(chain, [])]


def answered(given: dict[str, Any]) -> None:
    """Send requests to a server one after another; all but the last must succeed."""
    key = VerifyKey.from_raw(unb64u(given["device"]))
    messages = [Message(unb64u(each["body"]), each["signature"]) for each in given["requests"]]
    with _server((key, "certified")) as db:
        for message in messages:
            _answer(db, message)


def readmitted(given: dict[str, Any]) -> str:
    """Send a tablet's certificate to a server that does not know the tablet; return the tablet's new state."""
    pins, known = _trust(given["trust"]), Document.parse(given["registry"].encode())
    in_force = registry.accept(known, pins, None)
    body, dev = given["document"].encode(), given["dev"]
    with _server() as db:
        return enrolment.readmit_device(db, body, dev, trust=pins, registry=in_force, now=NOW).state


@contextmanager
def _outbox() -> Iterator[Outbox]:
    with TemporaryDirectory() as folder, Outbox(Path(folder) / "outbox.db") as outbox:
        yield outbox


def worked_with(given: dict[str, Any]) -> dict[str, Any]:
    """Select the form versions of a manifest with a tablet's store, from a server that has these versions."""
    trusted = _trust(given["trust"])
    held = manifest.accept(Document.parse(given["held"].encode()), trusted, None) if given["held"] else None
    offered = manifest.accept(Document.parse(given["manifest"].encode()), trusted, held)
    certificate = Certificate(given["dev"], SERVER.public, given["region"], "", 1)
    held_bundles = {form: Document.parse(text.encode()) for form, text in given["in_use"].items()}
    in_use = {form: document.sha256 for form, document in held_bundles.items()}
    with _outbox() as outbox:
        bundles = {f"bundle/{each.sha256}": each.to_bytes() for each in held_bundles.values()}
        outbox.documents.update(bundles, selection=FormSelection(in_use))
        registered: Any = None  # Nothing here asks for a keyring.
        documents = TrustedDocuments({}, trusted, registered, offered, certificate, versions=in_use)
        server: Any = _Forms(given["served"])
        source = DocumentSource(outbox, server, lambda form, payload: None, frozenset(), given["now"])
        taken, _ = select_forms(documents, source, outbox.documents.form_selection(), again=True)
    refused = {sha: refusal.code for sha, refusal in taken.refused.items()}
    return {"in_use": taken.in_use, "refused": refused, "old": trusted.is_expired(given["now"])}


class _Forms:
    """A transport to a server that has form versions and nothing else."""

    def __init__(self, served: dict[str, str]) -> None:
        self._served = served

    @contextmanager
    def stream(self, path: str, headers: dict[str, str]) -> Iterator[tuple[Reply, Iterator[bytes]]]:
        wanted = [Wanted.parse(each).sha for each in path.partition("want=")[2].split(",")]
        pieces = [
            Piece(sha, "", self._served[sha].encode()) if sha in self._served else Piece(sha, code="form.unknown")
            for sha in wanted
        ]
        yield Reply({}, b""), (piece.to_bytes() for piece in pieces)


def obeyed(given: dict[str, Any]) -> dict[str, Any]:
    """Carry out orders with a tablet's store."""
    trusted = _trust(given["trust"])
    with _outbox() as outbox, TemporaryDirectory() as drafts:
        for text in given["documents"]:
            execute([Document.parse(text.encode())], trusted, given["dev"], outbox, Path(drafts))
        standing = outbox.orders.tablet_state()
    return {"last": standing.orders, "revoked": standing.revoked, "wiped": standing.wiped}


def copied(given: dict[str, Any]) -> dict[str, Any]:
    """Return whether a tablet's store begins a new chain after this response, and what it reports of the old one."""
    chain = ""
    with _outbox() as outbox:
        for number in range(given["written"]):
            chain = outbox.envelopes.append("national", str(number), lambda place: repr(place).encode()).chain
        ended = [_told(outbox, chain, given["told"], given["code"])]
        ended += [_told(outbox, chain, seq) for seq in given["later"]]
        return {"begins": outbox.orders.tablet_state().copied, "ended": ended}


def _told(outbox: Outbox, chain: str, seq: int | None, code: str = "") -> int | None:
    """Give the store this response; return what its next request reports of the chain."""
    batch = outbox.sync_state.next_batch(NOW)
    if code:
        outbox.sync_state.renumber(batch.number if code == "sync.number_used" else 0)
    else:
        told = {} if seq is None else {chain: seq}
        outbox.sync_state.record_answer(
            batch, SyncResult(GENERATION, NOW, NOW, receipts=(), events=(), cursor=0, seq=told)
        )
    return outbox.sync_state.load().ended.get(chain)


def settled_by_courier(given: dict[str, Any]) -> dict[str, Any]:
    """Give a courier's receipts to a tablet that has every envelope that they name, without a receipt."""
    trusted, refused = _trust(given["trust"]), list[str]()
    documents = [Document.parse(each.encode()) for each in given["documents"]]
    ids = sorted({item["id"] for document in documents for item in document.content.get("items", ())})
    with TemporaryDirectory() as folder, Outbox(Path(folder) / "outbox.db") as outbox:
        outbox.connection.execute("UPDATE place SET generation = ?", (given["generation"],))
        outbox.connection.executemany(
            "INSERT INTO envelope (id, jti, chain, seq, raw, state, outcome, at)"
            " VALUES (?1, ?1, '', ?2, x'', 'pending', '', 0)",
            [(identity, number) for number, identity in enumerate(ids, 1)],
        )
        for document in documents:
            try:
                receipts = courier_receipt.accept(document, trusted, dev=given["dev"])
                outbox.sync_state.record_courier_receipts(receipts, here=NOW)
            except SyncError as wrong:
                refused.append(wrong.code)
        done = sorted(each.id for each in outbox.envelopes.list_stored() if each.state == "receipted")
        return {"done": done, "generation": outbox.sync_state.load().generation, "refused": refused}
