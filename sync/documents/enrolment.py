"""The three documents of enrolment (SPEC 5.5): invitation, enrolment request, certificate.

The tablet signs its request with its own key. A registrar signs the certificate after two people have compared the six
words of that key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, quote, urlencode

from sync.documents.signed import Document, require_not_older
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.keys.passphrases import normalize_phrase
from sync.wire.encoding import b64u, canonical, unb64u
from sync.wire.json_object import KID, LABEL, SHA256_HEX, TEXT, JsonObject

REQUEST_TYP = "chaski-1/enrolment+jws"
CERTIFICATE_TYP = "chaski-1/device+jws"
SCHEME = "chaski:1?"
MAX_REQUEST_BYTES = 4096
_CODE = re.compile(r"[A-Za-z0-9_-]{8,64}")
_REGION = re.compile(r"[0-9]{2,6}")


@dataclass(frozen=True)
class Invitation:
    """The contents of the QR code: the URL of the tablet API, a one-time code, and the pin of the root keys."""

    url: str
    code: str
    pin: str

    def to_text(self) -> str:
        """Write `chaski:1?u=...&c=...&r=...`."""
        return SCHEME + urlencode({"u": self.url, "c": self.code, "r": self.pin}, safe="/:", quote_via=quote)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an invitation, typed or scanned. Raise SyncError `enrolment.bad_invitation` if it is malformed."""
        given = _values(text.strip().removeprefix(SCHEME))
        if not text.strip().startswith(SCHEME) or not all(len(given.get(name, [])) == 1 for name in "ucr"):
            raise SyncError("enrolment.bad_invitation", "not a Chaski invitation")
        url, code, pin = (given[name][0] for name in "ucr")
        if not url.startswith(("https://", "http://")) or not _CODE.fullmatch(code) or not SHA256_HEX.fullmatch(pin):
            raise SyncError("enrolment.bad_invitation", "address, code or pin is malformed")
        return cls(url.rstrip("/"), code, pin)


def _values(query: str) -> dict[str, list[str]]:
    """Decode percent-encoding only. HTML forms read a plus as a blank, but an invitation means a plus."""
    if re.search("%(?![0-9A-Fa-f]{2})", query):
        raise SyncError("enrolment.bad_invitation", "a percent sign without two hexadecimal digits")
    try:
        return parse_qs(query.replace("+", "%2B"), keep_blank_values=True, errors="strict")
    except ValueError as wrong:
        raise SyncError("enrolment.bad_invitation", "not UTF-8") from wrong


def write_enrolment_request(code: str, key: SigningKey) -> Document:
    """Sign an enrolment request. The signature proves that the tablet holds the key."""
    return Document.of({"code": code, "key": b64u(key.public.raw)}, REQUEST_TYP, key)


def accept_enrolment_request(document: Document) -> tuple[str, VerifyKey]:
    """Verify an enrolment request; return the one-time code and the tablet's key."""
    members = JsonObject(document.content, "enrolment")
    key = VerifyKey.from_raw(unb64u(members.text("key", TEXT)))
    document.require(REQUEST_TYP, {key.kid: key})
    return members.text("code", _CODE), key


@dataclass(frozen=True)
class Certificate:
    """The binding of a key to a tablet, its region and its label, as a registrar signs it.

    `sha256` is the payload's, empty before it is signed.
    """

    dev: str
    key: VerifyKey
    region: str
    label: str
    number: int
    sha256: str = field(default="", compare=False)

    def to_payload(self, issued: int) -> bytes:
        """Write the certificate's payload for a registrar's signature."""
        return canonical(
            {
                "dev": self.dev,
                "key": b64u(self.key.raw),
                "region": self.region,
                "label": self.label,
                "number": self.number,
                "issued": issued,
            }
        )


def accept_certificate(
    document: Document, trust: Trust, dev: str | None = None, held: Certificate | None = None
) -> Certificate:
    """Verify a signed certificate and return it; `dev` is the tablet that it must name.

    It must not be older than `held`, the tablet's certificate that counts under the same trust.
    """
    document.require(CERTIFICATE_TYP, trust.registrars)
    members = JsonObject(document.content, "certificate")
    members.integer("issued")  # Only people use this time. It has no effect, but must be present.
    certificate = Certificate(
        members.text("dev", KID),
        VerifyKey.from_raw(unb64u(members.text("key", TEXT))),
        members.text("region", _REGION),
        members.text("label", LABEL),
        members.integer("number", 1),
        document.sha256,
    )
    if certificate.key.kid != certificate.dev or dev not in (None, certificate.dev):
        raise SyncError("enrolment.wrong_device", f"a certificate for {certificate.dev}")
    require_not_older("certificate", certificate, held)
    return certificate


def sign_certificate(
    key: VerifyKey, words: Sequence[str], registrar: SigningKey, *, region: str, label: str, number: int, issued: int
) -> Document:
    """Sign a tablet's certificate if `words`, read out by its holder, are the six words of its key.

    Accents, capitals and spacing do not matter. Raise SyncError `enrolment.wrong_words` for other words: an attacker's
    key may have taken the tablet's place.
    """
    if normalize_phrase(" ".join(words)) != normalize_phrase(" ".join(key.words())):
        raise SyncError("enrolment.wrong_words", f"the key enrolled as {key.kid} has other words; do not approve it")
    payload = Certificate(key.kid, key, region, label, number).to_payload(issued)
    return Document(payload).signed_by(registrar, CERTIFICATE_TYP)
