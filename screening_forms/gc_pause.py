"""Puts Python's search for garbage off while a form is compiled or loaded; called where much is built at once.

Large trees that live until the end are looked through again and again in vain: a third of a compilation went into that.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Collect no garbage inside; what has piled up is found by the next collection after it."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
