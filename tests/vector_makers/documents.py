"""The vectors of signed documents: general rules, trust, registry, and the public keys of keyrings."""

from dataclasses import replace
from typing import Any

from sync.documents import registry, trust
from sync.documents.registry import Desk, Keyring
from sync.documents.signed import Document, sign
from sync.documents.trust import Signer
from sync.durations import DAY
from sync.keys.key_pairs import SealKey, SigningKey
from sync.wire.encoding import b64u, canonical, unb64u
from vector_makers.fixed_inputs import (
    AUTHOR,
    KEYRING,
    MEMBER,
    NOW,
    OTHER_KEYRING,
    PIN,
    REGISTRAR,
    ROOTS,
    SERVER,
    STRANGER,
    TRUST,
    TRUST_MEMBERS,
    YEAR_2090,
    Case,
    case,
    signed,
    text,
    trust_document,
)

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
PLAIN_TYP = "chaski-1/example+jws"
EVERYTHING: dict[str, Any] = {
    "numbers": [0, -1, 1.5, 1e21, 1e-7, 0.1, 9007199254740991, 5e-324, 123456789012.25],
    "text": '\x00\x1f\b\t\n\f\r"\\/\x7f\u2028ñ\U0001f600',
    "\ufb33": None,
    "\U0001f600": True,
    "ñ": {"b": [], "a": {}},
    "": "",
}


LATER = NOW + 400 * DAY
EXPIRES = TRUST_MEMBERS["expires"]


def spelled(header: str, payload: bytes = b'{"a":1}') -> Document:
    """Sign under a header that `signed.sign` never writes."""
    protected = b64u(header.encode())
    signature = REGISTRAR.sign(f"{protected}.{b64u(payload)}".encode())
    return Document(payload, (f"{protected}..{b64u(signature)}",))


