"""Carries out a registrar's orders on the tablet (SPEC 5.6): each once, in rising order, safe against power cuts.

`sync.tablet.client` and `sync.tablet.sync_client` call it. A wipe must not delete an envelope without a receipt, nor
stop it from being sent. A file that cannot be deleted is tried again. The wipe's number counts as done only when
nothing is left.
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
    """Record the orders above the last number. An order without a registrar's signature raises, and stops the rest."""
    for document in orders:
        given, standing = device_order.accept(document, trust, dev), outbox.orders.tablet_state()
        if given.number <= max(standing.orders, standing.wiping):
            continue
        if given.order == device_order.REVOKE:
            outbox.orders.record_revocation(given.number)
        else:
            outbox.orders.begin_wipe(given.number)


def finish_wipe(outbox: Outbox, *folders: Path) -> None:
    """Continue an unfinished wipe from its start, as far as possible.

    The start is safe: each step may run twice. `folders` are deleted beside the store.
    """
    if outbox.orders.tablet_state().wiping:
        emptied = [_destroy_files(folder) for folder in folders]  # First, because it frees space on a full disk.
        with suppress(OSError, SyncError, sqlite3.Error):
            outbox.orders.wipe(complete=all(emptied))


def execute(orders: Iterable[Document], trust: Trust, dev: str, outbox: Outbox, *folders: Path) -> None:
    """Record orders and carry them out at once, as far as possible."""
    try:
        record(orders, trust, dev, outbox)
    finally:
        finish_wipe(outbox, *folders)


def _destroy_files(folder: Path) -> bool:
    """Overwrite and delete every file below a folder, as far as the file system writes in place.

    Return whether the folder is empty. A file that cannot be deleted does not stop the others.
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
        with suppress(OSError):  # A file that cannot be overwritten is still deleted.
            _overwrite(path)
        path.unlink()


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
