"""Runs the `chaski` command in terminals that tests open. One process imports everything and forks for each command.

It reads requests from standard input, one JSON object a line. `{"tty": path, "args": [...], "idle": seconds}` returns a
process id, `{"wait": id}` returns its exit code. A test may kill a forked command as a power cut would.
"""

from __future__ import annotations

import json
import os
import sys

from server.cli.main import main
from server.cli.private_terminal import PrivateTerminal


def run(tty: str, args: list[str], idle: float) -> int:
    """Start the command with `tty` as its controlling terminal; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        terminal = os.open(tty, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(terminal, stream)
        os.environ["TERM"] = "xterm"
        PrivateTerminal.idle = idle
        main(args)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


for line in sys.stdin:
    told = json.loads(line)
    if "wait" in told:
        answer = os.waitstatus_to_exitcode(os.waitpid(told["wait"], 0)[1])
    else:
        answer = run(told["tty"], told["args"], told["idle"])
    print(answer, flush=True)
