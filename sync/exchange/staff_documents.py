"""Trust, registry and manifest as a staff client believes them: by its pin, and never older than those it knows.

Every staff client that signs, or that judges by one of these documents, fetches it here (SPEC 4.5, 5.1).
"""

from collections.abc import Callable

from sync.documents import manifest, registry, trust
from sync.documents.manifest import Manifest
from sync.documents.registry import Registry
from sync.documents.signed import Document
from sync.documents.trust import STAFF_GRACE, Trust
from sync.durations import DAY
from sync.exchange.known_documents import KnownDocumentsFile
from sync.exchange.trust_chain import fetch_trusts


class StaffDocuments:
    """The documents of one session. `warnings` are sentences in Spanish that the user must read."""

    def __init__(self, get: Callable[[str], bytes], *, pin: str, now: int, known: KnownDocumentsFile) -> None:
        """Fetch and verify the newest trust. `get` fetches an address, `now` is in ms. Raises SyncError.

        `document.rolled_back` and `document.same_number` mean that the server contradicts what this client has seen.
        """
        self._get, self._known = get, known
        held = known.documents.read_trust()
        chain = fetch_trusts(get, held, pin)
        self.trust: Trust = trust.accept_chain(chain, held, pin)
        self.trust.require_current(now)
        known.remember("trust", chain[-1])
        self.warnings = trust_warnings(self.trust, pin, now)

    def fetch_registry(self) -> Registry:
        """Fetch and verify the newest registry, and remember it.

        It adds a warning if this registry does not revoke a tablet that an earlier one revoked.
        """
        document = Document.parse(self._get("/v1/registry"))
        accepted = registry.accept(document, self.trust, self._known.documents.read_registry())
        self._known.remember("registry", document)
        if missing := sorted(self._known.documents.revoked - accepted.revoked):
            self.warnings += (
                f"El registro {accepted.number} ya no da por retiradas estas tabletas, que lo estaban:"
                f" {', '.join(missing)}. Pregunte a la registradora.",
            )
        return accepted

    def fetch_manifest(self) -> Manifest:
        """Fetch and verify the newest manifest, and remember it."""
        document = Document.parse(self._get("/v1/manifest"))
        accepted = manifest.accept(document, self.trust, self._known.documents.read_manifest())
        self._known.remember("manifest", document)
        return accepted


def trust_warnings(trusted: Trust, pin: str, now: int) -> tuple[str, ...]:
    """Return the sentences in Spanish that the user of this trust and pin must read at sign-in; `now` is in ms."""
    days = -(-(trusted.expires + STAFF_GRACE - now) // DAY)
    known = (
        (
            trusted.is_expired(now),
            f"La confianza venció. Se puede trabajar {days} días más: pida ya una nueva a quienes guardan las raíces.",
        ),
        (
            trusted.pin != pin,
            f"Las raíces cambiaron y su PIN es el anterior. El nuevo es {trusted.pin}: compárelo con quien se lo dio.",
        ),
    )
    return tuple(text for is_so, text in known if is_so)
