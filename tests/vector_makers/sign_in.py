"""The vectors of a staff member's sign-in."""

from dataclasses import replace
from typing import Any

from sync.documents import sign_in
from sync.documents.sign_in import Challenge
from sync.documents.signed import Document
from sync.wire.encoding import b64u, canonical
from vector_makers.fixed_inputs import DEVICE, NOW, SERVER, STRANGER, TRUST, Case, case, fixed, signed, text

AUTH = fixed("auth")
CHALLENGE = Challenge(
    nonce=b64u(fixed("client nonce")),
    url="https://chaski.example:443",
    login="proteccion-17",
    salt=fixed("salt")[:16],
    auth_salt=fixed("auth salt")[:16],
    trust=TRUST.sha256,
    at=NOW,
)


def session_cases() -> dict[str, Case]:
    """Return the cases of a client that asks the server to prove itself, and answers."""

    def said(expect: str, about: str, document: Document) -> Case:
        asked = {name: getattr(CHALLENGE, name) for name in ("nonce", "url", "login")}
        given = {"trust": text(TRUST), "document": text(document), **asked, "auth": b64u(AUTH)}
        proof = sign_in.prove(AUTH, document, CHALLENGE.auth_salt)
        return case("session", expect, about, given, {"salt": b64u(CHALLENGE.salt), "proof": proof})

    def refused(expect: str, about: str, document: Document) -> Case:
        made = said(expect, about, document)
        del made["result"]
        return made

    def changed(**changes: Any) -> Document:
        return replace(CHALLENGE, **changes).sign(SERVER)

    good = CHALLENGE.sign(SERVER)
    more = signed(canonical({**good.content, "later": 1}), sign_in.TYP, SERVER)
    bare = {name: value for name, value in good.content.items() if name != "url"}
    return {
        "ok": said("ok", "The server proves itself, and the person answers.", good),
        "nobody": refused("session.wrong_challenge", "A proof for a program without a login.", changed(login="")),
        "unknown_member": said("ok", "A member of a later version.", more),
        "by_stranger": refused("signed.too_few", "Another server.", CHALLENGE.sign(STRANGER)),
        "by_a_tablet": refused("signed.too_few", "A tablet's key proves no server.", CHALLENGE.sign(DEVICE)),
        "wrong_typ": refused(
            "signed.wrong_typ", "A server's receipt is no proof.", signed(good.payload, "chaski-1/receipts+jws", SERVER)
        ),
        "changed": refused(
            "signed.bad_signature", "A relay changed the address.", Document(changed(url="x").payload, good.signatures)
        ),
        "recorded": refused(
            "session.wrong_challenge", "The proof for another nonce.", changed(nonce=b64u(fixed("another nonce")))
        ),
        "other_login": refused("session.wrong_challenge", "For another person.", changed(login="ninez-17")),
        "relayed": refused(
            "session.wrong_address",
            "A relay let the server sign for its own.",
            changed(url="https://relay.example:443"),
        ),
        "other_port": refused(
            "session.wrong_address", "Another port of the same host.", changed(url="https://chaski.example:8443")
        ),
        "plain_http": refused(
            "session.wrong_address", "The same host without TLS.", changed(url="http://chaski.example:443")
        ),
        "other_trust": refused(
            "session.other_trust", "The server holds another trust.", changed(trust=fixed("trust").hex())
        ),
        "short_salt": refused("document.malformed", "A salt of 15 bytes.", changed(salt=fixed("salt")[:15])),
        "short_nonce": refused("document.malformed", "A nonce of 16 bytes.", changed(nonce=b64u(fixed("nonce")[:16]))),
        "no_address": refused(
            "document.malformed", "A member is missing.", signed(canonical(bare), sign_in.TYP, SERVER)
        ),
    }
