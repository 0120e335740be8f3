"""The vectors of couriers: the file, the request, and the receipts that a tablet accepts from a file."""

import hashlib
from dataclasses import replace
from typing import Any

from sync.documents import courier_receipt, receipt
from sync.documents.courier_receipt import CourierReceipts
from sync.documents.signed import Document
from sync.exchange import courier_messages
from sync.exchange.courier_bundle import CarriedEnvelope, receipts_line
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u, canonical
from vector_makers.fixed_inputs import (
    DEVICE,
    GENERATION,
    NOW,
    PIN,
    REGISTRAR,
    SERVER,
    STRANGER,
    TRUST,
    Case,
    case,
    fixed,
    signed,
    text,
)

IDS = [f"e{number}" * 32 for number in range(1, 5)]
LATER, UNKNOWN = (b64u(fixed(name)[:8]) for name in ("later generation", "unknown generation"))
OTHER_PIN = fixed("other pin").hex()
RECEIPTS = CourierReceipts(DEVICE.kid, NOW, GENERATION, (), "f0" * 32, 812, (receipt.ReceiptItem(IDS[0], "stored", 1),))


def _receipts(*ids: str, key: SigningKey = SERVER, **changes: Any) -> Document:
    items = tuple(receipt.ReceiptItem(identity, "stored", number) for number, identity in enumerate(ids, 1))
    return courier_receipt.make(key, replace(RECEIPTS, **{"items": items, **changes}))


def _line(kind: str, content: bytes) -> bytes:
    return f"chaski-1/{kind} {hashlib.sha256(content).hexdigest()} ".encode() + content + b"\n"


# These functions are longer than usual: lists of cases, to read from top to bottom.
def courier_file_cases() -> dict[str, Case]:
    one, two, three = (CarriedEnvelope(PIN, f"{name}.{name}".encode()) for name in ("one", "two", "three"))
    foreign = CarriedEnvelope(OTHER_PIN, b"four")
    document = _receipts(*IDS)
    told = receipts_line(document)
    letter = two.to_line().replace(b"two", b"twp", 1)

    def read(about: str, file: bytes, *good: CarriedEnvelope, receipts: int = 0, damaged: tuple[int, ...] = ()) -> Case:
        found = {
            "envelopes": [[each.pin, each.id] for each in good],
            "receipts": [document.sha256] * receipts,
            "damaged": list(damaged),
        }
        return case("courier_file", "ok", about, {"file": b64u(file)}, found)

    def refused(about: str, file: bytes) -> Case:
        return case("courier_file", "courier.malformed", about, {"file": b64u(file)})

    first, second, third = one.to_line(), two.to_line(), three.to_line()
    return {
        "ok": read("Three envelopes.", first + second + third, one, two, three),
        "twice": read("The same file behind itself.", (first + second) * 2, one, two),
        "other_roots": read("Tablets of two servers.", first + foreign.to_line(), one, foreign),
        "other_pin": read(
            "The same envelope with another pin, twice.",
            (CarriedEnvelope(OTHER_PIN, one.raw).to_line() + first) * 2,
            CarriedEnvelope(OTHER_PIN, one.raw),
            one,
        ),
        "no_last_line_feed": read("The last line feed is missing.", first + second[:-1], one, two),
        "cut": read("Cut off in the second line.", first + second[:-2], one, damaged=(2,)),
        "rotten": read("One letter is another one.", first + letter + third, one, three, damaged=(2,)),
        "rotten_line_feed": read(
            "A line feed became a blank.", first + second.replace(b"\n", b" ") + third, one, damaged=(2,)
        ),
        "rotten_pin": read(
            "A letter of the pin is another one.",
            first.replace(PIN.encode(), b"0" + PIN[1:].encode()) + second,
            two,
            damaged=(1,),
        ),
        "empty_line": read("An empty line.", first + b"\n" + second, one, two, damaged=(2,)),
        "carriage_return": read(
            "Line ends of another system.", first.replace(b"\n", b"\r\n") + second, two, damaged=(1,)
        ),
        "receipts": read("Receipts alone.", told, receipts=1),
        "mixed": read("Envelopes and receipts.", first + told + second + told, one, two, receipts=2),
        "receipts_no_document": read(
            "Receipts that are no document.", first + _line("receipts", b"{}"), one, damaged=(2,)
        ),
        "envelope_without_pin": read("No pin.", first + _line("envelope", b"two.two"), one, damaged=(2,)),
        "envelope_of_other_letters": read(
            "A letter that no envelope has.", first + _line("envelope", PIN.encode() + b" a+b"), one, damaged=(2,)
        ),
        "unknown_kind": read("A kind of tomorrow.", first + _line("orders", b"two.two"), one, damaged=(2,)),
        "upper_case_hash": read(
            "Its hash in capitals.", first + second[:22] + second[22:84].upper() + second[84:], one, damaged=(2,)
        ),
        "other_protocol": refused("Lines of a later protocol.", first.replace(b"chaski-1/", b"chaski-2/")),
        "empty": refused("An empty file.", b""),
        "other_file": refused("Another kind of file.", b"PK\x03\x04" + bytes(range(256)) * 4),
        "binary_zeros": refused("What a power cut may leave.", bytes(4096)),
    }


