"""The vectors of a tablet's enrolment, certificates, orders and receipts, and of copied tablets."""

from typing import Any

from sync.documents import device_order, enrolment, receipt, registry
from sync.documents.signed import Document, sign
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u, canonical
from vector_makers.documents import REGISTRY_MEMBERS
from vector_makers.fixed_inputs import (
    DEVICE,
    GENERATION,
    NOW,
    REGISTRAR,
    SERVER,
    STRANGER,
    TRUST,
    Case,
    case,
    signed,
    text,
)


def certificate(key: SigningKey) -> Document:
    """The tablet's certificate, signed by `key`."""
    said = enrolment.Certificate(DEVICE.kid, DEVICE.public, "17", "T-014", 1)
    return signed(said.to_payload(NOW), enrolment.CERTIFICATE_TYP, key)


def readmission_cases() -> dict[str, Case]:
    """Return the cases of a tablet that sends its certificate to a server restored from a copy."""

    def sent(
        expect: str, about: str, key: SigningKey, *revoked: str, dev: str = DEVICE.kid, result: Any = None
    ) -> Case:
        known = signed(registry.make(**{**REGISTRY_MEMBERS, "revoked": revoked}), registry.TYP, REGISTRAR)
        given = {"trust": text(TRUST), "registry": text(known), "document": text(certificate(key)), "dev": dev}
        return case("readmit", expect, about, given, result)

    return {
        "ok": sent("ok", "The registrar's word counts again.", REGISTRAR, result="certified"),
        "revoked": sent("ok", "The registry in force lists the tablet.", REGISTRAR, DEVICE.kid, result="revoked"),
        "by_stranger": sent("signed.too_few", "Signed by nobody who may.", STRANGER),
        "other_device": sent("enrolment.wrong_device", "Under another's address.", REGISTRAR, dev=STRANGER.kid),
    }


def order_cases() -> dict[str, Case]:
    def told(*orders: tuple[int, str], key: SigningKey = REGISTRAR, dev: str = DEVICE.kid) -> list[Document]:
        return [device_order.make(key, dev=dev, number=number, issued=NOW, order=what) for number, what in orders]

    def check(expect: str, about: str, documents: list[Document], result: Any = None) -> Case:
        given = {"trust": text(TRUST), "dev": DEVICE.kid, "documents": [text(each) for each in documents]}
        return case("orders", expect, about, given, result)

    def stands(last: int, *, revoked: bool = False, wiped: bool = False) -> dict[str, Any]:
        return {"last": last, "revoked": revoked, "wiped": wiped}

    wipe, revoke = told((1, "wipe")), told((2, "revoke"))
    return {
        "none": check("ok", "Nothing was ordered.", [], stands(0)),
        "wipe": check("ok", "A wipe revokes nothing.", wipe, stands(1, wiped=True)),
        "revoke": check("ok", "A revocation wipes nothing.", revoke, stands(2, revoked=True)),
        "both": check("ok", "In rising order.", wipe + revoke, stands(2, revoked=True, wiped=True)),
        "older_number": check("ok", "Number 1 after number 2 is ignored.", revoke + wipe, stands(2, revoked=True)),
        "same_number": check(
            "ok", "Another order under the last number is ignored.", wipe + told((1, "revoke")), stands(1, wiped=True)
        ),
        "wrong_device": check("order.wrong_device", "For another tablet.", told((1, "wipe"), dev=STRANGER.kid)),
        "by_server": check("signed.too_few", "A server may not order anything.", told((1, "wipe"), key=SERVER)),
        "unknown_order": check("document.malformed", "An order that nobody knows.", told((1, "explode"))),
        "no_number": check("document.malformed", "Numbers count from 1.", told((0, "wipe"))),
    }


def enrolment_cases() -> dict[str, Case]:
    def certified(expect: str, about: str, key: SigningKey, dev: str) -> Case:
        given = {"trust": text(TRUST), "document": text(certificate(key)), "dev": dev}
        return case("certificate", expect, about, given)

    asked = enrolment.write_enrolment_request("codigo-de-un-uso", DEVICE)
    forged = Document(asked.payload, (sign(asked.payload, STRANGER, enrolment.REQUEST_TYP),))
    return {
        "certificate_ok": certified("ok", "A registrar's word.", REGISTRAR, DEVICE.kid),
        "certificate_by_server": certified("signed.too_few", "A server cannot let tablets in.", SERVER, DEVICE.kid),
        "certificate_other_device": certified("enrolment.wrong_device", "Another tablet's.", REGISTRAR, STRANGER.kid),
        "request_ok": case("enrolment", "ok", "Signed with the key it names.", {"document": text(asked)}),
        "request_by_stranger": case("enrolment", "signed.too_few", "No proof of the key.", {"document": text(forged)}),
    }


