"""Tests of the response budget (SPEC 11.3 rule 11): a poor line gets small responses, and in the end everything."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from server.flows.intake.response_budget import limit_response
from server.store import statuses
from support.intake import Field
from sync.documents import receipt
from sync.documents.signed import Document
from sync.envelope.verify import envelope_id
from sync.exchange.messages import Event, Response
from sync.keys.key_pairs import SigningKey

SERVER = SigningKey(b"s" * 32)


def document(number: int, size: int) -> Document:
    return Document.of({"number": number, "x": "x" * size}, "t", SERVER)


SIZES = st.lists(st.integers(0, 6_000), max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    trust=SIZES,
    registry=st.none() | st.integers(0, 9_000),
    manifest=st.none() | st.integers(0, 3_000),
    events=st.integers(0, 60),
    order=st.booleans(),
    budget=st.integers(0, 20_000),
    receipts=st.integers(0, 100),
)
def test_with_any_budget_everything_arrives_once_and_in_order(
    trust: list[int],
    registry: int | None,
    manifest: int | None,
    events: int,
    order: bool,
    budget: int,
    receipts: int,
) -> None:
    whole = Response(
        dev="D" * 22,
        n=1,
        at=1,
        generation="G" * 11,
        trust=tuple(document(number, size) for number, size in enumerate(trust, 1)),
        registry=None if registry is None else document(7, registry),
        manifest=None if manifest is None else document(8, manifest),
        events=tuple(Event(f"{number:064}", "closed", number) for number in range(1, events + 1)),
        orders=(document(9, 100),) if order else (),
        cursor=events,
    )
    left, arrived = whole, list[object]()
    for _ in range(200):
        cursors = [left.cursor - len(left.events) + count for count in range(len(left.events) + 1)]
        sent = limit_response(left, cursors, budget, receipts)
        assert sent.orders == whole.orders
        assert sent.cursor == events - len(left.events) + len(sent.events)
        arrived += [*sent.trust, *filter(None, (sent.registry, sent.manifest)), *sent.events]
        left = replace(
            left,
            trust=left.trust[len(sent.trust) :],
            registry=None if sent.registry else left.registry,
            manifest=None if sent.manifest else left.manifest,
            events=left.events[len(sent.events) :],
        )
        if not sent.more:
            break
    assert arrived == [*whole.trust, *filter(None, (whole.registry, whole.manifest)), *whole.events]


def test_a_response_stays_within_the_budget_if_there_is_more_than_one_part() -> None:
    whole = Response("D" * 22, 1, 1, "G" * 11, trust=tuple(document(number, 2_000) for number in range(1, 9)))
    sent = limit_response(whole, [0], 10_000, 0)
    assert 2 <= len(sent.trust) < 8
    assert sum(len(each.to_bytes()) for each in sent.trust) <= 10_000


def test_receipts_come_first_whatever_the_budget_is(field: Field) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(3)]
    first = field.ask(tablet, field.message(tablet, *raws, budget=1))
    assert first.receipts is not None
    items = receipt.accept(first.receipts, field.trust, dev=tablet.key.kid, n=tablet.n).items
    assert [item.id for item in items] == [envelope_id(raw) for raw in raws]
    assert (len(first.trust), first.registry, first.manifest, first.more) == (1, None, None, True)


def test_status_events_follow_documents_and_none_is_left_out(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    with field.services.db.write() as w:
        for number in range(1, 31):
            statuses.add_event(w, dev=tablet.key.kid, envelope=envelope_id(raw), status="closed", at=number)
    said: dict[str, object] = {"generation": field.ask(tablet, field.message(tablet)).generation}
    seen: list[int] = []
    for _ in range(60):
        response = field.ask(tablet, field.message(tablet, budget=2_000, **said))
        said |= {"trust": 1} if response.trust else {}
        said |= {"registry": response.registry.content["number"]} if response.registry else {}
        said |= {"manifest": response.manifest.content["number"]} if response.manifest else {}
        said |= {"cursor": response.cursor} if response.cursor else {}
        seen += [event.at for event in response.events]
        if not response.more:
            break
    assert seen == list(range(1, 31))
    assert {"trust", "registry", "manifest"} <= said.keys()
