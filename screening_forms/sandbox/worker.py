"""The child process that runs one task on untrusted bytes; `client.py` starts it.

It imports all that the task needs, then limits itself: no new files or sockets, no access to other processes, and
limits on CPU time and memory. An attacker who takes over the process must find no system call that helps.
"""

from __future__ import annotations

import codecs
import ctypes
import errno
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, astuple
from importlib import import_module
from typing import IO, Any, get_type_hints

from screening_forms.errors import FormError
from screening_forms.process_memory import close_memory
from screening_forms.sandbox.pipe import from_json, read_object, read_part, to_json, write_part

_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "latin-1", "cp437", "cp1252")
"""Encodings of workbooks, zip files, tables and canonical JSON. Python loads an encoding from a file at first use."""

_ALLOWED_SYSTEM_CALLS = (
    *(b"read", b"write", b"close", b"lseek", b"fstat", b"exit", b"exit_group", b"restart_syscall"),
    *(b"brk", b"mmap", b"munmap", b"mremap", b"mprotect", b"madvise", b"sysinfo"),
    *(b"futex", b"rt_sigaction", b"rt_sigprocmask", b"rt_sigreturn", b"sigaltstack"),
    *(b"gettid", b"getpid", b"getrusage", b"getrandom", b"sched_yield", b"sched_getaffinity"),
    *(b"clock_gettime", b"clock_getres", b"clock_nanosleep", b"nanosleep", b"gettimeofday"),
)
"""The system calls of a running task: open descriptors, memory, threads, the clock, and exit."""
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # SCMP_ACT_ALLOW and SCMP_ACT_ERRNO of <seccomp.h>


def main(path: str, seconds: int, megabytes: int) -> None:
    """Read one request from standard input, run it and write the answer to standard output.

    `path` is the function as `module:name`.
    """
    close_memory()
    module, _, name = path.partition(":")
    function = getattr(import_module(module), name)
    request_class = next(iter(get_type_hints(function).values()))
    _apply_limits(seconds, megabytes)
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    members, content = from_json(read_part(stdin)), read_part(stdin)
    try:
        request = read_object(request_class, {**members, "content": content})
        answer = function(request, lambda done, of: _send(stdout, "progress", [done, of]))
        _send(stdout, "answer", asdict(answer))
    except FormError as error:
        _send(stdout, "refused", [astuple(problem) for problem in error.problems])
    except MemoryError:
        _send(stdout, "failed", "MemoryError")  # a longer message could need more memory
    except Exception:  # noqa: BLE001 (the client raises it as LostWorkerError)
        _send(stdout, "failed", traceback.format_exc())


def _apply_limits(seconds: int, megabytes: int) -> None:
    """Load libseccomp and the encodings, then set the limits.

    With RLIMIT_NOFILE = 0 the process opens no file or socket; its standard streams are open already.
    """
    block_system_calls = _prepare_seccomp()
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    for limit, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, megabytes * 2**20),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    block_system_calls()


def _prepare_seccomp() -> Callable[[], None]:
    """Return a function that blocks all other system calls for good, for root too. Raises OSError if seccomp fails.

    Limits alone would still allow the parent's memory (process_vm_readv), signals, and names and modes of files.
    Systems other than Linux have no seccomp: there only the limits apply.
    """
    if sys.platform != "linux":
        return lambda: None
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(_REFUSE))
    for name in _ALLOWED_SYSTEM_CALLS:
        _check_status(
            seccomp.seccomp_rule_add_array(rules, _ALLOW, seccomp.seccomp_syscall_resolve_name(name), 0, None)
        )
    return lambda: _check_status(seccomp.seccomp_load(rules))  # It sets no_new_privs first.


def _check_status(status: int) -> None:
    if status:
        raise OSError(-status, "libseccomp cannot block system calls")


def _send(stream: IO[bytes], kind: str, value: Any) -> None:
    write_part(stream, to_json([kind, value]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
