"""Programs that a test runs in their own process, to kill or to watch them."""

from pathlib import Path

PROGRAMS = Path(__file__).parent
