"""A small filesystem of its own, for tests of a full disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1024 * 1024


@dataclass(frozen=True)
class Disk:
    """A small separate filesystem."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self) -> None:
        """Fill the disk to the last byte."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (MIB, 4096, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def free(self, size: int | None = None) -> None:
        """Free the space again, or only `size` bytes of it."""
        if size is None:
            self._filler.unlink()
        else:
            os.truncate(self._filler, self._filler.stat().st_size - size)


@contextmanager
def mounted(folder: Path, mib: int) -> Iterator[Disk]:
    """Mount a small tmpfs. Skips only if this user may not mount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(folder)]
    try:
        refused = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    except FileNotFoundError:
        refused = "there is no mount command"
    if not os.path.ismount(folder):
        if os.geteuid() == 0 and os.environ.get("CI"):
            pytest.fail(f"root in CI may not mount a small filesystem: {refused}")
        pytest.skip(f"this user may not mount a small filesystem: {refused}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
