"""Everything but forms that a certified tablet needs before it can work, for one answer (SPEC 12.1).

The tablet API calls it. It reads only; the tablet verifies every document itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Database
from server.flows.trust import documents, enrolment


@dataclass(frozen=True)
class FirstPull:
    """The documents as text, the trusts above the one that the tablet holds, and public keys as base64url."""

    trusts: list[str]
    registry: str
    manifest: str
    certificate: str
    keys: list[str]


def collect_documents(db: Database, dev: str, *, trust: int) -> FirstPull:
    """Return the tablet's documents and the keys of its region. `trust` is the number of the trust that it holds."""
    certificate = enrolment.get_certificate(db, dev)
    connection = db.read()
    near = documents.registry_in_force(connection).keyrings_near(enrolment.get_region(connection, dev))
    return FirstPull(
        documents.list_trusts_above(connection, trust),
        documents.get_newest(connection, "registry").body.decode(),
        documents.get_newest(connection, "manifest").body.decode(),
        certificate.decode(),
        documents.list_public_keys(connection, (keyring.key_sha256 for keyring in near.values())),
    )
