"""What the tablet's store takes in and gives out, as values; used by sync.tablet.outbox and whoever works with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.exchange.messages import Event


@dataclass(frozen=True)
class StoredEnvelope:
    """One envelope on board. `outcome` and `at` (ms) are of its receipt, '' and 0 without one.

    `at` is the later of the server's clock and the tablet's own; for a rejected envelope it is the tablet's.
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
    """What became of one screening, as the server last told it (`at` by its clock)."""

    jti: str
    status: str
    at: int


@dataclass(frozen=True)
class Batch:
    """What one request carries: its number, the ids whose fate is unknown, and the envelopes sent with it."""

    number: int
    asked: tuple[str, ...]
    envelopes: tuple[StoredEnvelope, ...]


@dataclass(frozen=True)
class SyncResult:
    """What a verified answer brought: receipts (id, outcome), events up to `cursor`.

    `at` and `here` are the server's and the tablet's clock (ms). `inventory` is the digest of the form versions that
    the answered request told of; `seq` is how far the server has each chain that it touched.
    """

    generation: str
    at: int
    here: int
    receipts: tuple[tuple[str, str], ...]
    events: tuple[Event, ...]
    cursor: int
    inventory: str = ""
    seq: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SyncState:
    """Where the tablet stands with the server's database: its generation, the last event, the inventory it knows.

    `orders` is the number of the last order carried out; `ended` says how far chains that were left had been written,
    of those that the server has not come up to.
    """

    generation: str
    cursor: int
    inventory: str
    orders: int
    ended: Mapping[str, int]


@dataclass(frozen=True)
class TabletState:
    """What the tablet was ordered, and what it noticed.

    `orders` is the last order carried out, `wiping` the one to tell of once a wipe is complete (0: none begun).
    `wiped` until a person pulls forms again; `copied` once somebody else has spoken with this tablet's key.
    """

    orders: int
    wiping: int
    revoked: bool
    wiped: bool
    copied: bool
