"""`make fuzz SECONDS=n`: every reader of bytes under a coverage-guided fuzzer, and both APIs under generated requests.

The time is divided over what is left to do. A finding is saved beside the corpus of its reader, so that the tests
replay it from then on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz.readers import CORPUS, READERS, WORDS

TESTS = Path(__file__).parents[1]
LEARNED_INPUTS = TESTS.parent / ".fuzz"
"""Inputs that reached new code in earlier runs on this machine; only a head start, not committed."""
LONGEST = 64 * 1024
SECONDS_PER_CASE = 10
MEGABYTES = 1024
APIS = "apis"
APIS_WEIGHT = 8
"""How many readers' time the two APIs get together."""
EXAMPLES = 20
"""Requests of each kind, to each operation, as each person, in a round."""


def fuzz_reader(name: str, seconds: float, seed: int, dictionary: Path) -> bool:
    """Fuzz one reader; return whether it kept its promise."""
    learnt, known = LEARNED_INPUTS / name, CORPUS / name
    for folder in (learnt, known):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(known.iterdir())
    options = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-seed={seed}",
        f"-timeout={SECONDS_PER_CASE}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-max_len={LONGEST}",
        f"-dict={dictionary}",
        f"-artifact_prefix={known}/found-",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "fuzz.one_reader", name, *options, str(learnt), str(known)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=_environment())
    runs = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    found = sorted(set(known.iterdir()) - before)
    good = done.returncode == 0 and not found
    print(f"{name:<16} {seconds:5.0f} s {int(runs[1]) if runs else 0:>9,} inputs  {'ok' if good else 'FOUND'}")
    if not good:
        print("\n".join(done.stderr.strip().splitlines()[-40:]))
        print("saved:", *found or ["nothing; run it again with the same --seed"])
    return good


def fuzz_apis(seconds: float, seed: int) -> bool:
    """Send both APIs generated requests until the time is over; return whether every answer was as announced."""
    began, rounds, good = time.monotonic(), 0, True
    while good and (rounds == 0 or time.monotonic() - began < seconds):
        settings = {"FUZZ_SEED": str(seed + rounds), "FUZZ_EXAMPLES": str(EXAMPLES)}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-p",
            "no:cacheprovider",
            str(TESTS / "test_server_generated_requests.py"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment() | settings)
        good, rounds = done.returncode == 0, rounds + 1
        if not good:
            LEARNED_INPUTS.mkdir(exist_ok=True)
            saved = LEARNED_INPUTS / f"{APIS}-{settings['FUZZ_SEED']}.txt"
            saved.write_text(done.stdout, encoding="utf-8")
            print(done.stdout[-6000:], f"saved: {saved}; again with {settings}", sep="\n")
    print(f"{APIS:<16} {time.monotonic() - began:5.0f} s {rounds:>9,} rounds  {'ok' if good else 'FOUND'}")
    return good


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}", "PYTHONDONTWRITEBYTECODE": "1"}


def _dictionary(folder: str) -> Path:
    path = Path(folder) / "words"
    path.write_text("".join(f'"{word}"\n' for word in WORDS), encoding="utf-8")
    return path


def main() -> None:
    """Fuzz everything for the time given; exit 1 on a finding."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    options.add_argument("--only", action="append", choices=[*READERS, APIS], help="one reader, or the two APIs")
    given = options.parse_args()
    left = given.only or [*READERS, APIS]
    print(f"seed {given.seed}, {given.seconds} s for {len(left)} targets", flush=True)
    until, failed = time.monotonic() + given.seconds, []
    with tempfile.TemporaryDirectory() as folder:
        words = _dictionary(folder)
        while left:
            name, share = left[0], max(2.0, until - time.monotonic()) / sum(map(_weight, left))
            good = (
                fuzz_apis(share * APIS_WEIGHT, given.seed)
                if name == APIS
                else fuzz_reader(name, share, given.seed, words)
            )
            failed += [] if good else [name]
            left = left[1:]
            sys.stdout.flush()
    print("found:", ", ".join(failed)) if failed else print("nothing found")
    sys.exit(1 if failed else 0)


def _weight(name: str) -> int:
    return APIS_WEIGHT if name == APIS else 1


if __name__ == "__main__":
    main()
