"""The vectors of short forms in sync requests and responses (SPEC 11.4): the good ones, and each broken kind."""

import zlib
from dataclasses import replace
from typing import Any

from sync.documents import receipt
from sync.documents.receipt import ReceiptItem
from sync.documents.signed import Document, sign_bare
from sync.envelope.verify import envelope_id
from sync.exchange import messages
from sync.exchange.short_envelopes import write_envelopes
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u, canonical, strict_json
from vector_makers.fixed_inputs import CHAIN, DEVICE, GENERATION, NOW, SERVER, STRANGER, Case, case, fixed
from vector_makers.sealed import Sealed, SealOnce, one_sealed

OTHER_KID = b64u(fixed("kid")[:16])
ASK = messages.Request(n=12, at=NOW)
ANSWER = messages.Response(dev=DEVICE.kid, n=12, at=NOW, generation=GENERATION, seq={CHAIN: 3})


def short_cases(seal_once: SealOnce) -> dict[str, Case]:
    """Return the cases of requests and responses."""
    first = one_sealed(seal_once)
    return {**_request_cases(first), **_broken_cases(first), **_response_cases(first)}


def _chain_of(first: Sealed, *kids: str, start: int = 1, key: SigningKey = DEVICE) -> list[str]:
    """Make envelopes one after another in one chain, each sealed to one of these keyrings."""
    made: list[str] = []
    counts: dict[str, int] = {}
    prev = "" if start == 1 else fixed("before").hex()
    for number, kid in enumerate(kids, start):
        counts[kid] = counts.get(kid, start - 1) + 1
        place: dict[str, Any] = {"seq": number, "kseq": counts[kid], "prev": prev, "kid": kid, "dev": key.kid}
        jti = b64u(fixed(f"jti {number}")[:16])
        made.append(first.again(replace(first.header, jti=jti, **place).to_bytes(), key=key))
        prev = envelope_id(made[-1].encode())
    return made


def _request(about: str, elements: list[Any], envelopes: list[str]) -> Case:
    body = canonical({"protocol": "chaski-1", "n": ASK.n, "at": ASK.at, "envelopes": elements})
    signature = f"{DEVICE.kid}.{sign_bare(body, DEVICE, messages.REQUEST_TYP)}"
    given = {"body": b64u(body), "signature": signature, "device": b64u(DEVICE.public.raw)}
    return case("request", "ok", about, given, strict_json(body) | {"envelopes": envelopes})


def _elements(envelopes: list[str]) -> list[Any]:
    return write_envelopes([text.encode() for text in envelopes], DEVICE.kid)


def _request_cases(first: Sealed) -> dict[str, Case]:
    kid = first.header.kid
    run = _chain_of(first, kid, kid, kid)
    short = _elements(run)
    two, later = _chain_of(first, kid, OTHER_KID, kid, OTHER_KID), _chain_of(first, kid, kid, start=7)
    foreign = _chain_of(first, kid, kid, key=STRANGER)
    spaced = first.again(first.header.to_bytes().replace(b'"seq":1', b'"seq": 1'))
    assert [sorted(each) for each in short] == [["chain", "kid", "route", "sealed", "seq"], ["sealed"], ["sealed"]]
    return {
        "run": _request("Three of a chain: the second and third leave out what follows.", short, run),
        "strings": _request("The same as strings, as older tablets send them.", list(run), run),
        "two_keyrings": _request("Two keyrings in turn: each counts on.", _elements(two), two),
        "later": _request("From the middle of a chain.", _elements(later), later),
        "other_device": _request("Made by another tablet.", _elements(foreign), foreign),
        "string_between": _request(
            "After a string, nothing follows.", _elements([*run, spaced, *run]), [*run, spaced, *run]
        ),
        "all_members": _request(
            "What follows may be there all the same, with a member of tomorrow.",
            [
                short[0] | {"dev": DEVICE.kid, "kseq": 1, "prev": "", "tomorrow": [1]},
                short[1] | {"chain": CHAIN, "seq": 2, "prev": envelope_id(run[0].encode()), "kseq": 2},
            ],
            run[:2],
        ),
        "seq_without_chain": _request(
            "Without a chain, a number and an identity say nothing.",
            [short[0], short[1] | {"seq": 9, "prev": 1}],
            run[:2],
        ),
        "prev_without_chain": _request(
            "Nor do they if they have a form that no header has.",
            [short[0], short[1] | {"seq": None, "prev": "AB" * 32}, short[2] | {"seq": [], "prev": {}}],
            run,
        ),
        "changed": _request(
            "Another kseq: other bytes, whose signature is wrong.",
            [short[0] | {"kseq": 2}],
            [_with_header(run[0], replace(first.header, jti=b64u(fixed("jti 1")[:16]), kseq=2).to_bytes())],
        ),
    }


