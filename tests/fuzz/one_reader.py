"""Runs one reader under the coverage-guided fuzzer: `python -m fuzz.one_reader READER <libFuzzer's options>`.

fuzz/run.py starts it. It saves bytes that break the reader's promise, and then exits with another code than 0.
"""

from __future__ import annotations

import sys

import atheris

# Every instrumented package costs start-up time: Excel's reader only where there is a workbook to read.
_OURS = ["sync", "screening_forms", "server.flows"]
with atheris.instrument_imports(
    include=[*_OURS, "openpyxl"] if "sheet" in sys.argv or "xlsx" in sys.argv else _OURS, enable_loader_override=False
):
    from fuzz import intake, readers


def main() -> None:
    name, *options = sys.argv[1:]
    if name in intake.READERS:
        intake.database()  # made before the clock of the first case runs
    atheris.Setup([sys.argv[0], *options], lambda data: readers.run_reader(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
