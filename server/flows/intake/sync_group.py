"""Answers several tablets' sync requests in one transaction. The sync thread calls it.

It takes what most requests are. Whatever is unusual it leaves to be answered alone, where a fault concerns one request.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.database.connection import Database
from server.flows.desks.routing import Rulebook
from server.flows.forms.delivery import DeltaFinder, TravellingVersions
from server.flows.intake import storage_budget, sync_request
from server.flows.intake.shared_facts import GroupFacts
from server.flows.intake.storage_budget import StorageBudget
from server.flows.intake.sync_request import Applied, Call
from server.server_keys import ServerKeys
from sync.documents.receipt import ReceiptItem
from sync.exchange import messages
from sync.exchange.messages import Message

_log = logging.getLogger("chaski")
MOST_PENDING = 20
"""The most envelopes whose receipt a request that is answered together may ask for: those that a tablet is about to
erase, at each sync a few."""


@dataclass(frozen=True)
class GroupAnswer:
    """The signed response to a request, and its receipt items for the log."""

    message: Message
    items: Sequence[ReceiptItem]


def answer_group(
    db: Database,
    group: Sequence[Message],
    *,
    keys: ServerKeys,
    rulebook: Rulebook,
    now: int,
    budget: StorageBudget = storage_budget.DEFAULT,
    find_delta: DeltaFinder | None = None,
) -> list[GroupAnswer | None]:
    """Answer requests in one transaction. None: this one has to be answered alone, and has changed nothing."""
    calls, devs = dict[int, Call](), set[str]()
    for place, message in enumerate(group):
        if message.signature.partition(".")[0] in devs:  # Seen before it is read: reading is what costs most.
            continue
        call = _read_usual(db, message, keys, rulebook, budget, now)
        if call is not None:
            calls[place] = call
            devs.add(call.dev)
    applied = _apply_together(db, calls, keys, now) if calls else {}
    travelling = TravellingVersions(db, find_delta)
    return [
        _sign(calls[place], applied[place], keys, travelling) if place in applied else None
        for place in range(len(group))
    ]


def _read_usual(
    db: Database, message: Message, keys: ServerKeys, rulebook: Rulebook, budget: StorageBudget, now: int
) -> Call | None:
    """Read a request, or return None if it has to be answered alone: it is malformed, or touches what others share."""
    try:
        call = sync_request.read_call(db, message, keys, rulebook, budget, now)
    except Exception:  # noqa: BLE001 (answered alone, it gets its problem)
        return None
    request = call.request
    reports = request.proof or request.refused or request.ended or request.orders
    # The stored bytes of pending envelopes are read and hashed, while the others wait.
    is_usual = not reports and len(request.pending) <= MOST_PENDING
    is_own = all(arrival.envelope is not None and arrival.envelope.header.dev == call.dev for arrival in call.arrivals)
    return call if is_usual and is_own else None


def _apply_together(db: Database, calls: Mapping[int, Call], keys: ServerKeys, now: int) -> dict[int, Applied]:
    """Apply requests in one transaction. Returns the results of those that did not fail; none if it failed itself."""
    applied: dict[int, Applied] = {}
    try:
        with db.write() as w:
            shared = GroupFacts(w, now=now, devs=[call.dev for call in calls.values()])
            for place, call in calls.items():
                if sync_request.is_number_accepted(shared, call):
                    with shared.attempt():
                        applied[place] = sync_request.apply_call(w, call, keys, shared)
            shared.write()
    except Exception as error:  # noqa: BLE001 (the transaction was rolled back; answered alone, each gets its problem)
        _log.info("group rolled back", extra={"fields": {"error": type(error).__name__}})
        return {}
    return applied


def _sign(call: Call, applied: Applied, keys: ServerKeys, travelling: TravellingVersions) -> GroupAnswer:
    response = sync_request.complete_response(applied, call, keys, travelling)
    return GroupAnswer(messages.write_response(response, keys.signing, call.request), applied.items)