def courier_request_cases() -> dict[str, Case]:
    def sent(expect: str, about: str, body: bytes, *envelopes: bytes) -> Case:
        found = [hashlib.sha256(raw).hexdigest() for raw in envelopes]
        return case("courier_request", expect, about, {"body": b64u(body)}, found if expect == "ok" else None)

    good = courier_messages.write_request((b"one", b"two"))
    many = {"protocol": "chaski-1", "envelopes": [str(number) for number in range(501)]}
    return {
        "ok": sent("ok", "Two envelopes.", good, b"one", b"two"),
        "none": sent("ok", "Only the generation is asked for.", canonical({"protocol": "chaski-1"})),
        "unknown_member": sent("ok", "A member of tomorrow is ignored.", good[:-1] + b',"z":1}', b"one", b"two"),
        "other_protocol": sent("exchange.wrong_protocol", "A later protocol.", good.replace(b"chaski-1", b"chaski-2")),
        "501_envelopes": sent("document.malformed", "One envelope more than a request may have.", canonical(many)),
        "not_texts": sent("document.malformed", "Not a text.", canonical({"protocol": "chaski-1", "envelopes": [1]})),
        "gzip": sent("encoding.json", "It is never gzip'd.", b"\x1f\x8b" + good),
    }


def courier_receipt_cases() -> dict[str, Case]:
    def take(
        about: str,
        *documents: Document,
        held: str = GENERATION,
        done: tuple[str, ...] = (),
        now: str = "",
        refused: tuple[str, ...] = (),
    ) -> Case:
        given = {"trust": text(TRUST), "dev": DEVICE.kid, "generation": held, "documents": list(map(text, documents))}
        result = {"done": sorted(done), "generation": now or held, "refused": list(refused)}
        return case("courier_receipts", "ok", about, given, result)

    first, second = _receipts(IDS[0], IDS[1]), _receipts(IDS[2])
    later = _receipts(IDS[1], generation=LATER, left=(GENERATION,))
    outcomes = [receipt.ReceiptItem(IDS[0], "rejected", code="envelope.bad_signature")]
    outcomes += [receipt.ReceiptItem(IDS[number], each, number) for number, each in ((1, "held"), (2, "quarantined"))]
    request = receipt.make(SERVER, dev=DEVICE.kid, n=12, at=NOW, generation=GENERATION, head="", items=RECEIPTS.items)
    said = {"dev": DEVICE.kid, "at": NOW, "generation": GENERATION, "head": "", "items": []}
    many_left = [b64u(number.to_bytes(8)) for number in range(1001)]
    other = ("receipt.other_generation",)
    return {
        "ok": take("Two documents of the tablet's generation.", first, second, done=tuple(IDS[:3])),
        "twice": take("The same again.", first, first, done=tuple(IDS[:2])),
        "outcomes": take("All but the rejected one.", _receipts(items=tuple(outcomes)), done=(IDS[1], IDS[2])),
        "first": take("The tablet has no generation yet.", first, held="", done=tuple(IDS[:2]), now=GENERATION),
        "restored": take("The server was restored: earlier ones are void.", first, later, done=(IDS[1],), now=LATER),
        "before_restore": take(
            "Those from before the restore, after it.", later, first, done=(IDS[1],), now=LATER, refused=other
        ),
        "first_after_restore": take(
            "The same, by a tablet without a generation.",
            later,
            first,
            held="",
            done=(IDS[1],),
            now=LATER,
            refused=other,
        ),
        "unknown_generation": take(
            "A generation that does not follow.", _receipts(IDS[0], generation=UNKNOWN), refused=other
        ),
        "of_another_restore": take(
            "It follows from another one.", _receipts(IDS[0], generation=LATER, left=(UNKNOWN,)), refused=other
        ),
        "other_device": take(
            "Another tablet's, and its own.",
            _receipts(IDS[0], dev=STRANGER.kid),
            second,
            done=(IDS[2],),
            refused=("receipt.other_device",),
        ),
        "by_stranger": take("Signed by nobody who may.", _receipts(IDS[0], key=STRANGER), refused=("signed.too_few",)),
        "by_registrar": take(
            "Only a server signs receipts.", _receipts(IDS[0], key=REGISTRAR), refused=("signed.too_few",)
        ),
        "of_a_request": take("Receipts for a request.", request, refused=("signed.wrong_typ",)),
        "no_generation": take(
            "A member is missing.",
            signed(canonical({**said, "generation": ""}), courier_receipt.TYP, SERVER),
            refused=("document.malformed",),
        ),
        "1001_left": take(
            "More generations than it may name.",
            signed(canonical({**said, "left": many_left}), courier_receipt.TYP, SERVER),
            refused=("document.malformed",),
        ),
    }
