"""Tests of short forms (SPEC 11.4): readers get the exact envelopes and receipts, whatever was left out or broken."""

import hashlib
import zlib
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from support.intake import Field, Tablet
from sync.documents import receipt
from sync.documents.signed import sign_bare
from sync.envelope.verify import ALG, ENC, ENVELOPE_TYP, Header, envelope_id
from sync.exchange import messages
from sync.exchange.messages import Message, Request
from sync.exchange.short_envelopes import read_envelopes, write_envelopes
from sync.wire.encoding import b64u, canonical, strict_json

DEV, OTHER = "D" * 22, "E" * 22
NOTHING = hashlib.sha256(b"").hexdigest()


def letters(rng: Random, count: int) -> str:
    return b64u(rng.randbytes(count))


def envelope(rng: Random, blocks: int = 1, **said: object) -> bytes:
    """An envelope of the right form. Nothing in it is really sealed or signed."""
    fields = (1120, 48, 12, 1024 * blocks, 16, 64)
    return ".".join([b64u(header(rng, **said).to_bytes()), *(letters(rng, size) for size in fields)]).encode()


def header(rng: Random, **said: object) -> Header:
    whole = Header(kid="K" * 22, jti=letters(rng, 16), dev=DEV, chain="C" * 11, seq=1, kseq=1, prev="", route="R" * 22)
    found = replace(whole, **said)
    return replace(found, route=f"{found.route}.{letters(rng, 336)}")


STEPS = st.sampled_from(
    ["next", "gap", "new_chain", "other_keyring", "other_device", "other_route_key", "spaced", "cut", "text", "again"]
)


def envelopes(rng: Random, steps: list[str]) -> list[bytes]:
    """One envelope for each step: most go on in a chain, some break off from it."""
    made: list[bytes] = []
    place = {"chain": "C" * 11, "seq": 0, "prev": "", "kid": "K" * 22, "dev": DEV, "route": "R" * 22}
    counts: dict[str, int] = {}
    for step in steps:
        if step == "text" or (step == "again" and not made):
            made.append(rng.choice(["", "a.b", "ñ", "." * 6, "{}"]).encode())
            continue
        if step == "again":
            made.append(rng.choice(made))
            continue
        if step == "new_chain":
            place |= {"chain": letters(rng, 8), "seq": 0, "prev": ""}
        place |= {"seq": int(place["seq"]) + (3 if step == "gap" else 1)}
        changed = {"other_keyring": "kid", "other_device": "dev", "other_route_key": "route"}.get(step)
        place |= {changed: rng.choice(["L" * 22, "M" * 22])} if changed else {}
        kid = str(place["kid"])
        counts[kid] = counts.get(kid, 0) + 1
        raw = envelope(rng, rng.choice([1, 1, 3]), **place, kseq=counts[kid])
        if step == "spaced":
            rest = raw.partition(b".")[2]
            raw = b64u(header(rng, **place, kseq=1).to_bytes() + b" ").encode() + b"." + rest
        made.append(raw[:-1] if step == "cut" else raw)
        place["prev"] = envelope_id(raw)
    return made


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.lists(STEPS, max_size=12))
def test_any_envelopes_arrive_as_they_were_sent(seed: int, steps: list[str]) -> None:
    raws = envelopes(Random(seed), steps)
    elements = write_envelopes(raws, DEV)
    assert read_envelopes(strict_json(canonical({"e": elements}))["e"], DEV) == tuple(raws)
    assert read_envelopes([raw.decode() for raw in raws], DEV) == tuple(raws), "an older tablet sends strings"


def test_in_a_chain_only_the_first_says_where_it_stands() -> None:
    raws = envelopes(Random(1), ["next"] * 5)
    elements = write_envelopes(raws, DEV)
    assert [set(element) for element in elements] == [{"chain", "seq", "kid", "route", "sealed"}] + [{"sealed"}] * 4


def test_the_fixed_members_are_those_of_an_envelope() -> None:
    assert {"alg": ALG, "enc": ENC, "typ": ENVELOPE_TYP}.items() <= strict_json(header(Random(1)).to_bytes()).items()
    assert isinstance(write_envelopes([envelope(Random(1))], DEV)[0], dict)


