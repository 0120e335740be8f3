"""Chooses the part of a sync response that fits in the bytes that a tablet's line bears (SPEC 11.3 rule 11).

The sync request calls it. Receipts and orders are always sent. The rest follows in the next responses, and each of
them makes progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sync.exchange.messages import Response

RECEIPT_BYTES = 120
"""The size of a receipt item in the response, at most."""
EVENT_BYTES = 130
"""The size of an event in the response, at most."""
HEAD_BYTES = 1_000
"""Room for the head and the other members of a response."""


def limit_response(response: Response, cursors: Sequence[int], budget: int, receipts: int) -> Response:
    """Return the response with as many documents and events as `budget` bears, in their order; 0 = no limit.

    `cursors` are those before the first event and after each event. `receipts` is the number of items of its receipts.
    Sizes are those before compression, so a response is smaller than the budget. The first document or event is sent in
    any case: no budget may keep a tablet from ever getting the rest. Form versions travel along if there is room left.
    """
    if not budget:
        return response
    documents = [*response.trust, *(each for each in (response.registry, response.manifest) if each)]
    sizes = [*(len(each.to_bytes()) for each in documents), *[EVENT_BYTES] * len(response.events)]
    orders = sum(len(each.to_bytes()) for each in response.orders)
    room = budget - HEAD_BYTES - orders - receipts * RECEIPT_BYTES
    fitting, left = _count_fitting(sizes, room), room - sum(sizes)
    sent = documents[:fitting]
    events = response.events[: max(0, fitting - len(documents))]
    return replace(
        response,
        trust=tuple(each for each in response.trust if each in sent),
        registry=response.registry if response.registry in sent else None,
        manifest=response.manifest if response.manifest in sent else None,
        forms=response.forms if left >= len(response.forms) else "",
        events=events,
        cursor=cursors[len(events)],
        more=response.more or fitting < len(sizes),
    )


def _count_fitting(sizes: Sequence[int], room: int) -> int:
    """Return how many of the first sizes fit, and at least 1 if there is one."""
    for count, size in enumerate(sizes):
        room -= size
        if room < 0:
            return max(1, count)
    return len(sizes)
