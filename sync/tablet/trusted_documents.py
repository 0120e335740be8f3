"""The tablet's trust, registry, manifest and certificate.

All four are verified and stored in one step; an older document never replaces a newer one. If one does not verify, all
stored documents stay. `sync.tablet.client` calls it.
"""

from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sync.documents import bundle, enrolment, manifest, registry, trust
from sync.documents.enrolment import Certificate
from sync.documents.manifest import Manifest
from sync.documents.registry import Keyring, Registry
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.exchange.transport import RefusedError, Transport
from sync.exchange.trust_chain import follow_trusts
from sync.tablet.document_store import FORMER, DocumentStore
from sync.tablet.form_download import FormDownload
from sync.tablet.form_selection import FormSelection, select_versions
from sync.tablet.keyring_keys import by_hash, collect_keys, key_name
from sync.tablet.outbox import Outbox
from sync.tablet.received_documents import ReceivedDocuments
from sync.wire.encoding import canonical, strict_json
from sync.wire.json_object import TEXT, JsonObject

DOCUMENTS = ("trust", "registry", "manifest", "certificate")
MAX_FORMS_GONE = 16
"""Of so many forms that the manifest no longer names, the last version stays on board."""


@dataclass(frozen=True)
class TrustedDocuments:
    """The four documents of a certified tablet: the `signed` originals by name, and their parsed contents.

    `versions` is the SHA-256 of the form version in use, by form id. A `wiped` tablet uses no form and no keyring,
    whatever the documents list.
    """

    signed: Mapping[str, Document]
    trust: Trust
    registry: Registry
    manifest: Manifest
    certificate: Certificate
    wiped: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def keyrings(self) -> tuple[Keyring, ...]:
        """The keyrings of the registry that this tablet may seal to."""
        return () if self.wiped else tuple(self.registry.keyrings.values())

    @property
    def named(self) -> dict[str, str]:
        """The SHA-256 of the form version that the manifest names for this tablet, by form id."""
        if self.wiped:
            return {}
        dev, region = self.certificate.dev, self.certificate.region
        return self.manifest.list_for(dev, region)


def verify_all(
    offered: Mapping[str, Document], held: TrustedDocuments | None, *, trusted: Trust, dev: str
) -> TrustedDocuments:
    """Replace held documents by offered ones and verify them by `trusted`; none may be older than the one held.

    `trusted` is the parsed trust of the result. It was accepted before: after the held one, or by a pin.
    """
    documents = {**(held.signed if held else {}), **offered}
    return TrustedDocuments(
        documents,
        trusted,
        registry.accept(documents["registry"], trusted, held.registry if held else None),
        manifest.accept(documents["manifest"], trusted, held.manifest if held else None),
        enrolment.accept_certificate(documents["certificate"], trusted, dev, _held_certificate(held, trusted, dev)),
        wiped=held is not None and held.wiped,
        versions=held.versions if held else {},
    )


def _held_certificate(held: TrustedDocuments | None, trusted: Trust, dev: str) -> Certificate | None:
    """Return the held certificate, or None if the trust no longer names its registrar: then it sets no number."""
    with suppress(SyncError):
        return enrolment.accept_certificate(held.signed["certificate"], trusted, dev) if held else None
    return None


def load_documents(outbox: Outbox, *, dev: str) -> TrustedDocuments | None:
    """Return the stored documents, verified again; None until the tablet is certified.

    The stored trust is the last accepted one, so its own roots decide, whatever pin the invitation had.
    """
    held = {name: Document.parse(body) for name in DOCUMENTS if (body := outbox.documents.get(name)) is not None}
    if len(held) < len(DOCUMENTS):
        return None
    documents = verify_all(held, None, trusted=trust.reopen(held["trust"]), dev=dev)
    state, names = outbox.orders.tablet_state(), outbox.documents.list_names()
    documents = replace(documents, wiped=state.wiped or bool(state.wiping))
    # Stores from before version refusals do not list the versions in use. Whatever a store lists, a version without its
    # bundle is not in use: it is fetched again, and does not hold up the others.
    listed = outbox.documents.form_selection().in_use or documents.named
    in_use = {form: sha for form, sha in listed.items() if f"bundle/{sha}" in names}
    return replace(documents, versions={} if documents.wiped else in_use)


