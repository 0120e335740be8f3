"""The sync requests that wait for the sync thread. Tablets have turns, so that none makes the others wait for long.

A request costs by its bytes once it is inflated, and a stolen key can sign many small ones that become large.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from sync.exchange.messages import Message, plain_size

# The most requests, and bytes of them inflated, in one transaction: those that come after wait for all of them.
MOST_REQUESTS, MOST_BYTES = 64, 1536 * 1024


@dataclass(frozen=True, eq=False)
class WaitingSync:
    """A request, its arrival (perf_counter), and where its answer is awaited."""

    message: Message
    began: float
    loop: asyncio.AbstractEventLoop
    answered: asyncio.Future[Message | None]


class SyncQueue:
    """Waiting requests by the tablet that each claims to be from. Not safe for threads: the caller has a lock."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, OrderedDict[WaitingSync, int]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many tablets wait."""
        return len(self._turns)

    def put(self, waiting: WaitingSync) -> None:
        """Add a request, behind the others of its tablet."""
        body = waiting.message.body
        size = max(len(body), plain_size(body))  # Measured here, where a fault concerns one request.
        self._turns.setdefault(_claimed_by(waiting), OrderedDict())[waiting] = size

    def forget(self, waiting: WaitingSync) -> bool:
        """Remove a request; False if it was taken already."""
        claimed = _claimed_by(waiting)
        turn = self._turns.get(claimed)
        if turn is None or turn.pop(waiting, None) is None:
            return False
        if not turn:
            del self._turns[claimed]
        return True

    def take_group(self) -> Sequence[WaitingSync]:
        """Remove and return the requests of the next transaction, at most one of each tablet. A tablet with more of
        them has its next turn after all others."""
        group, size, again = list[WaitingSync](), 0, list[tuple[str, OrderedDict[WaitingSync, int]]]()
        while self._turns and len(group) < MOST_REQUESTS and size < MOST_BYTES:
            claimed, turn = self._turns.popitem(last=False)
            waiting, taken = turn.popitem(last=False)
            group.append(waiting)
            size += taken
            if turn:
                again.append((claimed, turn))
        self._turns.update(again)
        return group


def _claimed_by(waiting: WaitingSync) -> str:
    return waiting.message.signature.partition(".")[0]