# Longer than other functions, as those in vector_makers/sealed.py: lists of cases, to read from top to bottom.
def document_cases() -> dict[str, Case]:
    def check(expect: str, about: str, document: Document, threshold: int = 1) -> Case:
        keys = [b64u(REGISTRAR.public.raw), b64u(AUTHOR.public.raw)]
        given = {"document": text(document), "typ": PLAIN_TYP, "keys": keys, "threshold": threshold}
        return case("document", expect, about, given)

    good = signed(b'{"a":1}', PLAIN_TYP, REGISTRAR)
    twice = Document(good.payload, good.signatures * 2)
    protected, strange = good.signatures[0].partition(".")[0], sign(b"{}", STRANGER, PLAIN_TYP)
    signature = unb64u(good.signatures[0].rpartition(".")[2])
    raised = signature[:32] + (int.from_bytes(signature[32:], "little") + ED25519_ORDER).to_bytes(32, "little")
    kid = REGISTRAR.kid
    header = f'{{"alg":"Ed25519","kid":"{kid}","typ":"{PLAIN_TYP}"}}'
    loose = good.signatures[0][:-1] + chr(ord(good.signatures[0][-1]) + 1)
    return {
        "ok": check("ok", "A document with one signature.", good),
        "two_keys": check("ok", "Two of two keys.", signed(b'{"a":1}', PLAIN_TYP, REGISTRAR, AUTHOR), 2),
        "two_signatures_one_key": check("signed.too_few", "Keys are counted, not signatures.", twice, 2),
        "by_stranger": check("signed.too_few", "Signed by nobody who may.", signed(b"{}", PLAIN_TYP, STRANGER)),
        "bad_signature": check(
            "signed.bad_signature", "The payload was changed.", Document(b'{"a":2}', good.signatures)
        ),
        "wrong_typ": check(
            "signed.wrong_typ", "Signed as something else.", signed(b"{}", "chaski-1/other+jws", REGISTRAR)
        ),
        "forbidden_header_none": check(
            "signed.forbidden_header", "A member is missing.", spelled(f'{{"alg":"Ed25519","kid":"{kid}"}}')
        ),
        "wrong_alg": check(
            "signed.wrong_alg", "EdDSA is another name than Ed25519.", spelled(header.replace("Ed25519", "EdDSA"))
        ),
        "forbidden_header_b64": check(
            "signed.forbidden_header",
            "`b64` and `crit`.",
            spelled('{"alg":"Ed25519","b64":false,"crit":["b64"],' + header[17:]),
        ),
        "forbidden_header_jwk": check(
            "signed.forbidden_header", "A key inside the header.", spelled(header[:-1] + ',"jwk":{}}')
        ),
        "header_not_canonical": check("signed.malformed", "A blank in the header.", spelled(header.replace(",", ", "))),
        "header_duplicate_member": check(
            "encoding.duplicate_member", "Two kids in one header.", spelled(header[:-1] + f',"kid":"{kid}"}}')
        ),
        "duplicate_member": check(
            "encoding.duplicate_member", "Two values for one member.", signed(b'{"a":1,"a":2}', PLAIN_TYP, REGISTRAR)
        ),
        "not_canonical": check(
            "signed.not_canonical", "A blank in the payload.", signed(b'{"a": 1}', PLAIN_TYP, REGISTRAR)
        ),
        "non_canonical_base64": check(
            "encoding.base64", "The last letter has stray bits.", Document(good.payload, (loose,))
        ),
        "unsigned": check("signed.malformed", "No signature line.", Document(good.payload)),
        "seventeen_signatures": check(
            "signed.malformed", "More lines than a document may have.", Document(good.payload, good.signatures * 17)
        ),
        "not_detached": check(
            "signed.malformed",
            "The payload inside.",
            Document(good.payload, (good.signatures[0].replace("..", ".e30."),)),
        ),
        "short_signature": check(
            "signed.malformed", "63 bytes.", Document(good.payload, (f"{protected}..{b64u(bytes(63))}",))
        ),
        "signature_above_the_order": check(
            "signed.bad_signature",
            "The same signature with its second half raised by the order of the group.",
            Document(good.payload, (f"{protected}..{b64u(raised)}",)),
        ),
        "bad_signature_by_stranger": check(
            "ok",
            "Lines by others are left aside, whatever they are.",
            Document(good.payload, (*good.signatures, strange)),
        ),
        "wrong_typ_by_stranger": check(
            "signed.wrong_typ",
            "But their headers are read.",
            Document(good.payload, (*good.signatures, sign(good.payload, STRANGER, "chaski-1/other+jws"))),
        ),
        "one_good_one_bad": check(
            "signed.bad_signature",
            "One good signature does not excuse a bad one.",
            Document(good.payload, (*good.signatures, sign(b"{}", AUTHOR, PLAIN_TYP))),
        ),
        "last_line_feed": check(
            "signed.malformed", "A line feed at the end.", Document(good.payload, (*good.signatures, ""))
        ),
        "array": check("encoding.json", "An array in place of the object.", signed(b"[1]", PLAIN_TYP, REGISTRAR)),
        "half_surrogate": check(
            "encoding.json", "Half a surrogate pair.", signed(rb'{"a":"\ud800"}', PLAIN_TYP, REGISTRAR)
        ),
        "huge_integer": check(
            "encoding.json", "An integer beyond 2^53.", signed(b'{"a":9007199254740993}', PLAIN_TYP, REGISTRAR)
        ),
        "alg_before_typ": check(
            "signed.wrong_alg", "Another alg and another typ.", spelled(header.replace("Ed25519", "EdDSA")[:-5] + 'x"}')
        ),
        "typ_before_signature": check(
            "signed.wrong_typ",
            "Another typ, and the payload was changed.",
            Document(b"{}", signed(b"[]", "chaski-1/other+jws", REGISTRAR).signatures),
        ),
        "json_before_signatures": check(
            "signed.not_canonical", "A blank in the payload, and no base64url.", Document(b'{"a": 1}', ("AB..AB",))
        ),
        "numbers": check(
            "ok", "Numbers, letters and their order.", signed(canonical(EVERYTHING), PLAIN_TYP, REGISTRAR)
        ),
    }


