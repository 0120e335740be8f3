"""Signing in to the staff API with any HTTP client (SPEC 5.9), for tests that look at the bytes themselves."""

from __future__ import annotations

from collections.abc import Callable

from conftest import derive
from sync.documents import sign_in
from sync.documents.signed import Document
from sync.keys.passphrases import DerivedKeys
from sync.wire.encoding import unb64u

GUARD = {"Chaski-Request": "1"}
Ask = Callable[[dict[str, str]], bytes]
"""Sends JSON to POST /v1/session/challenge and returns the response's body."""


def answer_challenge(ask: Ask, url: str, login: str, passphrase: str) -> tuple[dict[str, str], DerivedKeys]:
    """Ask for a challenge; return the JSON for POST /v1/session, and the keys of the passphrase.

    The server's signature is not verified here: `sync.exchange.staff_session` does that.
    """
    challenge = ask({"login": login, "nonce": sign_in.new_nonce(), "url": url})
    document = Document.parse(challenge)
    salt, auth_salt = (unb64u(document.content[name]) for name in ("salt", "auth_salt"))
    derived = derive(passphrase, salt)
    return {"challenge": challenge.decode(), "proof": sign_in.prove(derived.auth, document, auth_salt)}, derived
