"""The vectors of the sync exchange: bodies of requests and responses, and the outcomes of envelopes."""

import hashlib
import json
import zlib
from dataclasses import replace
from typing import Any

from sync.documents import device_order, receipt
from sync.documents.signed import sign_bare
from sync.envelope.route import seal_route
from sync.envelope.verify import envelope_id, parse_envelope
from sync.exchange import messages
from sync.keys.key_pairs import SigningKey, key_id
from sync.wire.encoding import b64u, canonical
from vector_makers.fixed_inputs import (
    AUTHOR,
    CHAIN,
    DEVICE,
    GENERATION,
    NOW,
    PROVINCE_ROUTE,
    REGISTRAR,
    ROUTE_KEY,
    SERVER,
    STRANGER,
    TRUST,
    YEAR_2090,
    Case,
    case,
    fixed,
)
from vector_makers.sealed import Sealed, SealOnce, one_sealed

FULL: dict[str, Any] = {
    "orders": 3,
    "pending": ("e1" * 32,),
    "envelopes": (b"not an envelope",),
    "inventory_digest": key_id(b"{}"),
    "inventory": {"pe_laboral_adulto": "a1" * 32},
    "refused": {"b2" * 32: "signed.too_few"},
    "ended": {CHAIN: 7},
    "budget": 20_000,
    "told": messages.AuditRow(812, b64u(fixed("audit row")[:16])),
    "receipted": {CHAIN: 7},
    "proof": "not receipts",
}
_RECEIPT = receipt.ReceiptItem("e1" * 32, "stored", 7)
NEWS: dict[str, Any] = {
    "receipts": receipt.make(SERVER, dev=DEVICE.kid, n=12, at=NOW, generation=GENERATION, head="", items=[_RECEIPT]),
    "trust": (TRUST,),
    "forms": b64u(b"a stream of versions"),
    "events": (messages.Event("e1" * 32, "claimed", NOW), messages.Event("e2" * 32, "some_word_of_tomorrow", NOW)),
    "orders": (device_order.make(REGISTRAR, dev=DEVICE.kid, number=4, issued=NOW, order="wipe"),),
    "more": True,
    "again": {CHAIN: [(2, 2), (5, 7)]},
    "prove": True,
}