def receipt_cases() -> dict[str, Case]:
    outcomes = ("stored", "duplicate", "held", "fork", "conflict", "quarantined")
    items = [receipt.ReceiptItem(f"e{number}" * 32, outcome, 7 + number) for number, outcome in enumerate(outcomes)]
    items.append(receipt.ReceiptItem("ee" * 32, "rejected", 0, "envelope.bad_signature"))

    def accept(expect: str, about: str, key: SigningKey = SERVER, **changes: Any) -> Case:
        said = {"dev": DEVICE.kid, "n": 12, "at": NOW, "generation": GENERATION, "head": "f0" * 32, "items": items}
        made = receipt.make(key, **{**said, **changes})
        given = {"trust": text(TRUST), "document": text(made), "dev": DEVICE.kid, "n": 12, "generation": GENERATION}
        done = [item.id for item in changes.get("items", items) if item.outcome != "rejected"]
        return case("receipts", expect, about, given, done if expect == "ok" else None)

    said = {"dev": DEVICE.kid, "n": 12, "at": NOW, "generation": GENERATION, "head": ""}
    given = {"trust": text(TRUST), "dev": DEVICE.kid, "n": 12, "generation": GENERATION}
    done = "e1" * 32
    item = {"id": done, "outcome": "stored", "seq": 1, "code": ""}
    silent = signed(canonical({**said, "items": [item]}), receipt.TYP, SERVER)
    misnumbered = signed(canonical({**said, "number": "812", "items": [item]}), receipt.TYP, SERVER)
    headless = signed(canonical({name: value for name, value in said.items() if name != "head"}), receipt.TYP, SERVER)
    return {
        "ok": accept("ok", "A server's word: all but the rejected one are done."),
        "empty_code": case("receipts", "ok", "A code that says nothing.", {**given, "document": text(silent)}, [done]),
        "no_head": case(
            "receipts", "document.malformed", "A member is missing.", {**given, "document": text(headless)}
        ),
        "number": accept("ok", "With the number of the audit row.", number=812),
        "number_is_no_integer": case(
            "receipts", "document.malformed", "A number as a text.", {**given, "document": text(misnumbered)}
        ),
        "empty": accept("ok", "Nothing to receipt, and no audit chain yet.", items=[], head=""),
        "unknown_outcome": accept(
            "document.malformed", "An outcome that nobody knows.", items=[receipt.ReceiptItem("e1" * 32, "lost", 7)]
        ),
        "other_generation": accept(
            "receipt.other_generation", "Of another database than the response.", generation=b64u(bytes(8))
        ),
        "device_before_number": accept(
            "receipt.other_device", "Another tablet's, and of an earlier request.", dev=STRANGER.kid, n=11
        ),
        "by_stranger": accept("signed.too_few", "Signed by nobody whom the trust names.", STRANGER),
        "by_registrar": accept("signed.too_few", "Only a server signs receipts.", REGISTRAR),
        "other_device": accept("receipt.other_device", "Another tablet's receipts.", dev=STRANGER.kid),
        "stale": accept("receipt.stale", "Receipts of an earlier request.", n=11),
    }


def copied_cases() -> dict[str, Case]:
    def told(
        about: str,
        written: int,
        seq: int | None,
        *later: int | None,
        code: str = "",
        ended: list[int | None] | None = None,
    ) -> Case:
        """Return a case of a tablet that gets this `seq` for its chain; `ended` only if it begins a new one."""
        given = {"written": written, "told": seq, "code": code, "later": list(later)}
        named = [None] * (1 + len(later)) if ended is None else ended
        return case("copied", "ok", about, given, {"begins": ended is not None, "ended": named})

    used, skipped = "sync.number_used", "sync.number_skipped"
    return {
        "no_news": told("An answer that says nothing of the chain.", 3, None),
        "behind": told("The server has not everything yet.", 3, 2, 3),
        "level": told("The server has what the tablet wrote.", 3, 3),
        "above": told("The server has more than the tablet wrote: a copy of it speaks too.", 3, 4, ended=[None]),
        "number_used": told("Somebody used its request number.", 3, None, code=used, ended=[3]),
        "number_skipped": told("A number too far above says nothing of a copy.", 3, None, 3, code=skipped),
        "ended_until_level": told(
            "It names the chain until the server has all of it, and no longer.",
            3,
            None,
            *(0, 2, None, 3, None),
            code=used,
            ended=[3, 3, 3, 3, None, None],
        ),
        "ended_above": told(
            "The server has more of it than the tablet.", 3, None, 5, None, code=used, ended=[3, None, None]
        ),
        "ended_empty": told("Nothing was written in the chain.", 0, None, None, code=used, ended=[None, None]),
    }
