"""Tells a server at sign-in the audit head that this staff client was told before, and keeps the present one.

A server whose chain lacks it has another past. The server notes it, and the user is told: a server that was taken over
would not note it.
"""

from sync.exchange.known_documents import AuditHead, KnownDocumentsFile
from sync.exchange.staff_session import StaffSession
from sync.exchange.transport import RefusedError
from sync.wire.json_object import SHA256_HEX, JsonObject

ADDRESS = "/v1/audit-head"


def compare_audit_heads(staff: StaffSession, known: KnownDocumentsFile) -> tuple[str, ...]:
    """Return the sentences in Spanish that the user must read: none if the server still has the past that it told."""
    before = known.documents.audit or AuditHead(0, "0" * 64)
    try:
        answer = JsonObject(staff.post(ADDRESS, json=vars(before)), "the audit head")
    except RefusedError as refused:
        if refused.code == "http.not_found":  # A server of an older version.
            return ()
        raise
    told = AuditHead(answer.integer("number"), answer.text("hash", SHA256_HEX))
    known.remember_audit(told)
    contradicts = told.number < before.number or (told.number == before.number and told != before)
    if answer.flag("agrees") and not contradicts:
        return ()
    return (
        f"El servidor ya no tiene la auditoría que mostró a este equipo (fila {before.number}): o se restauró de una"
        " copia, o alguien la cambió. Avise ya a quien administra el servidor y a la registradora.",
    )