# This function and those below are longer than usual: lists of cases, to read from top to bottom.
def exchange_cases() -> dict[str, Case]:
    ask = messages.Request(n=12, at=NOW, trust=1, registry=4, manifest=NOW // 1000, generation=GENERATION, cursor=9)
    many = replace(ask, pending=tuple(hashlib.sha256(bytes([i])).hexdigest() for i in range(20)))
    too_many = replace(ask, pending=tuple(hashlib.sha256(i.to_bytes(2)).hexdigest() for i in range(501)))
    answer = messages.Response(dev=DEVICE.kid, n=12, at=NOW, generation=GENERATION, cursor=9, seq={CHAIN: 3})

    def request(expect: str, about: str, message: messages.Message, result: Any = None) -> Case:
        given = {"body": b64u(message.body), "signature": message.signature, "device": b64u(DEVICE.public.raw)}
        return case("request", expect, about, given, result)

    def response(expect: str, about: str, message: messages.Message, result: Any = None) -> Case:
        given = {"body": b64u(message.body), "signature": message.signature, "servers": [b64u(SERVER.public.raw)]}
        return case("response", expect, about, {**given, "dev": DEVICE.kid, "n": 12}, result)

    def sent(body: bytes, key: SigningKey = DEVICE, typ: str = messages.REQUEST_TYP) -> messages.Message:
        return messages.Message(body, f"{key.kid}.{sign_bare(body, key, typ)}")

    good, back = messages.write_request(ask, DEVICE), messages.write_response(answer, SERVER)
    packed, grown = messages.write_request(many, DEVICE), sent(good.body[:-1] + b',"tomorrow":{"a":[1]}}')
    ahead, behind = (messages.write_request(replace(ask, at=at), DEVICE) for at in (YEAR_2090, 0))
    full = messages.write_request(replace(ask, **FULL), DEVICE)
    news = messages.write_response(replace(answer, **NEWS), SERVER)

    def left(said: dict[str, Any]) -> messages.Message:
        return sent(canonical({**json.loads(good.body), "ended": said}))

    def refusing(said: dict[str, Any]) -> messages.Message:
        return sent(canonical({**json.loads(good.body), "refused": said}))

    def told(**said: Any) -> messages.Message:
        return sent(canonical({**json.loads(good.body), **said}))

    row = {"number": 812, "head": b64u(fixed("audit row")[:16])}

    def holding_forms(count: int) -> messages.Message:
        return sent(canonical({**json.loads(good.body), "inventory": {f"f{n:02}": "a1" * 32 for n in range(count)}}))

    hashes = [hashlib.sha256(bytes([number])).hexdigest() for number in range(65)]
    all_refused = refusing(dict.fromkeys(hashes[:64], "bundle.unusable"))

    chains = {b64u(number.to_bytes(8)): number for number in range(1, 66)}
    all_left = left({chain: seq for chain, seq in chains.items() if seq <= 64})

    def holding(text: bytes) -> messages.Message:
        """A request, gzip'd, with a member of a future protocol."""
        return sent(zlib.compress(good.body[:-1] + b',"tomorrow":' + text + b"}", 9, wbits=31))

    # The bytes of the request itself, and the comma and bracket of the new member.
    room = 200_000 - sum(map(good.body.count, (b"[", b"{", b","))) - 2

    def answered(said: dict[str, Any]) -> messages.Message:
        return sent(canonical({**json.loads(back.body), **said}), SERVER, messages.RESPONSE_TYP)

    def holes(count: int) -> messages.Message:
        return answered({"again": {CHAIN: [[2 * number, 2 * number] for number in range(1, count + 1)]}})

    def inflated(message: messages.Message) -> Any:
        return json.loads(zlib.decompress(message.body, 31))

    spaced = b" " + good.body.replace(b":", b" : ")
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(b" " * (messages.MAX_BODY_BYTES + 1)) + packer.flush()
    return {
        "request_ok": request("ok", "Nothing new.", good, json.loads(good.body)),
        "request_gzip": request("ok", "Twenty ids, gzip'd.", packed, json.loads(zlib.decompress(packed.body, 31))),
        "request_clock_2090": request("ok", "A tablet that lives in 2090.", ahead, json.loads(ahead.body)),
        "request_clock_1970": request("ok", "A tablet that lives in 1970.", behind, json.loads(behind.body)),
        "request_unknown_member": request("ok", "A member of tomorrow is ignored.", grown, json.loads(good.body)),
        "request_spaced": request("ok", "Readers take any spelling.", sent(spaced), json.loads(good.body)),
        "request_duplicate_member": request(
            "encoding.duplicate_member", "Two numbers.", sent(good.body.replace(b'"n":12', b'"n":11,"n":12'))
        ),
        "request_empty_members": request(
            "ok",
            "What says nothing need not be left out.",
            sent(good.body[:-1] + b',"budget":0,"envelopes":[],"inventory":{},"inventory_digest":"","pending":[]}'),
            json.loads(good.body),
        ),
        "request_half_surrogate": request(
            "encoding.json",
            "Half a surrogate pair in an entry.",
            sent(good.body[:-1] + rb',"envelopes":["\ud800"]}'),
        ),
        "request_no_number": request(
            "document.malformed", "It has no number.", sent(good.body.replace(b'"n":12,', b""))
        ),
        "request_fraction": request(
            "document.malformed", "A number with a fraction.", sent(good.body.replace(b'"n":12', b'"n":12.0'))
        ),
        "request_huge_number": request(
            "encoding.json", "An integer beyond 2^53.", sent(good.body.replace(b'"n":12', b'"n":9007199254740993'))
        ),
        "request_501_pending": request(
            "document.malformed", "One id more than a request may ask for.", messages.write_request(too_many, DEVICE)
        ),
        "request_truncated_gzip": request("exchange.malformed", "The gzip member is cut off.", sent(packed.body[:-4])),
        "request_two_gzip_members": request("exchange.malformed", "Two gzip members.", sent(packed.body * 2)),
        "request_no_signature": request("exchange.malformed", "No signature.", messages.Message(good.body, "")),
        "request_by_stranger": request(
            "exchange.unknown_signer", "Signed by another tablet.", sent(good.body, key=STRANGER)
        ),
        "request_changed": request(
            "exchange.bad_signature",
            "The body was changed.",
            messages.Message(good.body.replace(b'"n":12', b'"n":13'), good.signature),
        ),
        "request_wrong_typ": request(
            "exchange.bad_signature", "Signed as a response.", sent(good.body, typ=messages.RESPONSE_TYP)
        ),
        "request_bomb": request("exchange.too_large", "Inflates past 8 MiB.", sent(bomb)),
        "request_200000_values": request(
            "ok", "As many values as a text may hold.", holding(b"[1" + b",1" * room + b"]"), json.loads(good.body)
        ),
        "request_200001_values": request("encoding.json", "One more.", holding(b"[1" + b",1" * (room + 1) + b"]")),
        "request_commas_in_a_text": request(
            "encoding.json", "Those inside strings count too.", holding(b'["' + b"," * (room + 1) + b'"]')
        ),
        "request_many_values": request(
            "encoding.json",
            "8 KiB that would become 2.79 million arrays.",
            holding(b"[[]" + b",[]" * 2_789_999 + b"]"),
        ),
        "request_ended": request(
            "ok", "It left 64 chains.", all_left, {**json.loads(good.body), "ended": json.loads(all_left.body)["ended"]}
        ),
        "request_65_ended": request("document.malformed", "It left 65 chains.", left(chains)),
        "request_ended_at_zero": request(
            "document.malformed", "A chain in which nothing was written.", left({CHAIN: 0})
        ),
        "request_ended_no_chain": request("document.malformed", "A chain's name is too short.", left({CHAIN[1:]: 1})),
        "request_refused": request("ok", "It refuses 64 form versions.", all_refused, json.loads(all_refused.body)),
        "request_65_refused": request(
            "document.malformed", "It refuses 65.", refusing(dict.fromkeys(hashes, "bundle.unusable"))
        ),
        "request_refused_for_a_sentence": request(
            "document.malformed", "A reason that is no code.", refusing({hashes[0]: "Le falta una firma."})
        ),
        "request_refused_for_65_letters": request(
            "document.malformed", "A code that is too long.", refusing({hashes[0]: "a" * 65})
        ),
        "request_refused_no_version": request(
            "document.malformed", "A hash that is cut off.", refusing({hashes[0][1:]: "bundle.unusable"})
        ),
        "request_told": request(
            "ok",
            "What it was told, without a member of tomorrow.",
            told(told={**row, "tomorrow": 1}, receipted={CHAIN: 1}),
            {**json.loads(good.body), "told": row, "receipted": {CHAIN: 1}},
        ),
        "request_told_nothing": request(
            "ok", "What says nothing here too.", told(told={}, receipted={}, proof=""), json.loads(good.body)
        ),
        "request_told_no_hash": request("document.malformed", "A number without its hash.", told(told={"number": 812})),
        "request_told_no_number": request(
            "document.malformed", "A hash without its number.", told(told={"head": row["head"]})
        ),
        "request_told_whole_hash": request(
            "document.malformed", "The hash in hexadecimal.", told(told={**row, "head": "f0" * 32})
        ),
        "request_receipted_at_zero": request("document.malformed", "No such number.", told(receipted={CHAIN: 0})),
        "request_65_receipted": request("document.malformed", "Receipts in 65 chains.", told(receipted=chains)),
        "request_proof_is_no_text": request("document.malformed", "A proof as an object.", told(proof=row)),
        "request_64_forms": request("ok", "It has 64 forms.", holding_forms(64), json.loads(holding_forms(64).body)),
        "request_65_forms": request(
            "ok", "It tells 65 forms: the first 64 count.", holding_forms(65), json.loads(holding_forms(64).body)
        ),
        "request_signed_as_refusal": request(
            "exchange.bad_signature", "Signed as a refusal.", sent(good.body, typ=messages.REFUSAL_TYP)
        ),
        "request_other_protocol": request(
            "exchange.wrong_protocol", "Another protocol.", sent(good.body.replace(b"chaski-1", b"chaski-9"))
        ),
        "request_signature_before_gzip": request(
            "exchange.bad_signature",
            "Cut off, and so not what was signed.",
            messages.Message(packed.body[:-4], packed.signature),
        ),
        "request_protocol_before_members": request(
            "exchange.wrong_protocol", "Another protocol, and no number.", sent(b'{"protocol":"chaski-9"}')
        ),
        "request_signature_of_another_form": request(
            "exchange.bad_signature",
            "A signature that is no base64url.",
            messages.Message(good.body, f"{DEVICE.kid}.="),
        ),
        "request_short_kid": request("exchange.malformed", "A kid of one letter.", messages.Message(good.body, "A.AA")),
        "request_full": request("ok", "Everything that a tablet can say.", full, inflated(full)),
        "response_full": response("ok", "Everything that a server can say.", news, inflated(news)),
        "response_broken_document": response(
            "signed.malformed", "An order without a signature.", answered({"orders": ["{}"]})
        ),
        "response_broken_event": response(
            "document.malformed",
            "A status that is no word.",
            answered({"events": [{"id": "e1" * 32, "status": "!", "at": 1}]}),
        ),
        "response_no_generation": response("document.malformed", "It names no database.", answered({"generation": ""})),
        "response_64_ranges": response("ok", "Many holes.", holes(64), json.loads(holes(64).body)),
        "response_65_ranges": response("document.malformed", "One more.", holes(65)),
        "response_half_a_range": response("document.malformed", "No end.", answered({"again": {CHAIN: [[2]]}})),
        "response_range_from_zero": response(
            "document.malformed", "No number is 0.", answered({"again": {CHAIN: [[0, 2]]}})
        ),
        "response_range_of_truth": response(
            "document.malformed", "True is no number.", answered({"again": {CHAIN: [[1, True]]}})
        ),
        "response_prove_is_no_truth": response("document.malformed", "1 is not true.", answered({"prove": 1})),
        "response_more_is_no_truth": response("document.malformed", "1 is not true.", answered({"more": 1})),
        "response_changed": response(
            "exchange.bad_signature", "Changed.", messages.Message(back.body + b" ", back.signature)
        ),
        "response_signed_as_request": response(
            "exchange.bad_signature", "A request in its place.", sent(back.body, key=SERVER)
        ),
        "response_signed_as_refusal": response(
            "exchange.bad_signature", "A refusal in its place.", sent(back.body, SERVER, messages.REFUSAL_TYP)
        ),
        "response_other_device": response(
            "exchange.wrong_answer",
            "To another tablet.",
            messages.write_response(replace(answer, dev=AUTHOR.kid), SERVER),
        ),
        "response_ok": response("ok", "Nothing new.", back, json.loads(back.body)),
        "response_by_stranger": response(
            "exchange.unknown_signer", "No server of ours.", messages.write_response(answer, STRANGER)
        ),
        "response_other_request": response(
            "exchange.wrong_answer", "The answer to request 11.", messages.write_response(replace(answer, n=11), SERVER)
        ),
    }


def lost_cases() -> dict[str, Case]:
    def lost(about: str, stored: list[int], receipted: int, *ranges: list[int]) -> Case:
        return case("lost", "ok", about, {"stored": stored, "receipted": receipted}, list(ranges))

    return {
        "nothing": lost("All are stored.", [1, 2, 3], 3),
        "nothing_twice_stored": lost("Two have one number, and the tablet wrote on.", [1, 2, 2, 3, 4], 3),
        "one": lost("One in the middle.", [1, 2, 4], 4, [3, 3]),
        "both_ends": lost("The first two, and the last two.", [3, 4, 5], 7, [1, 2], [6, 7]),
        "all": lost("Nothing is stored.", [], 9, [1, 9]),
        "65_holes": lost(
            "A response names 64 of them.", list(range(2, 131, 2)), 130, *([n, n] for n in range(1, 128, 2))
        ),
    }


def take_in_cases(seal_once: SealOnce) -> dict[str, Case]:
    first = one_sealed(seal_once)

    def screening(number: int, seq: int, **changes: Any) -> str:
        """The tablet's screening of this number, at this position in its chain."""
        jti = b64u(fixed(f"jti {number}")[:16])
        sealed = seal_once(f"route of screening {number}", lambda: seal_route(PROVINCE_ROUTE, ROUTE_KEY.public, jti))
        place: dict[str, Any] = {"seq": seq, "kseq": seq, "prev": "" if seq == 1 else fixed(f"before {seq}").hex()}
        return _again(first, jti=jti, route=sealed, **place, **changes)

    one, two, three = (screening(number, number) for number in (1, 2, 3))
    other_two, one_again = screening(3, 2), screening(1, 2)
    one_moved = screening(1, 1, chain=CHAIN, kid=b64u(fixed("kid")[:16]))
    new_chain = screening(2, 1, chain=b64u(fixed("new chain")[:8]))
    by_stranger = screening(1, 1, dev=STRANGER.kid, key=STRANGER)
    unopenable = _again(first, jti=b64u(fixed("jti 1")[:16]))
    broken = one[:-1] + ("A" if one[-1] != "A" else "Q")

    def check(about: str, arriving: list[tuple[str, str]], seq: dict[str, int], state: str = "certified") -> Case:
        known = [{"key": b64u(DEVICE.public.raw), "state": state}, {"key": b64u(AUTHOR.public.raw), "state": "pending"}]
        given = {"devices": known, "route_secret": b64u(ROUTE_KEY.secret), "versions": [PROVINCE_ROUTE.sha]}
        items = [_item(raw, outcome) for raw, outcome in arriving]
        sent = {"envelopes": [raw for raw, _ in arriving]}
        return case("take_in", "ok", about, given | sent, {"items": items, "seq": seq})

    made = {
        "stored": check("The first of a chain.", [(one, "stored")], {CHAIN: 1}),
        "duplicate": check("The same bytes again.", [(one, "stored"), (one, "duplicate")], {CHAIN: 1}),
        "gap": check("The second is missing.", [(one, "stored"), (three, "stored")], {CHAIN: 1}),
        "gap_at_the_front": check("The first is missing.", [(two, "stored")], {CHAIN: 0}),
        "reordered": check(
            "Order of arrival decides nothing.", [(three, "stored"), (one, "stored"), (two, "stored")], {CHAIN: 3}
        ),
        "fork": check(
            "Two screenings at one place of a chain.",
            [(one, "stored"), (two, "stored"), (other_two, "fork")],
            {CHAIN: 2},
        ),
        "conflict": check("One jti, twice.", [(one, "stored"), (one_again, "conflict")], {CHAIN: 2}),
        "conflict_and_fork": check(
            "One jti twice, and at one place: conflict.", [(one, "stored"), (one_moved, "conflict")], {CHAIN: 1}
        ),
        "quarantined": check(
            "The tablet is revoked; what it sends is kept.",
            [(one, "quarantined"), (two, "quarantined"), (one, "duplicate"), (other_two, "quarantined")],
            {CHAIN: 2},
            state="revoked",
        ),
        "new_chain": check(
            "A restored tablet begins a new chain.",
            [(one, "stored"), (new_chain, "stored")],
            {CHAIN: 1, b64u(fixed("new chain")[:8]): 1},
        ),
        "unopenable_route": check("A route that does not open costs nothing.", [(unopenable, "stored")], {CHAIN: 1}),
        "unknown_device": check("Nobody whom the server knows.", [(by_stranger, "envelope.unknown_device")], {}),
        "pending_device": check(
            "A tablet that no registrar has certified.",
            [(screening(1, 1, dev=AUTHOR.kid, key=AUTHOR), "envelope.unknown_device")],
            {},
        ),
        "one_bad_in_a_batch": check(
            "A bad one costs the others nothing.",
            [(broken, "envelope.bad_signature"), (one, "stored"), ("", "envelope.malformed"), (two, "stored")],
            {CHAIN: 2},
        ),
    }
    held = check("A form version that was never published here.", [(one, "held")], {CHAIN: 1})
    held["given"]["versions"] = [fixed("another bundle").hex()]
    return {**made, "held": held}


def _again(first: Sealed, *, key: SigningKey = DEVICE, **changes: Any) -> str:
    return first.again(replace(first.header, **changes).to_bytes(), key=key)


def _item(raw: str, outcome: str) -> dict[str, Any]:
    if "." in outcome:
        return {"id": envelope_id(raw.encode()), "outcome": "rejected", "code": outcome}
    read = parse_envelope(raw.encode())
    return {"id": read.id, "outcome": outcome, "seq": read.header.seq}