BROKEN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["chain", "seq", "prev", "dev", "kid", "route", "kseq", "sealed"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(MEMBERS, BROKEN, max_size=4), st.sets(MEMBERS, max_size=3), BROKEN)
def test_a_broken_element_costs_the_others_nothing(
    changes: dict[str, object], without: set[str], other: object
) -> None:
    first, second = envelopes(Random(1), ["next", "next"])
    whole, following = write_envelopes([first, second], DEV)
    assert isinstance(whole, dict)
    changed = {name: value for name, value in {**whole, **changes}.items() if name not in without}
    read = read_envelopes([changed, other, whole, following, "text", whole], DEV)
    assert read[2:] == (first, second, b"text", first)
    assert len(read[0]) < 5_000


def test_small_elements_do_not_become_large_envelopes() -> None:
    whole = write_envelopes([envelope(Random(1), chain="C" * 11)], DEV)[0]
    assert isinstance(whole, dict)
    large = "A" * 1_000_000
    for name in ("chain", "kid", "dev", "route", "prev"):
        assert read_envelopes([whole | {name: large}, *[{"sealed": "A" * 2_152}] * 499], DEV) == (b"",) * 500
    read = read_envelopes([whole, *[{"sealed": "A" * 2_152}] * 499], DEV)
    assert sum(map(len, read)) < 500 * (2_152 + 1_200) + 2_000, "less than 8 MiB, whatever the elements are"


def test_numbers_end_where_the_protocol_ends_them() -> None:
    whole = write_envelopes([envelope(Random(1), seq=2**53 - 1, prev="ab" * 32)], DEV)[0]
    read = read_envelopes([whole, {"sealed": "A" * 2_152}, {"sealed": "A" * 2_152}], DEV)
    assert read[1:] == (b"", b"")
    assert len(read[0]) > 3_000


def written(field: Field, tablet: Tablet, elements: list[object]) -> Message:
    """A signed request with these elements in `envelopes`."""
    tablet.n += 1
    body = canonical({"protocol": "chaski-1", "n": tablet.n, "at": field.now, "envelopes": elements})
    return Message(body, f"{tablet.key.kid}.{sign_bare(body, tablet.key, messages.REQUEST_TYP)}")


def test_broken_elements_are_rejected_and_the_others_stored(field: Field) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(3)]
    one, two, three = write_envelopes(raws, tablet.key.kid)
    message = written(field, tablet, [7, one, two, {}, three, {"sealed": 1}, raws[2].decode()])
    response = field.ask(tablet, message)
    assert response.receipts is not None
    items = receipt.accept(response.receipts, field.trust, dev=tablet.key.kid, n=tablet.n).items
    refused = (NOTHING, "envelope.malformed")
    assert [(item.id, item.code or item.outcome) for item in items] == [
        refused,
        (envelope_id(raws[0]), "stored"),
        (envelope_id(raws[1]), "stored"),
        refused,
        refused,
        refused,
        (envelope_id(raws[2]), "stored"),
    ], "the third followed a broken one: nothing says which envelope it was"


def test_an_older_tablet_gets_receipts_as_it_reads_them(field: Field) -> None:
    tablet = field.tablet()
    message = written(field, tablet, [field.envelope(tablet).decode()])
    answer = field.answer(message)
    assert isinstance(messages.unpack_body(answer.body, "response").text("receipts", messages.TEXT), str)


def test_receipts_of_short_envelopes_are_short(field: Field) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(10)]
    answer = field.answer(field.message(tablet, *raws))
    said = strict_json(zlib.decompress(answer.body, 31))["receipts"]
    assert (said["items"], set(said)) == (["stored"] * 10, {"head", "number", "items", "signature"})
    read = messages.read_response(answer, field.trust.servers, dev=tablet.key.kid, n=tablet.n, envelopes=tuple(raws))
    assert read.receipts is not None
    assert len(receipt.accept(read.receipts, field.trust, dev=tablet.key.kid, n=tablet.n).items) == 10


def test_a_request_knows_whether_its_tablet_reads_short_forms(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    short, asked = field.message(tablet, raw), Request(n=1, at=1)
    assert messages.read_request(short, tablet.key.public).is_short
    assert not messages.read_request(messages.write_request(asked, tablet.key), tablet.key.public).is_short
