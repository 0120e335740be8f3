"""Tasks that act as a broken reader under hostile input might; test_forms_sandbox.py runs each in the sandbox."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screening_forms.sandbox.tasks import Progress, Request

WAS_DUMPABLE = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
"""1 if the worker's memory could be dumped when it loaded this module. 3 is PR_GET_DUMPABLE of <linux/prctl.h>."""


@dataclass(frozen=True)
class HostileAnswer:
    """The result of a hostile task."""

    value: Any


@dataclass(frozen=True)
class HostileRequest(Request[HostileAnswer]):
    """Bytes, and options by name."""

    content: bytes
    options: Mapping[str, Any]


def _tried(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__ + f" {error.errno}"
    return "it worked"


def memory(request: HostileRequest, _: Progress) -> HostileAnswer:
    """Say whether the worker's memory could be dumped."""
    return HostileAnswer(WAS_DUMPABLE)


def open_things(request: HostileRequest, _: Progress) -> HostileAnswer:
    """Try to read, to write, to open a connection and to start a program."""
    return HostileAnswer(
        {
            "read": _tried(lambda: Path(request.options["file"]).read_bytes()),
            "write": _tried(lambda: Path(request.options["file"]).write_bytes(b"x")),
            "connect": _tried(lambda: socket.socket().connect(("127.0.0.1", request.options["port"]))),
            "name": _tried(lambda: socket.getaddrinfo(b"localhost", 80)),
            "program": _tried(lambda: subprocess.run(["/bin/true"], check=True)),
        }
    )


def touch_things(request: HostileRequest, _: Progress) -> HostileAnswer:
    """Try actions that need no descriptor: on names and modes of files, and on the parent process."""
    file, asker = Path(request.options["file"]), int(request.options["asker"])
    return HostileAnswer(
        {
            "remove": _tried(file.unlink),
            "rename": _tried(lambda: file.rename(f"{file}.gone")),
            "mode": _tried(lambda: file.chmod(0o777)),
            "look": _tried(file.stat),
            "signal": _tried(lambda: os.kill(asker, 0)),
            "limit": _tried(lambda: resource.prlimit(asker, resource.RLIMIT_CORE)),
            "memory": _tried(lambda: read_memory(asker, request.options["address"])),
            "fork": _tried(_fork),
        }
    )


def read_memory(process: int, address: int) -> bytes:
    """Read eight bytes from another process's memory, as processes of the same user can."""

    class Part(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    into = ctypes.create_string_buffer(8)
    here, there = Part(ctypes.addressof(into), 8), Part(address, 8)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.process_vm_readv(process, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "no")
    return into.raw


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def environment(_: HostileRequest, __: Progress) -> HostileAnswer:
    return HostileAnswer(sorted(os.environ))


def echo(request: HostileRequest, progress: Progress) -> HostileAnswer:
    for done in range(3):
        progress(done, 3)
    return HostileAnswer([request.content, dict(request.options)])


def spin(_: HostileRequest, __: Progress) -> None:
    while True:
        pass


def sleep(_: HostileRequest, __: Progress) -> None:
    time.sleep(60)


def swallow(_: HostileRequest, __: Progress) -> HostileAnswer:
    return HostileAnswer(len(bytearray(4 * 2**30)))


def crash(_: HostileRequest, __: Progress) -> None:
    os.abort()


def stumble(_: HostileRequest, __: Progress) -> None:
    raise LookupError("a fault of the program")


def lie(_: HostileRequest, __: Progress) -> None:
    """Return a problem that is not a valid problem."""
    said = b'["refused", [["survey", "x"]]]'
    os.write(1, len(said).to_bytes(4, "big") + said)
    os._exit(0)


def babble(_: HostileRequest, __: Progress) -> None:
    os.write(1, b"\xff" * 4096)
    os._exit(0)