def trust_cases() -> dict[str, Case]:
    def accept(
        expect: str,
        about: str,
        offered: Document,
        held: Document | None = TRUST,
        *,
        pin: str = PIN,
        now: int = NOW,
        staff: bool = False,
    ) -> Case:
        given = {"document": text(offered), "held": text(held) if held else None, "pin": pin}
        if expect != "ok":
            return case("trust", expect, about, {**given, "now": now, "staff": staff})
        known = trust.read(offered)
        result = {"number": known.number, "pin": known.pin, "old": now > known.expires}
        return case("trust", expect, about, {**given, "now": now, "staff": staff}, result)

    def changed(member: str, value: Any, *keys: SigningKey) -> Document:
        said = {name: each for name, each in {**second.content, member: value}.items() if each is not None}
        return signed(canonical(said), trust.TYP, *(keys or ROOTS[:2]))

    second = trust_document(*ROOTS[1:], number=2)
    new_roots = [key.public for key in (ROOTS[0], STRANGER)]
    return {
        "first": accept("ok", "Pinned by the invitation.", TRUST, None),
        "wrong_pin": accept("trust.wrong_pin", "Other roots than the invitation's.", TRUST, None, pin="00" * 32),
        "next": accept("ok", "Number 2 after number 1, by two roots.", second),
        "rolled_back": accept("document.rolled_back", "Number 1 after number 2.", TRUST, second),
        "same_number": accept("document.same_number", "Another number 1.", trust_document(*ROOTS[:2], issued=NOW + 1)),
        "one_root": accept("signed.too_few", "One root of two.", trust_document(ROOTS[0], number=2)),
        "held_already": accept("ok", "The very trust that is held.", TRUST),
        "expired_on_board": accept("ok", "It works on a tablet, and is marked as old.", second, now=LATER),
        "last_moment_for_staff": accept("ok", "The last moment before it expires.", second, now=EXPIRES, staff=True),
        "grace_for_staff": accept("ok", "Staff work with it, marked as old.", second, now=EXPIRES + 1, staff=True),
        "last_moment_of_grace": accept(
            "ok", "The last moment of the 45 days.", second, now=EXPIRES + 45 * DAY, staff=True
        ),
        "expired_for_staff": accept(
            "trust.expired", "One moment later staff refuse it.", second, now=EXPIRES + 45 * DAY + 1, staff=True
        ),
        "grace_over_on_board": accept(
            "ok", "A tablet works on, whatever day it is.", second, now=EXPIRES + 45 * DAY + 1
        ),
        "clock_2090": accept(
            "ok", "A tablet whose clock is of 2090 works on, and says that it is old.", TRUST, now=YEAR_2090
        ),
        "clock_1970": accept("ok", "A tablet whose clock is of 1970 works on.", TRUST, now=0),
        "one_root_twice": accept(
            "signed.too_few", "One root signed twice.", trust_document(ROOTS[0], ROOTS[0], number=2)
        ),
        "key_too_short": accept("key.malformed", "A server's key of 31 bytes.", changed("servers", [b64u(bytes(31))])),
        "key_not_base64": accept("encoding.base64", "A server's key that is none.", changed("servers", ["="])),
        "key_twice": accept(
            "document.malformed",
            "One server twice.",
            trust_document(*ROOTS[:2], number=2, servers=[SERVER.public, SERVER.public]),
        ),
        "no_expires": accept("document.malformed", "A member is missing.", changed("expires", None)),
        "unknown_member": accept("ok", "A member of tomorrow.", changed("tomorrow", {"a": [1]})),
        "members_before_signatures": accept(
            "document.malformed", "A person that is no name, and unsigned.", changed("reviewers", [{}], STRANGER)
        ),
        "signatures_before_pin": accept(
            "signed.too_few", "One root of two, and another pin.", trust_document(ROOTS[0]), None, pin="00" * 32
        ),
        "signatures_before_number": accept(
            "signed.too_few", "One root of two, and number 1 after 2.", trust_document(ROOTS[0]), second
        ),
        "threshold_too_high": accept(
            "document.malformed", "Four of three roots.", trust_document(*ROOTS, number=2, threshold=4)
        ),
        "two_persons_one_key": accept(
            "document.malformed",
            "A key has one person.",
            trust_document(*ROOTS[:2], number=2, authors=[Signer(AUTHOR.public, "p-a"), Signer(AUTHOR.public, "p-b")]),
        ),
        "key_with_two_persons": accept(
            "document.malformed",
            "As author one person, as reviewer another: one key alone could sign for both.",
            trust_document(*ROOTS[:2], number=2, reviewers=[Signer(AUTHOR.public, "p-revisor")]),
        ),
        "new_roots": accept(
            "ok",
            "New roots, signed by two old and two new ones.",
            trust_document(ROOTS[0], ROOTS[1], STRANGER, number=2, roots=new_roots),
        ),
        "new_roots_alone": accept(
            "signed.too_few",
            "New roots, without enough of the old ones.",
            trust_document(ROOTS[0], STRANGER, number=2, roots=new_roots),
        ),
        "demo_changed": accept(
            "trust.demo_changed", "The real thing turned into a demo.", trust_document(*ROOTS[:2], number=2, demo=True)
        ),
    }


