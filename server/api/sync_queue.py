"""The sync requests that wait for the sync thread. Tablets have turns, so that none makes the others wait for long.

A request costs by its bytes once it is inflated, and a stolen key can sign many small ones that become large.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from sync.exchange.messages import Message, plain_size

# The most requests, and bytes of them inflated, in one transaction: those that come after wait for all of them.
MOST_REQUESTS, MOST_BYTES = 64, 1536 * 1024


@dataclass(frozen=True)
class WaitingSync:
    """A request, its arrival (perf_counter), and where its answer is awaited."""

    message: Message
    began: float
    loop: asyncio.AbstractEventLoop
    answered: asyncio.Future[Message | None]


class SyncQueue:
    """Waiting requests by the tablet that each claims to be from. Not safe for threads: the caller has a lock."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, deque[WaitingSync]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many tablets wait."""
        return len(self._turns)

    def put(self, waiting: WaitingSync) -> None:
        """Add a request, behind the others of its tablet."""
        claimed = waiting.message.signature.partition(".")[0]
        if claimed in self._turns:
            self._turns[claimed].append(waiting)
        else:
            self._turns[claimed] = deque((waiting,))

    def take_group(self) -> Sequence[WaitingSync]:
        """Remove and return the requests of the next transaction, at most one of each tablet. A tablet with more of
        them has its next turn after all others."""
        group, size, again = list[WaitingSync](), 0, list[tuple[str, deque[WaitingSync]]]()
        while self._turns and len(group) < MOST_REQUESTS and size < MOST_BYTES:
            claimed, waiting = self._turns.popitem(last=False)
            group.append(waiting.popleft())
            size += plain_size(group[-1].message.body)
            if waiting:
                again.append((claimed, waiting))
        self._turns.update(again)
        return group
