"""Programs that a test runs in a process of its own and kills, or watches."""

from pathlib import Path

PROGRAMS = Path(__file__).parent
