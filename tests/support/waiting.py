"""Waits for a condition and never for a time: a test that waits so passes on a busy machine too.

A time passes before a slow process is ready, and then a test fails that nothing is wrong with."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which something that was waited for will not come. No test that passes waits so long."""


def wait_until(condition: Callable[[], object], wrong: str) -> None:
    """Wait until a condition holds. After `PATIENCE` the test fails and says what is wrong."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, wrong
        time.sleep(0.005)
