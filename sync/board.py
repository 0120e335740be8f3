"""The signed documents a tablet works by: verified together, stored together as exact bytes, never taken back.

Called by sync.tablet. Either everything that came fits together, or the old documents stay as they were.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from sync import bundle, enrolment, manifest, registry, trust
from sync.enrolment import Certificate
from sync.manifest import Manifest
from sync.outbox import Outbox
from sync.registry import Registry
from sync.signed import Document
from sync.transport import RefusedError, Transport
from sync.trust import Trust

DOCUMENTS = ("trust", "registry", "manifest", "certificate")


@dataclass(frozen=True)
class Board:
    """The four documents of a certified tablet: the exact ones by name, and what they state.

    A `wiped` tablet uses no form and no keyring, whatever they state.
    """

    documents: Mapping[str, Document]
    trust: Trust
    registry: Registry
    manifest: Manifest
    certificate: Certificate
    wiped: bool = False

    @property
    def versions(self) -> dict[str, str]:
        """The SHA-256 of the form version this tablet uses, by form id."""
        if self.wiped:
            return {}
        dev, region = self.certificate.dev, self.certificate.region
        chosen = {form: self.manifest.choose(form, dev, region) for form in sorted(self.manifest.forms)}
        return {form: sha for form, sha in chosen.items() if sha}


def assemble(
    offered: Mapping[str, Document], held: Board | None, *, pin: str, dev: str, trusts: Sequence[Document] = ()
) -> Board:
    """Put offered documents in the place of the held ones and verify all four; none may be older than the held one.

    `trusts` are several trust documents in rising order, each signed by the roots of the one before.
    """
    documents = {**(held.documents if held else {}), **offered}
    first, *later = trusts or (documents["trust"],)
    trusted = trust.accept(first, held.trust if held else None, pin)
    for following in later:
        trusted = trust.accept(following, trusted, pin)
    documents["trust"] = later[-1] if later else first
    return Board(
        documents,
        trusted,
        registry.accept(documents["registry"], trusted, held.registry if held else None),
        manifest.accept(documents["manifest"], trusted, held.manifest if held else None),
        enrolment.accept_certificate(documents["certificate"], trusted, dev),
        wiped=held is not None and held.wiped,
    )


def load(outbox: Outbox, *, pin: str, dev: str) -> Board | None:
    """Return the documents on board, verified once more; None as long as the tablet is not certified."""
    held = {name: body for name in DOCUMENTS if (body := outbox.held(name)) is not None}
    if len(held) < len(DOCUMENTS):
        return None
    board = assemble({name: Document.parse(body) for name, body in held.items()}, None, pin=pin, dev=dev)
    standing = outbox.standing()
    return replace(board, wiped=standing.wiped or bool(standing.wiping))


def fetch(transport: Transport, dev: str) -> dict[str, Document] | None:
    """Ask the server for the newest of all four; None as long as no registrar has certified the tablet."""
    try:
        certificate = transport.get(f"/v1/enrolments/{dev}")
    except RefusedError as refused:
        if refused.code == "device.not_certified":
            return None
        raise
    newest = {name: transport.get(f"/v1/{name}") for name in DOCUMENTS if name != "certificate"}
    return {name: Document.parse(body) for name, body in {**newest, "certificate": certificate}.items()}


def store(
    board: Board, outbox: Outbox, transport: Transport, usable: Callable[[str, bytes], None], keep: Set[str]
) -> tuple[str, ...]:
    """Fetch the bundles and keys that are named and missing, then store all in one transaction; return what is new.

    `usable` gets a form id and the verified payload of its new bundle, and raises if the tablet cannot work with it.
    `keep` names what stays on board though it is in use no more.
    """
    held = outbox.held_names()
    bundles = {f"bundle/{sha}": (form, sha) for form, sha in board.versions.items()}
    keyrings = () if board.wiped else board.registry.keyrings.values()
    keys = {f"key/{keyring.key_sha256}": keyring for keyring in keyrings}
    documents = {name: document.to_bytes() for name, document in board.documents.items()}
    new = {name: body for name, body in documents.items() if body != outbox.held(name)}
    for name, (form, sha) in bundles.items():
        if name not in held:
            new[name] = transport.get(f"/v1/forms/{form}/{sha}")
            usable(form, bundle.accept(Document.parse(new[name]), board.trust, sha))
    for name, keyring in keys.items():
        if name not in held:
            new[name] = keyring.public(transport.get(f"/v1/keys/{keyring.key_sha256}")).raw
    outdated = {name for name in held if name.startswith(("bundle/", "key/"))} - bundles.keys() - keys.keys() - keep
    if new or outdated:
        outbox.hold(new, forget=outdated)
    return tuple(sorted(new))
