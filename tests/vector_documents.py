"""The vectors of signed documents: trust, registry, manifest, bundles, enrolment, receipts."""

from typing import Any

from vector_material import (
    AUTHOR,
    DEVICE,
    GENERATION,
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
    Case,
    case,
    signed,
    text,
    trust_document,
)

from sync import bundle, enrolment, manifest, receipt, registry, trust
from sync.encoding import b64u, canonical
from sync.keys import SigningKey
from sync.manifest import Entry, RouteKeyEntry
from sync.registry import Desk, Keyring
from sync.signed import Document, sign
from sync.trust import Signer

PLAIN_TYP = "chaski-1/example+jws"


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
        "wrong_alg": check(
            "signed.wrong_alg", "EdDSA is another name than Ed25519.", spelled(header.replace("Ed25519", "EdDSA"))
        ),
        "forbidden_b64": check(
            "signed.forbidden_header",
            "`b64` and `crit`.",
            spelled('{"alg":"Ed25519","b64":false,"crit":["b64"],' + header[17:]),
        ),
        "forbidden_jwk": check(
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
    }


def trust_cases() -> dict[str, Case]:
    def accept(expect: str, about: str, offered: Document, held: Document | None = TRUST, pin: str = PIN) -> Case:
        given = {"document": text(offered), "held": text(held) if held else None, "pin": pin}
        return case("trust", expect, about, given)

    new_roots = [key.public for key in (ROOTS[0], STRANGER)]
    second = trust_document(*ROOTS[1:], number=2)
    return {
        "first": accept("ok", "Pinned by the invitation.", TRUST, None),
        "wrong_pin": accept("trust.wrong_pin", "Other roots than the invitation's.", TRUST, None, "00" * 32),
        "next": accept("ok", "Number 2 after number 1, by two roots.", second),
        "rolled_back": accept("document.rolled_back", "Number 1 after number 2.", TRUST, second),
        "same_number": accept("document.same_number", "Another number 1.", trust_document(*ROOTS[:2], issued=NOW + 1)),
        "one_root": accept("signed.too_few", "One root of two.", trust_document(ROOTS[0], number=2)),
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
    def document(*keys: SigningKey, number: int = NOW // 1000) -> Document:
        ring = [
            Entry("a1" * 32, devices=(DEVICE.kid,)),
            Entry("b2" * 32, regions=("17",), share_permille=500),
            Entry("c3" * 32),
        ]
        forms = {"pe_laboral_adulto": ring, "piloto": [Entry("d4" * 32, regions=("21",))]}
        keys_of_routes = [RouteKeyEntry(ROUTE_KEY.public, NOW + 7_776_000_000)]
        made = manifest.make(number=number, forms=forms, route_keys=keys_of_routes, issued=NOW)
        return signed(made, manifest.TYP, *keys)

    def accept(expect: str, about: str, offered: Document, held: Document | None = None) -> Case:
        asked = [["pe_laboral_adulto", dev, "1702"] for dev in (DEVICE.kid, AUTHOR.kid, REVIEWER.kid, STRANGER.kid)]
        asked += [["piloto", DEVICE.kid, "17"], ["piloto", DEVICE.kid, "2110"]]
        given = {"trust": text(TRUST), "document": text(offered), "held": text(held) if held else None, "asked": asked}
        if expect != "ok":
            return case("manifest", expect, about, given)
        known = manifest.accept(offered, trust.read(TRUST), None)
        return case("manifest", expect, about, given, [known.choose(*question) for question in asked])

    good = document(SERVER)
    return {
        "ok": accept("ok", "The first entry that takes the tablet.", good),
        "rolled_back": accept("document.rolled_back", "An older number.", document(SERVER, number=5), good),
        "by_registrar": accept("signed.too_few", "Only a server signs manifests.", document(REGISTRAR)),
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


def enrolment_cases() -> dict[str, Case]:
    certificate = enrolment.Certificate(DEVICE.kid, DEVICE.public, "17", "T-014", 1)

    def certified(expect: str, about: str, key: SigningKey, dev: str) -> Case:
        document = signed(certificate.to_payload(NOW), enrolment.CERTIFICATE_TYP, key)
        return case("certificate", expect, about, {"trust": text(TRUST), "document": text(document), "dev": dev})

    asked = enrolment.request("codigo-de-un-uso", DEVICE)
    forged = Document(asked.payload, (sign(asked.payload, STRANGER, enrolment.REQUEST_TYP),))
    return {
        "certificate_ok": certified("ok", "A registrar's word.", REGISTRAR, DEVICE.kid),
        "certificate_by_server": certified("signed.too_few", "A server cannot let tablets in.", SERVER, DEVICE.kid),
        "certificate_other_device": certified("enrolment.wrong_device", "Another tablet's.", REGISTRAR, STRANGER.kid),
        "request_ok": case("enrolment", "ok", "Signed with the key it names.", {"document": text(asked)}),
        "request_by_stranger": case("enrolment", "signed.too_few", "No proof of the key.", {"document": text(forged)}),
    }


def receipt_cases() -> dict[str, Case]:
    items = [receipt.Item("e1" * 32, "stored", 7), receipt.Item("e2" * 32, "rejected", 0, "envelope.bad_signature")]

    def accept(expect: str, about: str, key: SigningKey = SERVER, dev: str = DEVICE.kid, n: int = 12) -> Case:
        made = receipt.make(key, dev=dev, n=n, at=NOW, generation=GENERATION, head="f0" * 32, items=items)
        return case(
            "receipts", expect, about, {"trust": text(TRUST), "document": text(made), "dev": DEVICE.kid, "n": 12}
        )

    return {
        "ok": accept("ok", "A server's word."),
        "by_stranger": accept("signed.too_few", "Signed by nobody whom the trust names.", STRANGER),
        "by_registrar": accept("signed.too_few", "Only a server signs receipts.", REGISTRAR),
        "other_device": accept("receipt.other_device", "Another tablet's receipts.", dev=STRANGER.kid),
        "stale": accept("receipt.stale", "Receipts of an earlier request.", n=11),
    }