REGISTRY_MEMBERS: dict[str, Any] = {
    "number": 4,
    "keyrings": [
        Keyring.of("national", 1, OTHER_KEYRING.public),
        Keyring.of("17-protection", 2, KEYRING.public),
        Keyring.of("1702-child", 1, MEMBER.public),
    ],
    "desks": [Desk("17", "protection", "17-protection"), Desk("1702", "child", "1702-child")],
    "revoked": [],
    "issued": NOW,
}


def region_cases() -> dict[str, Case]:
    rings = REGISTRY_MEMBERS["keyrings"]
    desks = [
        *REGISTRY_MEMBERS["desks"],
        Desk("21", "protection", "21-protection"),
        Desk("", "labour", "labour"),
    ]
    named = [*rings, Keyring.of("21-protection", 1, KEYRING.public), Keyring.of("labour", 1, MEMBER.public)]
    asked = [["170204", "protection"], ["170204", "child"], ["211001", "review"], ["150101", "labour"]]

    def of(region: str, about: str, near: list[str], sealed_to: list[str], **members: Any) -> Case:
        body = signed(registry.make(**{**REGISTRY_MEMBERS, **members}), registry.TYP, REGISTRAR)
        given = {"trust": text(TRUST), "registry": text(body), "region": region, "asked": asked}
        return case("region_keys", "ok", about, given, {"keyrings": near, "sealed_to": sealed_to})

    far = [Keyring.of("21-protection", 1, SealKey.from_seed(bytes(32)).public)]
    members: dict[str, Any] = {"keyrings": [*named[:3], *far, named[4]], "desks": desks}
    return {
        "of_a_region": of(
            "17",
            "The desks of the region and of its parts, and those of the whole country.",
            ["17-protection", "1702-child", "labour", "national"],
            ["17-protection", "1702-child", "national", "labour"],
            **members,
        ),
        "of_a_province": of(
            "1701",
            "A desk of another province of the region is not near; a missing key leads to the national keyring.",
            ["17-protection", "labour", "national"],
            ["17-protection", "1702-child", "national", "labour"],
            **members,
        ),
        "without_desks": of("17", "Only the national one.", ["national"], ["national"] * 4, desks=[]),
        "same_key": of(
            "17",
            "A key that two keyrings share is on board for both: keys count by their hash.",
            ["17-protection", "1702-child", "labour", "national"],
            ["17-protection", "1702-child", "21-protection", "labour"],
            keyrings=named,
            desks=desks,
        ),
    }