def _with_header(envelope: str, header: bytes) -> str:
    return ".".join([b64u(header), *envelope.split(".")[1:]])


def _broken_cases(first: Sealed) -> dict[str, Case]:
    run = _chain_of(first, first.header.kid, first.header.kid)
    whole, following = _elements(run)
    last = 2**53 - 1

    def broken(about: str, element: Any) -> Case:
        """An element that gives nothing, then one that would follow it, then a good one."""
        return _request(about, [element, following, whole, following], ["", "", *run])

    def without(name: str) -> dict[str, Any]:
        return {other: value for other, value in whole.items() if other != name}

    sealed = whole["sealed"]
    endless = whole | {"seq": last, "prev": fixed("before").hex()}
    header = replace(first.header, jti=b64u(fixed("jti 1")[:16]), seq=last, prev=fixed("before").hex())
    return {
        "broken_number": broken("A number.", 1),
        "broken_null": broken("Null.", None),
        "broken_true": broken("True.", True),
        "broken_array": broken("An array.", [sealed]),
        "broken_empty": broken("Nothing is said.", {}),
        "broken_nothing_before": broken("The first leaves out its chain.", without("chain")),
        "broken_no_keyring": broken("The first leaves out its keyring.", without("kid")),
        "broken_no_route_key": broken("The first leaves out the route's key.", without("route")),
        "broken_no_number": broken("A chain without a number.", without("seq")),
        "broken_no_sealed": broken("Nothing sealed.", without("sealed")),
        "broken_zero": broken("Number 0.", whole | {"seq": 0}),
        "broken_fraction": broken("A number with a fraction.", whole | {"seq": 1.5}),
        "broken_true_number": broken("True is no number.", whole | {"kseq": True}),
        "broken_kseq_zero": broken("A kseq of 0.", whole | {"kseq": 0}),
        "broken_chain": broken("A chain of 10 letters.", whole | {"chain": CHAIN[1:]}),
        "broken_chain_null": broken("A chain that is null.", whole | {"chain": None}),
        "broken_prev": broken("An identity in capitals.", whole | {"seq": 2, "prev": "AB" * 32}),
        "broken_kid": broken("A kid with a quotation mark.", whole | {"kid": '"' + OTHER_KID[1:]}),
        "broken_kid_null": broken("A kid that is null.", whole | {"kid": None}),
        "broken_dev": broken("A device of 23 letters.", whole | {"dev": DEVICE.kid + "A"}),
        "broken_route": broken("A route's key with its dot.", whole | {"route": whole["route"] + "."}),
        "broken_sealed_short": broken("One letter less than all other fields have.", whole | {"sealed": sealed[:2151]}),
        "broken_sealed_dot": broken("A dot in it.", whole | {"sealed": sealed[:-1] + "."}),
        "broken_sealed_beyond_ascii": broken("A letter beyond ASCII.", whole | {"sealed": "ñ" + sealed[1:]}),
        "broken_sealed_line_end": broken("A line end behind it.", whole | {"sealed": sealed + "\n"}),
        "broken_last_number": _request(
            "No number follows the last one.",
            [endless, following, whole],
            [_with_header(run[0], header.to_bytes()), "", run[0]],
        ),
        "broken_string_before": _request(
            "Nothing follows a string.", [run[0], following, whole, following], [run[0], "", *run]
        ),
        "no_ciphertext": _request(
            "Nothing between the fields: rebuilt, and malformed.",
            [whole | {"sealed": sealed[:2044] + sealed[-108:]}],
            [".".join([*run[0].split(".")[:4], "", *run[0].split(".")[5:]])],
        ),
    }


