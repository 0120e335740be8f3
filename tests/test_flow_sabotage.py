"""Tests that `chaski demo` detects faults: with one patched into all its processes, it fails at the right step.

Without a fault it passes, so its exit code can be trusted. The faults are in tests/support/sabotage/.
`make demo-sabotage` runs this file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SABOTAGE = Path(__file__).parent / "support" / "sabotage"
Demo = Callable[[str], "subprocess.CompletedProcess[str]"]


def processes_of(folder: Path) -> list[int]:
    """Return the ids of processes whose environment names `folder`."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"={folder}".encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
        except OSError:
            continue  # The process belongs to another user, or has ended.
    return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Run `chaski demo` with a fault, or "" for none. Afterwards no process or file of it may be left."""

    def run(fault: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHASKI_")}
        said = {"PYTHONPATH": str(SABOTAGE), "TMPDIR": str(tmp_path), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-c", "from server.cli.main import main; main()", "demo"],
            env=inherited | said | ({"CHASKI_SABOTAGE": fault, "QUICK_PASSPHRASES": "1"} if fault else {}),
            capture_output=True,
            text=True,
            timeout=600,
        )

    yield run
    left = processes_of(tmp_path)
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert left == [], "the demo left processes behind"
    assert list(tmp_path.iterdir()) == [], "the demo left files behind"


@pytest.mark.parametrize(
    ("fault", "step", "noticed"),
    [
        ("wrong_key_accepted", 1, "✗ signed by the author and a stranger: refused: it was not refused"),
        ("receipt_forged", 4, r"chaski: signed\.too_few: 0 of 1 keys signed this chaski-1/receipts"),
        ("signature_check_off", 4, "✗ an envelope changed on the way is named, not stored"),
        ("routing_shuffled", 5, "✗ adult, in Quechua, Huepetuhe: positive, T1 -> 17-protection"),
        ("plaintext_logged", 8, r"✗ canary words from the answers found: \{[^}]*'server\.log'"),
    ],
    ids=["wrong_key_accepted", "receipt_forged", "signature_check_off", "routing_shuffled", "plaintext_logged"],
)
def test_the_demo_fails_at_the_step_that_should_detect_the_fault(
    demo: Demo, fault: str, step: int, noticed: str
) -> None:
    told = demo(fault)
    assert told.returncode == 1, told.stdout + told.stderr
    assert re.search(noticed, told.stdout + told.stderr), told.stdout + told.stderr
    assert re.findall(r"^(\d+)\. ", told.stdout, re.MULTILINE)[-1] == str(step), told.stdout
    assert "all held" not in told.stdout


def test_the_demo_passes_without_a_fault(demo: Demo) -> None:
    told = demo("")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "all held" in told.stdout
