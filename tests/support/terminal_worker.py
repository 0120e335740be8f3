"""Runs the `chaski` command in terminals that tests open: one process imports everything, and forks for each command.

Told line by line on standard input, as JSON: `{"tty": path, "args": [...], "idle": seconds}` answers with a process id,
`{"wait": id}` with its exit code. A forked command is a process of its own, which a test may kill as a power cut would.
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