def _response_cases(first: Sealed) -> dict[str, Case]:
    envelopes = [*_chain_of(first, first.header.kid, first.header.kid), "not an envelope"]
    items = [
        ReceiptItem(envelope_id(envelopes[0].encode()), "stored", 1),
        ReceiptItem(envelope_id(envelopes[1].encode()), "duplicate", 2),
        ReceiptItem(envelope_id(envelopes[2].encode()), "rejected", code="envelope.malformed"),
        ReceiptItem("e1" * 32, "duplicate", 7),
    ]
    named: dict[str, Any] = {"dev": DEVICE.kid, "n": 12, "at": NOW, "generation": GENERATION}
    document = receipt.make(SERVER, **named, head=fixed("audit row").hex(), number=812, items=items)
    bare = receipt.make(SERVER, **named, head="", items=items[:1])
    asked = replace(ASK, envelopes=tuple(text.encode() for text in envelopes), is_short=True)

    def response(expect: str, about: str, document: Document, **changes: Any) -> Case:
        written = messages.write_response(replace(ANSWER, receipts=document), SERVER, asked)
        plain = strict_json(zlib.decompress(written.body, 31) if written.body[:1] == b"\x1f" else written.body)
        assert isinstance(plain["receipts"], dict)
        body = canonical(plain | {"receipts": plain["receipts"] | changes})
        signature = f"{SERVER.kid}.{sign_bare(body, SERVER, messages.RESPONSE_TYP)}"
        given: dict[str, Any] = {"body": b64u(body), "signature": signature, "servers": [b64u(SERVER.public.raw)]}
        given |= {"dev": DEVICE.kid, "n": 12, "envelopes": envelopes}
        result = plain | {"receipts": document.to_bytes().decode()} if expect == "ok" else None
        return case("short_receipts", expect, about, given, result)

    def headed(about: str, header: bytes) -> Case:
        """An outcome alone, about an envelope with such a header."""
        made = response(malformed, f"An outcome of an envelope whose header {about}.", bare)
        made["given"]["envelopes"] = [_with_header(envelopes[0], header)]
        return made

    def without_jti() -> bytes:
        members = strict_json(first.header.to_bytes())
        return canonical({name: value for name, value in members.items() if name != "jti"})

    def with_member(name: str, value: Any) -> bytes:
        return canonical(strict_json(first.header.to_bytes()) | {name: value})

    malformed = "document.malformed"
    large = first.header.to_bytes().replace(b'"seq":1,', b'"seq":9007199254740992,')
    return {
        "receipts_header_of_a_number": headed("has a number alone", canonical({"seq": 1})),
        "receipts_header_lacks_a_member": headed("lacks a member", without_jti()),
        "receipts_header_has_another_member": headed("has one member more", with_member("tomorrow", 1)),
        "receipts_header_of_another_form": headed("has a short chain", with_member("chain", CHAIN[1:])),
        "receipts_header_of_another_kind": headed("names another cipher", with_member("enc", "A128GCM")),
        "receipts_header_with_a_large_number": headed("counts beyond 2^53 - 1", large),
        "receipts": response("ok", "Two outcomes alone, a rejection, and an earlier envelope.", document),
        "receipts_no_head": response("ok", "Neither a row nor a number.", bare),
        "receipts_written_out": response(
            "ok", "Items may be written out all the same.", document, items=document.content["items"]
        ),
        "receipts_no_such_envelope": response(
            malformed, "More outcomes than envelopes.", document, items=["stored"] * 2 + [{}] + ["stored"]
        ),
        "receipts_of_no_envelope": response(
            malformed, "An envelope that has no number.", document, items=["stored"] * 3
        ),
        "receipts_no_outcome": response(malformed, "No such outcome.", document, items=["lost"]),
        "receipts_no_signature": response(malformed, "No signature.", document, signature=""),
        "receipts_two_lines": response(
            malformed, "A line end in the signature.", document, signature="A" * 43 + "\n" + "A" * 42
        ),
        "receipts_number_is_no_integer": response(malformed, "A number as text.", document, number="812"),
    }
