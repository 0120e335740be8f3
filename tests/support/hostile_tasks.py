"""What hostile bytes might make a broken reader do; test_forms_sandbox.py runs each inside the sandbox."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from screening_forms.sandbox.client import Progress

Options = Mapping[str, Any]


def _tried(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__ + f" {error.errno}"
    return "it worked"


def open_things(_: bytes, options: Options, __: Progress) -> dict[str, str]:
    """Try to read, to write, to speak to somebody, to start a program."""
    return {
        "read": _tried(lambda: Path(options["file"]).read_bytes()),
        "write": _tried(lambda: Path(options["file"]).write_bytes(b"x")),
        "connect": _tried(lambda: socket.socket().connect(("127.0.0.1", options["port"]))),
        "name": _tried(lambda: socket.getaddrinfo(b"localhost", 80)),
        "program": _tried(lambda: subprocess.run(["/bin/true"], check=True)),
    }


def touch_things(_: bytes, options: Options, __: Progress) -> dict[str, str]:
    """Try what needs no descriptor: names and modes of files, and the process that asked."""
    file, asker = Path(options["file"]), int(options["asker"])
    return {
        "remove": _tried(file.unlink),
        "rename": _tried(lambda: file.rename(f"{file}.gone")),
        "mode": _tried(lambda: file.chmod(0o777)),
        "look": _tried(file.stat),
        "signal": _tried(lambda: os.kill(asker, 0)),
        "limit": _tried(lambda: resource.prlimit(asker, resource.RLIMIT_CORE)),
        "memory": _tried(lambda: read_memory(asker, options["address"])),
        "fork": _tried(_fork),
    }


def read_memory(process: int, address: int) -> bytes:
    """Read eight bytes out of another process, as any process of the same person may."""

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


def environment(_: bytes, __: Options, ___: Progress) -> list[str]:
    return sorted(os.environ)


def echo(content: bytes, options: Options, progress: Progress) -> list[Any]:
    for done in range(3):
        progress(done, 3)
    return [content, dict(options)]


def spin(_: bytes, __: Options, ___: Progress) -> None:
    while True:
        pass


def sleep(_: bytes, __: Options, ___: Progress) -> None:
    time.sleep(60)


def swallow(_: bytes, __: Options, ___: Progress) -> int:
    return len(bytearray(4 * 2**30))


def crash(_: bytes, __: Options, ___: Progress) -> None:
    os.abort()


def stumble(_: bytes, __: Options, ___: Progress) -> None:
    raise LookupError("a fault of the program")


def lie(_: bytes, __: Options, ___: Progress) -> None:
    """Say what nobody says: a problem that is none."""
    said = b'["refused", [["survey", "x"]]]'
    os.write(1, len(said).to_bytes(4, "big") + said)
    os._exit(0)


def babble(_: bytes, __: Options, ___: Progress) -> None:
    os.write(1, b"\xff" * 4096)
    os._exit(0)
