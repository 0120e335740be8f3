"""Pauses Python's garbage collector while a form is compiled or loaded.

The collector would scan large, long-lived trees again and again; that took a third of the time of a compilation.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Switch the collector off inside the block. The next collection after the block frees the garbage."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
