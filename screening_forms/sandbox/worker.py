"""The process that reads what came from outside: client.py starts it. Everything that a verb needs is imported first;
then it can open no file and no socket, write nothing but its answer, touch no other process and spend no more than the
verb is granted: even bytes that take it over find a kernel that does little for them."""

from __future__ import annotations

import codecs
import ctypes
import errno
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import astuple
from importlib import import_module
from typing import IO, Any

from screening_forms.errors import FormError
from screening_forms.sandbox import client as apart

_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "latin-1", "cp437", "cp1252")
"""Python loads an encoding when it first meets it: those of workbooks, zip files, tables and canonical JSON."""

_KERNEL_DOES = (
    *(b"read", b"write", b"close", b"lseek", b"fstat", b"exit", b"exit_group", b"restart_syscall"),
    *(b"brk", b"mmap", b"munmap", b"mremap", b"mprotect", b"madvise", b"sysinfo"),
    *(b"futex", b"rt_sigaction", b"rt_sigprocmask", b"rt_sigreturn", b"sigaltstack"),
    *(b"gettid", b"getpid", b"getrusage", b"getrandom", b"sched_yield", b"sched_getaffinity"),
    *(b"clock_gettime", b"clock_getres", b"clock_nanosleep", b"nanosleep", b"gettimeofday"),
)
"""All that is asked of the kernel while a form is read: what is open already, memory, the clock, its own end."""
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # SCMP_ACT_ALLOW and SCMP_ACT_ERRNO of <seccomp.h>


def main(path: str, seconds: int, megabytes: int) -> None:
    """Answer one question that comes over standard input."""
    module, _, name = path.partition(":")
    function = getattr(import_module(module), name)
    _give_up_what_is_not_needed(seconds, megabytes)
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    options, content = apart.from_json(apart.read(stdin)), apart.read(stdin)
    try:
        answer = function(content, options, lambda done, of: _say(stdout, "progress", [done, of]))
        _say(stdout, "answer", answer)
    except FormError as error:
        _say(stdout, "refused", [astuple(problem) for problem in error.problems])
    except MemoryError:
        _say(stdout, "failed", "MemoryError")  # to tell more would take more
    except Exception:  # noqa: BLE001 (the other side learns of it, and says that it failed)
        _say(stdout, "failed", traceback.format_exc())


def _give_up_what_is_not_needed(seconds: int, megabytes: int) -> None:
    """Load what is loaded late, then set the limits.

    No new descriptor means no file and no socket; those of the conversation are open already.
    """
    leave_little_of_the_kernel = _kernel_left()
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    for limit, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, megabytes * 2**20),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    leave_little_of_the_kernel()


def _kernel_left() -> Callable[[], None]:
    """Return how to have every other call refused for good, root's too; raises OSError where that cannot be.

    Limits and descriptors alone would leave the memory of the process that asked (process_vm_readv), signals, and the
    names and modes of its files. Systems other than Linux have no such means: there it is limits and descriptors.
    """
    if sys.platform != "linux":
        return lambda: None
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(_REFUSE))
    for name in _KERNEL_DOES:
        _done(seccomp.seccomp_rule_add_array(rules, _ALLOW, seccomp.seccomp_syscall_resolve_name(name), 0, None))
    return lambda: _done(seccomp.seccomp_load(rules))  # It gives up new privileges (no_new_privs) first.


def _done(status: int) -> None:
    if status:
        raise OSError(-status, "the kernel cannot be kept away from what is read (libseccomp)")


def _say(stream: IO[bytes], kind: str, value: Any) -> None:
    apart.write(stream, apart.to_json([kind, value]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
