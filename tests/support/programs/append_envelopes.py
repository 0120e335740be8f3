"""Appends envelopes to an outbox and takes request numbers, until the process is killed.

Arguments: the outbox's file, a prefix for the screening ids. Prints what is on disk, line by line.
"""

import sys
from pathlib import Path

from sync.envelope.verify import ChainPosition
from sync.tablet.outbox import Outbox


def seal(at: ChainPosition) -> bytes:
    """Return bytes that name the position. They are not an envelope, but the outbox does not parse them."""
    return f"{at.chain}.{at.seq}.{at.prev}".encode()


outbox = Outbox(Path(sys.argv[1]))
for number in range(10_000):
    kept = outbox.envelopes.append("17-child", f"{sys.argv[2]}-{number}", seal)
    print("kept", kept.id, kept.chain, kept.seq, flush=True)
    print("request", outbox.sync_state.next_batch(0).number, flush=True)
