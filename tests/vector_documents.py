"""The vectors of signed documents: what every one must be, trust, registry, manifest, bundles."""

from typing import Any

from vector_material import (
    AUTHOR,
    DEVICE,
    KEYRING,
    MEMBER,
    NOW,
    OTHER_KEYRING,
    PIN,
    REGISTRAR,
    REVIEWER,
    ROOTS,
    ROUTE_KEY,
    SERVER,
    STRANGER,
    TRUST,
    YEAR_2090,
    Case,
    case,
    fixed,
    signed,
    text,
    trust_document,
)

from sync import bundle, manifest, registry, trust
from sync.encoding import b64u, canonical
from sync.keys import RouteKey, SigningKey
from sync.manifest import Entry, RouteKeyEntry
from sync.registry import Desk, Keyring
from sync.signed import Document, sign
from sync.trust import Signer

PLAIN_TYP = "chaski-1/example+jws"
EVERYTHING = {
    "numbers": [0, -1, 1.5, 1e21, 1e-7, 0.1, 9007199254740991, 5e-324, 123456789012.25],
    "text": '\x00\x1f\b\t\n\f\r"\\/\x7f\u2028ñ\U0001f600',
    "\ufb33": None,
    "\U0001f600": True,
    "ñ": {"b": [], "a": {}},
    "": "",
}


DAYS_90 = 90 * 86_400_000
LATER = NOW + 400 * 86_400_000
NEXT_ROUTE_KEY = RouteKey(fixed("next route")).public


def spelled(header: str, payload: bytes = b'{"a":1}') -> Document:
    """Sign under a header that `signed.sign` would never write."""
    protected = b64u(header.encode())
    signature = REGISTRAR.sign(f"{protected}.{b64u(payload)}".encode())
    return Document(payload, (f"{protected}..{b64u(signature)}",))