def registry_cases() -> dict[str, Case]:
    def document(*keys: SigningKey, **changes: Any) -> Document:
        return signed(registry.make(**{**REGISTRY_MEMBERS, **changes}), registry.TYP, *keys)

    def changed(member: str, value: Any) -> Document:
        said = {name: each for name, each in {**good.content, member: value}.items() if each is not None}
        return signed(canonical(said), registry.TYP, REGISTRAR)

    def accept(expect: str, about: str, offered: Document, held: Document | None = None, result: Any = None) -> Case:
        given = {"trust": text(TRUST), "document": text(offered), "held": text(held) if held else None}
        asked = [
            ["170204", "protection"],
            ["170204", "review"],
            ["170204", "child"],
            ["170102", "child"],
            ["150101", "labour"],
            ["1702", "child"],
            ["1700", "child"],
            ["17", "protection"],
            ["010000", "protection"],
            ["", "review"],
        ]
        return case("registry", expect, about, {**given, "asked": asked}, result)

    good = document(REGISTRAR)
    rings = REGISTRY_MEMBERS["keyrings"]
    chosen = ["17-protection", "17-protection", "1702-child", "national", "national"]
    chosen += ["1702-child", "national", "17-protection", "national", "national"]
    return {
        "ok": accept("ok", "The longest site wins; otherwise national.", good, None, chosen),
        "rolled_back": accept("document.rolled_back", "Number 3 after 4.", document(REGISTRAR, number=3), good),
        "same_number": accept("document.same_number", "Another number 4.", document(REGISTRAR, issued=1), good),
        "held_already": accept("ok", "The very registry that is held.", good, good, chosen),
        "held_already_signed_anew": accept(
            "ok", "The same payload with one more signature.", good.signed_by(STRANGER, registry.TYP), good, chosen
        ),
        "unknown_member": accept("ok", "A member of tomorrow.", changed("tomorrow", 1), None, chosen),
        "no_issued": accept("document.malformed", "A member is missing.", changed("issued", None)),
        "no_revoked": accept("ok", "An array that is left out is empty.", changed("revoked", None), None, chosen),
        "kid_of_another_key": accept(
            "document.malformed",
            "Kid and hash do not agree.",
            document(REGISTRAR, keyrings=[replace(rings[0], kid=rings[1].kid), *rings[1:]]),
        ),
        "keyring_twice": accept(
            "document.malformed", "Two keyrings of one name.", document(REGISTRAR, keyrings=[*rings, rings[0]])
        ),
        "desk_without_keyring": accept(
            "document.malformed",
            "A desk names a keyring that is not there.",
            document(REGISTRAR, desks=[Desk("17", "child", "17-child")]),
        ),
        "two_keyrings_for_one_desk": accept(
            "document.malformed",
            "Two desks with one site and kind.",
            document(REGISTRAR, desks=[Desk("17", "child", "national"), Desk("17", "child", "1702-child")]),
        ),
        "unknown_kind": accept(
            "document.malformed",
            "A kind of desk that nobody knows.",
            document(REGISTRAR, desks=[Desk("17", "review", "national")]),
        ),
        "signatures_before_number": accept(
            "signed.too_few", "By a server, and older.", document(SERVER, number=3), good
        ),
        "by_server": accept("signed.too_few", "A server may not name keyrings.", document(SERVER)),
        "no_national": accept(
            "document.malformed",
            "A national keyring there must be.",
            document(REGISTRAR, keyrings=REGISTRY_MEMBERS["keyrings"][1:]),
        ),
    }


def key_document_cases() -> dict[str, Case]:
    """Return the cases of a keyring's public key, fetched by the hash in the registry."""
    known = signed(registry.make(**REGISTRY_MEMBERS), registry.TYP, REGISTRAR)

    def fetched(expect: str, about: str, raw: bytes) -> Case:
        given = {"trust": text(TRUST), "registry": text(known), "keyring": "17-protection", "key": b64u(raw)}
        return case("keyring_key", expect, about, given, KEYRING.kid if expect == "ok" else None)

    return {
        "ok": fetched("ok", "The key that the registry names.", KEYRING.public.raw),
        "other_key": fetched("registry.wrong_key", "Another keyring's key.", OTHER_KEYRING.public.raw),
        "short": fetched("key.malformed", "A key that is cut off.", KEYRING.public.raw[:-1]),
        "small_order": fetched(
            "key.malformed", "Its X25519 half has a small order.", KEYRING.public.raw[:1184] + bytes(32)
        ),
        "above_modulus": fetched(
            "key.malformed", "A number of its ML-KEM half is 4095.", b"\xff" * 3 + KEYRING.public.raw[3:]
        ),
        "modulus": fetched(
            "key.malformed", "A number of its ML-KEM half is 3329.", b"\x01\x0d\x00" + KEYRING.public.raw[3:]
        ),
    }
