"""The checkpoint file beside the tablet's store: its chain and last numbers, written after each commit.

`sync.tablet.chain_counters` calls it. A store that is behind its checkpoint, or has none, is an old copy (SPEC 6.2).
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
        """Return whether this state is the same as `other` or a later one of the same chain."""
        return self.chain == other.chain and self.seq >= other.seq and self.request >= other.request


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return the file's checkpoint; None if it is missing or malformed."""
    match = _TEXT.fullmatch(path.read_text("ascii", "replace")) if path.exists() else None
    return Checkpoint(match[1], int(match[2]), int(match[3])) if match else None


def write_checkpoint(path: Path, proof: Checkpoint) -> None:
    """Replace the file. It is on disk when this returns."""
    replace_file(path, f"{proof.chain} {proof.seq} {proof.request}\n".encode("ascii"))