# Longer than a function should be, as are those in vector_sealed.py: lists of cases, to be read from top to bottom.
def document_cases() -> dict[str, Case]:
    def check(expect: str, about: str, document: Document, threshold: int = 1) -> Case:
        keys = [b64u(REGISTRAR.public.raw), b64u(AUTHOR.public.raw)]
        given = {"document": text(document), "typ": PLAIN_TYP, "keys": keys, "threshold": threshold}
        return case("document", expect, about, given)

    good = signed(b'{"a":1}', PLAIN_TYP, REGISTRAR)
    twice = Document(good.payload, good.signatures * 2)
    protected, strange = good.signatures[0].partition(".")[0], sign(b"{}", STRANGER, PLAIN_TYP)
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

    new_roots = [key.public for key in (ROOTS[0], STRANGER)]
    second = trust_document(*ROOTS[1:], number=2)
    return {
        "first": accept("ok", "Pinned by the invitation.", TRUST, None),
        "wrong_pin": accept("trust.wrong_pin", "Other roots than the invitation's.", TRUST, None, pin="00" * 32),
        "next": accept("ok", "Number 2 after number 1, by two roots.", second),
        "rolled_back": accept("document.rolled_back", "Number 1 after number 2.", TRUST, second),
        "same_number": accept("document.same_number", "Another number 1.", trust_document(*ROOTS[:2], issued=NOW + 1)),
        "one_root": accept("signed.too_few", "One root of two.", trust_document(ROOTS[0], number=2)),
        "held_already": accept("ok", "The very trust that is held.", TRUST),
        "expired_on_board": accept("ok", "It works on a tablet, and is marked as old.", second, now=LATER),
        "expired_for_staff": accept(
            "trust.expired", "Staff, who are online, refuse it.", second, now=LATER, staff=True
        ),
        "clock_2090": accept(
            "ok", "A tablet whose clock is of 2090 works on, and says that it is old.", TRUST, now=YEAR_2090
        ),
        "clock_1970": accept("ok", "A tablet whose clock is of 1970 works on.", TRUST, now=0),
        "one_root_twice": accept(
            "signed.too_few", "One root signed twice.", trust_document(ROOTS[0], ROOTS[0], number=2)
        ),
        "threshold_too_high": accept(
            "document.malformed", "Four of three roots.", trust_document(*ROOTS, number=2, threshold=4)
        ),
        "two_persons_one_key": accept(
            "document.malformed",
            "A key has one person.",
            trust_document(*ROOTS[:2], number=2, authors=[Signer(AUTHOR.public, "p-a"), Signer(AUTHOR.public, "p-b")]),
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


def registry_cases() -> dict[str, Case]:
    def document(*keys: SigningKey, **changes: Any) -> Document:
        return signed(registry.make(**{**REGISTRY_MEMBERS, **changes}), registry.TYP, *keys)

    def accept(expect: str, about: str, offered: Document, held: Document | None = None, result: Any = None) -> Case:
        given = {"trust": text(TRUST), "document": text(offered), "held": text(held) if held else None}
        asked = [
            ["170204", "protection"],
            ["170204", "review"],
            ["170204", "child"],
            ["170102", "child"],
            ["150101", "labour"],
        ]
        return case("registry", expect, about, {**given, "asked": asked}, result)

    good = document(REGISTRAR)
    chosen = ["17-protection", "17-protection", "1702-child", "national", "national"]
    return {
        "ok": accept("ok", "The longest site wins; otherwise national.", good, None, chosen),
        "rolled_back": accept("document.rolled_back", "Number 3 after 4.", document(REGISTRAR, number=3), good),
        "same_number": accept("document.same_number", "Another number 4.", document(REGISTRAR, issued=1), good),
        "by_server": accept("signed.too_few", "A server may not name keyrings.", document(SERVER)),
        "no_national": accept(
            "document.malformed",
            "A national keyring there must be.",
            document(REGISTRAR, keyrings=REGISTRY_MEMBERS["keyrings"][1:]),
        ),
    }


def manifest_cases() -> dict[str, Case]:
    def document(*keys: SigningKey, **changes: Any) -> Document:
        ring = [
            Entry("a1" * 32, devices=(DEVICE.kid,)),
            Entry("b2" * 32, regions=("17",), share_permille=500),
            Entry("c3" * 32),
        ]
        forms = {"pe_laboral_adulto": ring, "piloto": [Entry("d4" * 32, regions=("21",))]}
        keys_of_routes = [
            RouteKeyEntry(ROUTE_KEY.public, NOW + DAYS_90),
            RouteKeyEntry(NEXT_ROUTE_KEY, NOW + 2 * DAYS_90),
        ]
        said = {"number": NOW // 1000, "forms": forms, "route_keys": keys_of_routes, "issued": NOW}
        return signed(manifest.make(**{**said, **changes}), manifest.TYP, *keys)

    def accept(expect: str, about: str, offered: Document, held: Document | None = None, now: int = NOW) -> Case:
        asked = [["pe_laboral_adulto", dev, "1702"] for dev in (DEVICE.kid, AUTHOR.kid, REVIEWER.kid, STRANGER.kid)]
        asked += [["piloto", DEVICE.kid, "17"], ["piloto", DEVICE.kid, "2110"]]
        given = {"trust": text(TRUST), "document": text(offered), "held": text(held) if held else None, "asked": asked}
        given["now"] = now
        if expect != "ok":
            return case("manifest", expect, about, given)
        known = manifest.accept(offered, trust.read(TRUST), None)
        chosen = [known.choose(*question) for question in asked]
        return case("manifest", expect, about, given, {"chosen": chosen, "route_key": known.route_key(now).kid})

    good = document(SERVER)
    return {
        "ok": accept("ok", "The first entry that takes the tablet.", good),
        "rolled_back": accept("document.rolled_back", "An older number.", document(SERVER, number=5), good),
        "same_number": accept(
            "document.same_number", "Another under the same number.", document(SERVER, issued=1), good
        ),
        "by_registrar": accept("signed.too_few", "Only a server signs manifests.", document(REGISTRAR)),
        "second_route_key": accept("ok", "The first route key is past.", good, now=NOW + DAYS_90),
        "clock_2090": accept("ok", "All route keys are past: the last one.", good, now=YEAR_2090),
        "clock_1970": accept("ok", "A clock of 1970: the first route key.", good, now=0),
        "no_route_key": accept("document.malformed", "A route key there must be.", document(SERVER, route_keys=[])),
    }


def bundle_cases() -> dict[str, Case]:
    demo = trust_document(*ROOTS[:2], demo=True)

    def accept(
        expect: str, about: str, content: bytes, *keys: SigningKey, under: Document = TRUST, sha: str = ""
    ) -> Case:
        made = signed(content, bundle.TYP, *keys)
        given = {"trust": text(under), "document": text(made), "sha": sha or made.sha256}
        return case("bundle", expect, about, given)

    field, training = (canonical({"channel": channel, "form_id": "piloto"}) for channel in ("field", "training"))
    return {
        "ok": accept("ok", "An author and a reviewer.", field, AUTHOR, REVIEWER),
        "one_person": accept("bundle.one_person", "The author reviewed it herself.", field, AUTHOR),
        "no_review": accept(
            "signed.too_few",
            "Nobody who may review signed.",
            field,
            AUTHOR,
            under=trust_document(*ROOTS[:2], reviewers=[Signer(REVIEWER.public, "p-revisor")]),
        ),
        "wrong_version": accept(
            "bundle.wrong_version", "Not what the manifest names.", field, AUTHOR, REVIEWER, sha="00" * 32
        ),
        "demo_training": accept("ok", "A demo signs for training.", training, AUTHOR, REVIEWER, under=demo),
        "demo_field": accept(
            "bundle.demo_trust", "A demo never signs for the field.", field, AUTHOR, REVIEWER, under=demo
        ),
    }