def accept_received(held: TrustedDocuments, received: ReceivedDocuments, *, dev: str) -> TrustedDocuments:
    """Return the held documents with those of sync responses in place of older ones, all verified."""
    offered = {"registry": received.registry, "manifest": received.manifest}
    newer = {name: document for name, document in offered.items() if document is not None}
    trusted = held.trust
    if received.trust:
        trusted, newer["trust"] = trust.accept_chain(received.trust, held.trust, held.trust.pin), received.trust[-1]
    return verify_all(newer, held, trusted=trusted, dev=dev) if newer else held


def fetch_documents(
    transport: Transport, held: TrustedDocuments | None, known: Trust | None, *, pin: str, dev: str
) -> tuple[TrustedDocuments, dict[str, bytes]] | None:
    """Fetch the newest of all four documents, and public keys by their hashes; None until a registrar has certified.

    `known` is the trust that the tablet holds since its enrolment. Only without one, `pin` counts, the invitation's.
    """
    try:
        answer = transport.get(f"/v1/enrolments/{dev}/documents?trust={known.number if known else 0}")
    except RefusedError as refused:
        if refused.code == "device.not_certified":
            return None
        raise
    told = JsonObject(strict_json(answer), "the documents")
    offered = {name: Document.parse(told.text(name, TEXT).encode()) for name in DOCUMENTS[1:]}
    trusts = tuple(Document.parse(each.encode()) for each in told.texts("trusts", TEXT))
    if known is None or trusts:
        trusts = follow_trusts(transport.get, trusts, known, pin)
        trusted, offered["trust"] = trust.accept_chain(trusts, known, pin), trusts[-1]
    else:
        trusted = known
    offered["certificate"] = _newest_certificate(offered["certificate"], transport, held, trusted=trusted, dev=dev)
    return verify_all(offered, held, trusted=trusted, dev=dev), by_hash(told.texts("keys", TEXT))


def _newest_certificate(
    offered: Document, transport: Transport, held: TrustedDocuments | None, *, trusted: Trust, dev: str
) -> Document:
    """Return the certificate to work with. A server that was restored has an older one, and gets the newer one back."""
    try:
        enrolment.accept_certificate(offered, trusted, dev, _held_certificate(held, trusted, dev))
    except SyncError as wrong:
        if held is None or wrong.code != "document.rolled_back":
            raise
        send_certificate(transport, held, dev)
        return held.signed["certificate"]
    return offered


def send_certificate(transport: Transport, held: TrustedDocuments, dev: str) -> None:
    """Send the tablet's certificate to a server that lost it (SPEC 5.5)."""
    transport.send("PUT", f"/v1/enrolments/{dev}", held.signed["certificate"].to_bytes())


@dataclass(frozen=True)
class DocumentSource:
    """Where trusted documents are stored and where new ones come from; `now` is the tablet's clock (ms).

    `usable` gets a form id and the verified payload of its new bundle, and raises if the tablet cannot run it. `keep`
    names bundles to store although they are no longer in use. With `again`, recent refusals are tried again. `keys`
    are public keys that came with the documents, by their hashes; `along` is the stream of versions that did, as text.
    """

    outbox: Outbox
    transport: Transport
    usable: Callable[[str, bytes], None]
    keep: Set[str]
    now: int
    again: bool = False
    keys: Mapping[str, bytes] = field(default_factory=dict)
    along: str = ""


