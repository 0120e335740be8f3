"""A tablet asks a server to be enrolled, and checks by the invitation's pin that it is the right server (SPEC 5.5).

`sync.tablet.client` calls it. Before the check, a false server learns the code and a public key, and nothing else.
"""

from pathlib import Path

from sync.documents import enrolment
from sync.documents.enrolment import Invitation
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange.transport import CODED_HEADERS, RefusedError, Transport
from sync.exchange.trust_chain import follow_trusts
from sync.keys.key_files import load_secret, save_secret
from sync.keys.key_pairs import SigningKey
from sync.tablet.form_selection import CONNECTION_ERRORS
from sync.wire.encoding import strict_json
from sync.wire.json_object import TEXT, JsonObject


def request_enrolment(transport: Transport, invitation: Invitation, key_file: Path) -> bytes:
    """Request enrolment with the key in `key_file`, which is created if need be; return the server's trust.

    A server that the pin does not prove raises, and a key made for it is deleted. After any other error the key stays,
    because the server may have taken it: the same request is then repeated.
    """
    is_new = not key_file.exists()
    if is_new:
        save_secret(key_file, SigningKey.generate())
    request = enrolment.write_enrolment_request(invitation.code, load_secret(key_file, SigningKey))
    reply = transport.send("POST", "/v1/enrolments", request.to_bytes(), CODED_HEADERS)
    told = JsonObject(strict_json(reply.content), "the answer to an enrolment").text("trust", TEXT, "")
    try:
        # A server of an older version sends no trust.
        offered = (Document.parse(told.encode()),) if told else ()
        return follow_trusts(transport.get, offered, None, invitation.pin)[-1].to_bytes()
    except SyncError as wrong:
        if is_new and not isinstance(wrong, RefusedError) and wrong.code not in CONNECTION_ERRORS:
            key_file.unlink()
        raise
