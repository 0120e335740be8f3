"""Carries out a registrar's orders on the tablet (SPEC 5.6): each once, in rising order, whole after any power cut.

Called by sync.tablet.client and sync.tablet.sync_client. A wipe never destroys what has no receipt, and never keeps it
from being sent: what cannot be removed is tried again, and the wipe ends with its number only when nothing is left.
"""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sync.atomic_file import sync_folder
from sync.documents import device_order
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.tablet.outbox import Outbox


def record(orders: Iterable[Document], trust: Trust, dev: str, outbox: Outbox) -> None:
    """Record what is ordered above the last number; an order that is not a registrar's raises and stops."""
    for document in orders:
        given, standing = device_order.accept(document, trust, dev), outbox.orders.tablet_state()
        if given.number <= max(standing.orders, standing.wiping):
            continue
        if given.order == device_order.REVOKE:
            outbox.orders.record_revocation(given.number)
        else:
            outbox.orders.begin_wipe(given.number)


def finish_wipe(outbox: Outbox, *folders: Path) -> None:
    """Go as far as possible with a wipe that was begun, from its start: half a wipe looks like none.

    `folders` hold what is to be destroyed beside the store.
    """
    if outbox.orders.tablet_state().wiping:
        emptied = [
            _destroy_files(folder) for folder in folders
        ]  # First, for on a full disk it makes room for the rest.
        with suppress(OSError, SyncError, sqlite3.Error):
            outbox.orders.wipe(complete=all(emptied))


def execute(orders: Iterable[Document], trust: Trust, dev: str, outbox: Outbox, *folders: Path) -> None:
    """Do at once what is ordered, as far as it goes."""
    try:
        record(orders, trust, dev, outbox)
    finally:
        finish_wipe(outbox, *folders)


def _destroy_files(folder: Path) -> bool:
    """Overwrite and remove every file below a folder, as far as the file system writes in place.

    Says whether the folder is empty: what cannot be removed keeps nothing else.
    """
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            with suppress(OSError):
                _remove(Path(place) / name)
    try:
        if not folder.exists():
            return True
        sync_folder(folder)
        return not any(folder.iterdir())
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        sync_folder(path)
        path.rmdir()
    else:
        with suppress(OSError):  # What cannot be overwritten is removed all the same.
            _overwrite(path)
        path.unlink()


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