def update_documents(documents: TrustedDocuments, source: DocumentSource) -> tuple[str, ...]:
    """Fetch missing bundles and keys, then store all documents in one transaction; return the names of new ones.

    A bundle is stored as soon as it has arrived, but it is in use only after this transaction.
    """
    store = source.outbox.documents
    before = store.form_selection()
    wanted = {name: document.to_bytes() for name, document in documents.signed.items()}
    changed = {name for name, body in wanted.items() if body != store.get(name)}
    # A new trust or manifest may change earlier decisions, so all versions are checked again.
    taken, arrived = select_forms(
        documents, source, before, again=source.again or not changed.isdisjoint(("trust", "manifest"))
    )
    near = () if documents.wiped else documents.registry.keyrings_near(documents.certificate.region)
    arrived_keys = collect_keys(documents.keyrings, near, store, source.transport, source.keys)
    wanted |= arrived_keys
    former = _list_former(documents, store, taken)
    wanted[FORMER] = canonical(former)
    new = {name: body for name, body in wanted.items() if body != store.get(name)}
    keys = {key_name(keyring) for keyring in documents.keyrings}
    used = {f"bundle/{sha}" for sha in (*taken.in_use.values(), *former.values())} | keys | source.keep
    outdated = {
        name for name in store.list_names() if name.startswith(("bundle/", "key/", ReceivedDocuments.NAME))
    } - used
    if new or outdated or (taken.in_use, taken.refused) != (before.in_use, before.refused):
        store.update(new, outdated, taken)
    return tuple(sorted((new.keys() | arrived_keys.keys() | {f"bundle/{sha}" for sha in arrived}) - {FORMER}))


def _list_former(documents: TrustedDocuments, store: DocumentStore, taken: FormSelection) -> dict[str, str]:
    """Return the version of each form that was in use before: a halt or a way back then costs no download."""
    if documents.wiped:
        return {}
    left = {form: sha for form, sha in documents.versions.items() if taken.in_use.get(form) != sha}
    former = {**store.former_versions(), **left}
    kept = [(form, sha) for form, sha in former.items() if taken.in_use.get(form) != sha]
    # Of forms without a version in use only some are kept, so that their number cannot grow for ever.
    gone = [form for form, _ in kept if form not in taken.in_use]
    return {form: sha for form, sha in kept if form not in gone[:-MAX_FORMS_GONE]}


def select_forms(
    documents: TrustedDocuments, source: DocumentSource, before: FormSelection, *, again: bool
) -> tuple[FormSelection, frozenset[str]]:
    """Choose among the form versions that the manifest names; return also the versions that arrived now."""
    not_retried = {} if again else {sha: each for sha, each in before.refused.items() if each.is_recent(source.now)}
    doubted = {*documents.versions.values()} if again else {*before.refused}
    bundles = Bundles(documents, source)

    def select(fetch: Callable[[str, str], bytes]) -> FormSelection:
        return select_versions(
            documents.named, documents.versions, fetch, doubted=doubted, not_retried=not_retried, now=source.now
        )

    select(bundles.find_on_board)
    bundles.fetch_missing()
    return select(bundles.get_bundle), frozenset(bundles.download.taken)


class Bundles:
    """The bundles that a selection of versions needs: those on board, and the others in one download."""

    def __init__(self, documents: TrustedDocuments, source: DocumentSource) -> None:
        self._documents, self._source = documents, source
        self._on_board, self._missing = dict[str, bytes](), dict[str, str]()
        store = source.outbox.documents
        before = {**store.former_versions(), **documents.versions}
        former = {sha: before[form] for form, sha in documents.named.items() if form in before}
        self.download = FormDownload(store, source.transport, self._accept, former, [*documents.versions.values()])

    def find_on_board(self, form: str, sha: str) -> bytes:
        """Return the bundle on board, verified, or note that it has to be fetched."""
        self._missing[sha] = form
        with suppress(SyncError):
            if (body := self._source.outbox.documents.get(f"bundle/{sha}")) is not None:
                self._accept(sha, body)
                self._on_board[sha] = body
                del self._missing[sha]
        return b""

    def fetch_missing(self) -> None:
        """Fetch what is not on board, in one request."""
        if self._missing:
            self.download.take_along(self._source.along, self._missing)
            self.download.fetch(self._missing)

    def get_bundle(self, form: str, sha: str) -> bytes:
        """Return a bundle, or raise the error for which it was refused."""
        if sha in self.download.refused:
            raise self.download.refused[sha]
        return self._on_board[sha] if sha in self._on_board else self.download.taken[sha]

    def _accept(self, sha: str, body: bytes) -> None:
        form = self._missing[sha]
        payload = bundle.accept(Document.parse(body), self._documents.trust, sha)
        if self._documents.versions.get(form) != sha:
            self._source.usable(form, payload)
