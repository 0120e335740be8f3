"""The tablet's trust, registry, manifest and certificate.

All four are verified and stored in one step; an older document never replaces a newer one. If one does not verify, all
stored documents stay. `sync.tablet.client` calls it.
"""

from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from sync.documents import bundle, enrolment, manifest, registry, trust
from sync.documents.enrolment import Certificate
from sync.documents.manifest import Manifest
from sync.documents.registry import Registry
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.exchange.messages import Response
from sync.exchange.transport import RefusedError, Transport
from sync.exchange.trust_chain import fetch_trusts
from sync.tablet.form_selection import FormSelection, select_versions
from sync.tablet.outbox import Outbox

DOCUMENTS = ("trust", "registry", "manifest", "certificate")


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
    def named(self) -> dict[str, str]:
        """The SHA-256 of the form version that the manifest names for this tablet, by form id."""
        if self.wiped:
            return {}
        dev, region = self.certificate.dev, self.certificate.region
        chosen = {form: self.manifest.choose(form, dev, region) for form in sorted(self.manifest.forms)}
        return {form: sha for form, sha in chosen.items() if sha}


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
        enrolment.accept_certificate(documents["certificate"], trusted, dev),
        wiped=held is not None and held.wiped,
        versions=held.versions if held else {},
    )


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
    # Stores from before version refusals do not list the versions in use: then all stored versions that the manifest
    # names are in use.
    in_use = outbox.documents.form_selection().in_use or {
        form: sha for form, sha in documents.named.items() if f"bundle/{sha}" in names
    }
    return replace(documents, versions={} if documents.wiped else in_use)


def accept_response(held: TrustedDocuments, response: Response, *, dev: str) -> TrustedDocuments:
    """Return the held documents with those of a sync response in place of older ones, all verified."""
    offered = {"registry": response.registry, "manifest": response.manifest}
    newer = {name: document for name, document in offered.items() if document is not None}
    trusted = held.trust
    if response.trust:
        trusted, newer["trust"] = trust.accept_chain(response.trust, held.trust, held.trust.pin), response.trust[-1]
    return verify_all(newer, held, trusted=trusted, dev=dev) if newer else held


def fetch_documents(
    transport: Transport, held: TrustedDocuments | None, *, pin: str, dev: str
) -> TrustedDocuments | None:
    """Fetch and verify the newest of all four documents; None until a registrar has certified the tablet.

    `pin` is the invitation's. It counts only while no trust is held.
    """
    try:
        certificate = transport.get(f"/v1/enrolments/{dev}")
    except RefusedError as refused:
        if refused.code == "device.not_certified":
            return None
        raise
    known = held.trust if held else None
    trusts = fetch_trusts(transport.get, known, pin)
    offered = {
        "trust": trusts[-1],
        "registry": Document.parse(transport.get("/v1/registry")),
        "manifest": Document.parse(transport.get("/v1/manifest")),
        "certificate": Document.parse(certificate),
    }
    return verify_all(offered, held, trusted=trust.accept_chain(trusts, known, pin), dev=dev)


@dataclass(frozen=True)
class DocumentSource:
    """Where trusted documents are stored and where new ones come from; `now` is the tablet's clock (ms).

    `usable` gets a form id and the verified payload of its new bundle, and raises if the tablet cannot run it. `keep`
    names bundles to store although they are no longer in use. With `again`, recent refusals are tried again.
    """

    outbox: Outbox
    transport: Transport
    usable: Callable[[str, bytes], None]
    keep: Set[str]
    now: int
    again: bool = False

    def bundle(self, documents: TrustedDocuments, form: str, sha: str) -> bytes:
        """Return a version's verified bundle: the stored one, else the server's, which may have other signatures."""
        on_board = self.outbox.documents.get(f"bundle/{sha}")
        with suppress(SyncError):
            if on_board is not None:
                return self._checked(documents, form, sha, on_board)
        return self._checked(documents, form, sha, self.transport.get(f"/v1/forms/{form}/{sha}"))

    def _checked(self, documents: TrustedDocuments, form: str, sha: str, body: bytes) -> bytes:
        payload = bundle.accept(Document.parse(body), documents.trust, sha)
        if documents.versions.get(form) != sha:
            self.usable(form, payload)
        return body


def update_documents(documents: TrustedDocuments, source: DocumentSource) -> tuple[str, ...]:
    """Fetch missing bundles and keys, then store all documents in one transaction; return the names of new ones."""
    outbox = source.outbox
    held, before = outbox.documents.list_names(), outbox.documents.form_selection()
    wanted = {name: document.to_bytes() for name, document in documents.signed.items()}
    changed = {name for name, body in wanted.items() if body != outbox.documents.get(name)}
    # A new trust or manifest may change earlier decisions, so all versions are checked again.
    taken = select_forms(documents, source, before, again=source.again or not changed.isdisjoint(("trust", "manifest")))
    wanted |= {f"bundle/{sha}": body for sha, body in taken.bundles.items()}
    keyrings = () if documents.wiped else documents.registry.keyrings.values()
    keys = {f"key/{keyring.key_sha256}": keyring for keyring in keyrings}
    for name in keys.keys() - held:
        wanted[name] = keys[name].public(source.transport.get(f"/v1/keys/{keys[name].key_sha256}")).raw
    new = {name: body for name, body in wanted.items() if body != outbox.documents.get(name)}
    used = {f"bundle/{sha}" for sha in taken.in_use.values()} | keys.keys() | source.keep
    outdated = {name for name in held if name.startswith(("bundle/", "key/"))} - used
    if new or outdated or (taken.in_use, taken.refused) != (before.in_use, before.refused):
        outbox.documents.update(new, outdated, taken)
    return tuple(sorted(new))


def select_forms(
    documents: TrustedDocuments, source: DocumentSource, before: FormSelection, *, again: bool
) -> FormSelection:
    """Choose among the form versions that the manifest names, and collect refusals; this stores nothing."""
    not_retried = {} if again else {sha: each for sha, each in before.refused.items() if each.is_recent(source.now)}
    doubted = {*documents.versions.values()} if again else {*before.refused}
    fetch = partial(source.bundle, documents)
    return select_versions(
        documents.named,
        documents.versions,
        fetch,
        doubted=doubted,
        not_retried=not_retried,
        now=source.now,
    )
