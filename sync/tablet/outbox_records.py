"""The values that go in and out of the tablet's store.

`sync.tablet.outbox`, its stores and their callers use them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sync.exchange.messages import NO_AUDIT_ROW, AuditRow, Event


@dataclass(frozen=True)
class StoredEnvelope:
    """One stored envelope. `outcome` and `at` (ms) come from its receipt; without one they are '' and 0.

    `at` is the later of the server's clock and the tablet's. For a rejected envelope it is the tablet's.
    """

    id: str
    jti: str
    chain: str
    seq: int
    raw: bytes
    state: str
    outcome: str
    at: int


@dataclass(frozen=True)
class StatusUpdate:
    """The latest status of one screening from the server (`at`: server's clock, ms)."""

    jti: str
    status: str
    at: int


@dataclass(frozen=True)
class Batch:
    """The contents of one request: its number, its envelopes, and ids sent before without a receipt.

    `erasable` are ids of receipted envelopes that are to be erased, if the response names them again. `size` is the
    number of envelopes that a request may have; 0 = as stored.
    """

    number: int
    asked: tuple[str, ...]
    envelopes: tuple[StoredEnvelope, ...]
    erasable: tuple[str, ...] = ()
    size: int = 0


@dataclass(frozen=True)
class SyncResult:
    """The content of a verified response: receipts (id, outcome), and events up to `cursor`.

    `at` and `here` are the server's and the tablet's clock (ms). `inventory` is the digest of the form versions in the
    answered request. `seq` is the highest number that the server has without a gap, by chain. `again` are ranges of
    numbers whose envelopes the server lost. `told` and `proof` are the audit row and the bytes of the receipts. `rate`
    is the line's in bytes per second, 0 = not measured.
    """

    generation: str
    at: int
    here: int
    receipts: tuple[tuple[str, str], ...]
    events: tuple[Event, ...]
    cursor: int
    inventory: str = ""
    seq: Mapping[str, int] = field(default_factory=dict)
    again: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    told: AuditRow = NO_AUDIT_ROW
    proof: bytes = b""
    rate: int = 0


@dataclass(frozen=True)
class SyncState:
    """The tablet's knowledge of the server's database: its generation, the event cursor, the inventory it has.

    `orders` is the number of the last order carried out. `ended` has the last `seq` of former chains that the server
    does not have completely. `told` is the newest audit row by a receipt, `proof` that receipt's bytes. `receipted` has
    the highest receipted `seq` of the chains with stored envelopes. `rate` is the line's in bytes per second, 0 = not
    known.
    """

    generation: str
    cursor: int
    inventory: str
    orders: int
    ended: Mapping[str, int]
    told: AuditRow
    proof: bytes
    receipted: Mapping[str, int]
    rate: int


@dataclass(frozen=True)
class TabletState:
    """The tablet's orders and what it noticed about its key.

    `orders` is the last order carried out. `wiping` is the number of an unfinished wipe, 0 = none. `wiped` stays True
    until a person pulls forms again. `copied` is True once another tablet has used this tablet's key.
    """

    orders: int
    wiping: int
    revoked: bool
    wiped: bool
    copied: bool
