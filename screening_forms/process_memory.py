"""Closes the memory of this process to core dumps and to other processes of its account.

Passphrases, keys and answers are in that memory. Each program of the project calls `close_memory` before it reads one:
the command `chaski` and the sandbox's worker. `execve` undoes half of it, so a parent cannot do it for its child.
"""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4  # <linux/prctl.h>


def close_memory() -> None:
    """Forbid core dumps for good and, on Linux, reading of this memory by other processes of the account.

    Root can still read it. Other systems have the resource limit alone. Raises OSError if the system refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "the system cannot close this process's memory")
