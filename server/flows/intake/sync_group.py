"""Answers several tablets' sync requests in one transaction. The sync thread calls it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.database.connection import Database
from server.flows.desks.routing import Rulebook
from server.flows.intake import storage_budget, sync_request
from server.flows.intake.storage_budget import StorageBudget
from server.server_keys import ServerKeys
from sync.documents.receipt import ReceiptItem
from sync.exchange import messages
from sync.exchange.messages import Message


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
) -> list[GroupAnswer | None]:
    calls = [sync_request.read_call(db, message, keys, rulebook, budget, now) for message in group]
    with db.write() as w:
        applied = [sync_request._apply(w, call, keys) for call in calls]
        if any(each.refused is not None for each in applied):
            raise ValueError("refused")
    return [
        GroupAnswer(messages.write_response(sync_request._add_receipts(each, keys), keys.signing), each.items)
        for each in applied
    ]
