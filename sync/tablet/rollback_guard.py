"""The proof beside the tablet's store: in which chain it counts and how far, in a file written after each commit.

Called by sync.tablet.outbox alone. A store that is behind its proof, or has none, is not its own latest state (SPEC
6.2).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sync.atomic_file import replace_file

_TEXT = re.compile(r"([A-Za-z0-9_-]{11}) (\d{1,15}) (\d{1,15})\n")


@dataclass(frozen=True)
class Checkpoint:
    """The chain, its last `seq`, and the last number of a request."""

    chain: str
    seq: int
    request: int

    def covers(self, other: "Checkpoint") -> bool:
        """Say whether nothing of what `other` proves is missing here."""
        return self.chain == other.chain and self.seq >= other.seq and self.request >= other.request


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return what the file proves; None where there is none, or it is no proof."""
    match = _TEXT.fullmatch(path.read_text("ascii", "replace")) if path.exists() else None
    return Checkpoint(match[1], int(match[2]), int(match[3])) if match else None


def write_checkpoint(path: Path, proof: Checkpoint) -> None:
    """Replace the file, on the disk before this returns."""
    replace_file(path, f"{proof.chain} {proof.seq} {proof.request}\n".encode("ascii"))
