"""Carries out a registrar's orders on the tablet (SPEC 5.6): each once, in rising order, whole after any power cut.

Called by sync.tablet and sync.conversation. A wipe ends with its number; it never destroys what has no receipt.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sync import order
from sync.outbox import Outbox
from sync.proof import sync_folder
from sync.signed import Document
from sync.trust import Trust


def carry_out(orders: Iterable[Document], trust: Trust, dev: str, outbox: Outbox, drafts: Path) -> None:
    """Do what is ordered above the last number carried out; an order that is not a registrar's raises and stops."""
    for document in orders:
        given = order.accept(document, trust, dev)
        if given.number <= outbox.standing().orders:
            continue
        if given.order == order.REVOKE:
            outbox.revoke(given.number)
        else:
            outbox.begin_wipe(given.number)
            finish_wipe(outbox, drafts)


def finish_wipe(outbox: Outbox, drafts: Path) -> None:
    """Complete a wipe that was begun, from its start: half a wipe looks like none."""
    if outbox.standing().wiping:
        _shred(drafts)
        outbox.wipe()


def _shred(folder: Path) -> None:
    """Overwrite and remove every file below a folder, as far as the file system writes in place."""
    if not folder.exists():
        return
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            path = Path(place) / name
            if path.is_symlink():
                path.unlink()
            elif path.is_dir():
                path.rmdir()
            else:
                with suppress(OSError):  # What cannot be overwritten is removed all the same.
                    _overwrite(path)
                path.unlink()
        sync_folder(Path(place))


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
