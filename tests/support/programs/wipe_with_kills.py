"""Wipes copies of a tablet, and kills the process of each copy one step later than the one before.

Arguments: the tablet's folder, the order's file, the maximum of steps. A step is a database statement or a change of a
file. Prints how many steps a complete wipe takes.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from sync.documents import trust
from sync.documents.signed import Document
from sync.tablet import orders
from sync.tablet.client import Tablet

left = 0


def step(*_: object) -> None:
    """Count one step down; at zero kill this process."""
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(event: str, given: tuple[Any, ...]) -> None:
    """Count each change of a file by Python as a step."""
    if event in ("os.remove", "os.rmdir", "os.rename") or (event == "open" and "drafts" in str(given[0])):
        step()


def wipe(copy: Path, order: Document, steps: int) -> None:
    """Carry out the order in a child process that is killed after so many steps."""
    global left
    with Tablet(copy) as tablet:
        body = tablet.outbox.documents.get("trust")
        assert body is not None
        held, dev = trust.read(Document.parse(body)), tablet.status().dev
        left = steps
        sys.addaudithook(watch)
        tablet.outbox.connection.set_trace_callback(step)
        orders.execute([order], held, dev, tablet.outbox, copy / "drafts")


def main(folder: Path, order: Document, most: int) -> None:
    """Wipe copies until one wipe completes without a kill."""
    for place in range(1, most):
        copy = folder.with_name(f"cut_{place}")
        shutil.copytree(folder, copy)
        child = os.fork()
        if child == 0:
            wipe(copy, order, place)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            print(place)
            break


main(Path(sys.argv[1]), Document.parse(Path(sys.argv[2]).read_bytes()), int(sys.argv[3]))
