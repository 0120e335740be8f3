"""One reader under the coverage-guided fuzzer, as a process of its own: `fuzz_one.py READER <libFuzzer's options>`.

fuzz.py starts it. It ends with another code than 0 when it found bytes that break the reader's promise, and saves them.
"""

from __future__ import annotations

import sys

import atheris

# Every instrumented package costs start-up time: Excel's reader only where there is a workbook to read.
_OURS = ["sync", "screening_forms", "server.flows"]
with atheris.instrument_imports(
    include=[*_OURS, "openpyxl"] if "sheet" in sys.argv or "xlsx" in sys.argv else _OURS, enable_loader_override=False
):
    import fuzz_intake
    import fuzz_readers


def main() -> None:
    name, *options = sys.argv[1:]
    if name in fuzz_intake.READERS:
        fuzz_intake.database()  # made before the clock of the first case runs
    atheris.Setup([sys.argv[0], *options], lambda data: fuzz_readers.hold(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
