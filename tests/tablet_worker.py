"""A tablet at work in a process of its own, for tests that kill it: screens, syncs, and writes down what it was told.

The journal is flushed to the disk line by line: what stands in it has truly been said before the process was killed.
"""

from __future__ import annotations

import itertools
import os
import sys
from datetime import date
from pathlib import Path

from server.cli.story import FORM, PEOPLE, answers
from sync.errors import SyncError
from sync.tablet import Tablet


def main(folder: Path, journal: Path) -> None:
    """Work until killed."""
    with Tablet(folder) as tablet, journal.open("a", encoding="ascii") as book:

        def note(*words: str) -> None:
            book.write(" ".join(words) + "\n")
            book.flush()
            os.fsync(book.fileno())

        note("started")
        for number, person in enumerate(itertools.cycle(PEOPLE)):
            note("kept", tablet.screen(FORM, answers(person), taken=date(2026, 11, 21)).jti)
            if number % 2:
                continue
            try:
                report = tablet.sync()
            except SyncError as error:
                if not error.code.startswith("transport."):
                    raise
                note("cut", error.code)
                continue
            for receipt in report.receipts:
                note("receipted", receipt.jti, receipt.outcome)


main(Path(sys.argv[1]), Path(sys.argv[2]))
