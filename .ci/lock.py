"""Writes constraints.txt: one exact version of every package that Chaski needs, with the hashes of its files.

`make` installs only files with these hashes, so that each machine runs the same code. The versions hold for every
Python from 3.11 on, on Linux and macOS. A part adds to the part `base`; the Makefile picks the parts that it installs.
A version stays as it is, unless an option such as `--upgrade` or `--upgrade-package flask` asks uv for a newer one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "constraints.txt"
TOOLS = ("pip", "setuptools", "wheel")
"""What builds and installs; it belongs to the part `base`."""
EXTRAS = ("dev", "fuzz", "lock")
"""The extras of setup.cfg; each has a part of its own, a package stands in the first part that needs it."""
HEAD = """\
# Every package that Chaski needs, one exact version each, with the hashes of its files. `make lock` writes this file.
# base: to run Chaski; dev: to develop it as well; fuzz: for `make fuzz`; lock: for `make lock`.
"""
ENTRY = re.compile(r"^(\S+)==.*\n(?:    --hash=.*\n)+", re.MULTILINE)


def entries(folder: Path, extras: tuple[str, ...], *options: str) -> dict[str, str]:
    """Resolve Chaski's requirements with some extras; return each package's lines of the lock file by its name."""
    lock, tools = folder / "lock.txt", folder / "tools.txt"
    tools.write_text("\n".join(TOOLS), encoding="utf-8")
    command = [Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "--system-certs", "--universal"]
    command += ["--python-version=3.11", "--generate-hashes", "--no-header", "--no-annotate", f"--output-file={lock}"]
    command += [*(f"--extra={extra}" for extra in extras), *options, "setup.cfg", tools]
    subprocess.run(command, cwd=ROOT, check=True)
    return {match[1]: match[0] for match in ENTRY.finditer(lock.read_text(encoding="utf-8"))}


def main(options: list[str]) -> None:
    """Resolve once with all extras, for one version of each package; then sort the packages into parts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(LOCK, folder / "lock.txt")
        every = entries(folder, EXTRAS, *options)
        text, seen = HEAD, set[str]()
        for part, extras in (("base", ()), *((extra, (extra,)) for extra in EXTRAS)):
            named = entries(folder, extras).keys() - seen
            text += f"\n# Part {part}\n" + "".join(every[package] for package in sorted(named))
            seen |= named
            # uv reads the versions to keep from its former output, so each turn starts from all of them.
            (folder / "lock.txt").write_text("".join(every.values()), encoding="utf-8")
    LOCK.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
