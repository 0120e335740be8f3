"""The vectors of request numbers: those that a server accepts, and the signed refusals that a tablet accepts."""

import zlib
from typing import Any

from sync.documents import receipt
from sync.documents.receipt import ReceiptItem
from sync.documents.signed import sign_bare
from sync.exchange import messages
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u, canonical
from vector_makers.fixed_inputs import AUTHOR, DEVICE, NOW, SERVER, STRANGER, Case, case


def number_cases() -> dict[str, Case]:
    def asked(n: int, at: int = NOW) -> messages.Message:
        return messages.write_request(messages.Request(n=n, at=at), DEVICE)

    def check(about: str, *requests: messages.Message) -> Case:
        told = [{"body": b64u(message.body), "signature": message.signature} for message in requests]
        return case("requests", "ok", about, {"device": b64u(DEVICE.public.raw), "requests": told})

    def refused(code: str, about: str, *requests: messages.Message, n: int, last: int) -> Case:
        return {**check(about, *requests), "expect": code, "result": {"dev": DEVICE.kid, "n": n, "last": last}}

    used, skipped, step = "sync.number_used", "sync.number_skipped", 2**20
    return {
        "next": check("Numbers rise.", asked(1), asked(2)),
        "left_out": check("Numbers rise; they need not be next to each other.", asked(1), asked(9)),
        "same_request_again": check("The very same bytes: the answer was lost.", asked(1), asked(2), asked(2)),
        "same_request_in_between": check("The very same bytes, then the next.", asked(1), asked(1), asked(2)),
        "largest_step": check("2^20 above the last.", asked(step), asked(2 * step)),
        "same_request_after_a_step": check("The very same bytes after the largest step.", asked(step), asked(step)),
        "replayed_request": refused(used, "An old request, again.", asked(1), asked(2), asked(1), n=1, last=2),
        "other_request": refused(used, "Other bytes under the last number.", asked(7), asked(7, NOW + 1), n=7, last=7),
        "skipped": refused(skipped, "Beyond the largest step.", asked(1), asked(step + 2), n=step + 2, last=1),
        "skipped_at_once": refused(skipped, "The first one, beyond it.", asked(step + 1), n=step + 1, last=0),
    }


def _sent(body: bytes, key: SigningKey, typ: str) -> messages.Message:
    return messages.Message(body, f"{key.kid}.{sign_bare(body, key, typ)}")


def refusal_cases() -> dict[str, Case]:
    used = {
        "code": "sync.number_used",
        "dev": DEVICE.kid,
        "n": 12,
        "last": 40,
        "status": 409,
        "title": "El número ya se usó",
    }
    skipped = {**used, "code": "sync.number_skipped", "last": 3}

    def check(expect: str, about: str, message: messages.Message, last: int | None = None) -> Case:
        given = {"body": b64u(message.body), "signature": message.signature, "servers": [b64u(SERVER.public.raw)]}
        return case("refusal", expect, about, {**given, "dev": DEVICE.kid, "n": 12}, last)

    def signed(key: SigningKey = SERVER, typ: str = messages.REFUSAL_TYP, **said: Any) -> messages.Message:
        return _sent(canonical({**used, **said}), key, typ)

    def without(name: str) -> messages.Message:
        said = {member: value for member, value in used.items() if member != name}
        return messages.write_refusal(said, SERVER)

    items = [ReceiptItem("ab" * 32, "stored", 1)]
    receipts, strange = (
        receipt.make(key, dev=DEVICE.kid, n=12, at=NOW, generation="A" * 11, head="", items=items).to_bytes().decode()
        for key in (SERVER, STRANGER)
    )
    good, wrong = messages.write_refusal(used, SERVER), "exchange.bad_signature"
    packed, spaced = zlib.compress(good.body, 9, wbits=31), b" " + good.body.replace(b":", b" : ")
    return {
        "used": check("ok", "The number was used; the last one was 40.", good, 40),
        "skipped": check("ok", "The number was too far; down to 3.", messages.write_refusal(skipped, SERVER), 3),
        "receipts": check("ok", "With receipts for its envelopes.", signed(receipts=receipts), 40),
        "receipts_of_a_stranger": check("ok", "Receipts are accepted apart (10).", signed(receipts=strange), 40),
        "receipts_malformed": check("signed.malformed", "Receipts without a signature.", signed(receipts="{}")),
        "receipts_a_number": check("document.malformed", "Receipts that are no text.", signed(receipts=7)),
        "last_zero": check("ok", "A server that never heard this tablet.", signed(last=0), 0),
        "spaced": check("ok", "Readers take any spelling.", _sent(spaced, SERVER, messages.REFUSAL_TYP), 40),
        "unsigned": check("exchange.malformed", "Anybody can write a problem.", messages.Message(good.body, "")),
        "by_stranger": check("exchange.unknown_signer", "By a server that the trust does not name.", signed(STRANGER)),
        "by_the_tablet": check("exchange.unknown_signer", "By the tablet itself.", signed(DEVICE)),
        "changed": check(wrong, "Changed.", messages.Message(good.body + b" ", good.signature)),
        "signed_as_response": check(wrong, "A response in its place.", signed(typ=messages.RESPONSE_TYP)),
        "signed_as_request": check(wrong, "A request in its place.", signed(typ=messages.REQUEST_TYP)),
        "other_device": check("exchange.wrong_answer", "To another tablet.", signed(dev=AUTHOR.kid)),
        "other_request": check("exchange.wrong_answer", "Of another request.", signed(n=11)),
        "no_device": check("document.malformed", "It names no tablet.", without("dev")),
        "no_number": check("document.malformed", "It names no request.", without("n")),
        "no_last": check("document.malformed", "It does not say where to go on.", without("last")),
        "request_before_last": check(
            "exchange.wrong_answer", "Of another request, and no last.", signed(n=11, last="")
        ),
        "gzip": check("encoding.json", "A problem is never gzip'd.", _sent(packed, SERVER, messages.REFUSAL_TYP)),
    }
