"""Runs `chaski serve` as a child process of the demo: starts it, waits until it answers, stops or kills it.

The demo must test the real command. The child ends when the demo dies, so that no server stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from urllib3.util import Timeout

from server.ports import why_no_port
from sync.errors import SyncError
from sync.exchange.transport import Transport

START_SECONDS = 120.0
HOST = "127.0.0.1"
_SERVE = (
    "from server.cli.demo.server_process import end_with_parent; end_with_parent(); "
    "from server.cli.main import main; main()"
)


class ProcessError(Exception):
    """The server did not start, a port is taken, or the server ended unexpectedly."""


@dataclass
class ServerProcess:
    """A server on the data in `folder`/server, its log in `folder`/log. Both APIs listen on loopback."""

    folder: Path
    tablets_port: int
    people_port: int
    running: subprocess.Popen[bytes] | None = None
    log_from: int = 0

    @property
    def people_url(self) -> str:
        return f"http://{HOST}:{self.people_port}"

    @property
    def tablets_url(self) -> str:
        return f"http://{HOST}:{self.tablets_port}"

    @property
    def folders(self) -> tuple[Path, Path]:
        """The two folders in which the server writes: data and log."""
        return self.folder / "server", self.folder / "log"

    def refuse_taken_ports(self) -> None:
        """Raise ProcessError when a port cannot be used. It writes no file."""
        for setting, port in (("CHASKI_TABLETS_PORT", self.tablets_port), ("CHASKI_PEOPLE_PORT", self.people_port)):
            if why := why_no_port(HOST, port):
                raise ProcessError(
                    f"port {port} is taken ({why}): end what listens there, such as another `make run`, "
                    f"or set {setting} to a free port, and run this again"
                )

    def start(self) -> None:
        """Start, and wait until both APIs answer. Raises ProcessError when a port is taken or the server ends."""
        self.refuse_taken_ports()
        data, log = self.folders
        log.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "CHASKI_DATA": str(data),
            "CHASKI_TABLETS_HOST": HOST,
            "CHASKI_TABLETS_PORT": str(self.tablets_port),
            "CHASKI_PEOPLE_HOST": HOST,
            "CHASKI_PEOPLE_PORT": str(self.people_port),
            "CHASKI_PEOPLE_SECURE_COOKIE": "no",  # Loopback has no TLS.
        }
        with (log / "server.log").open("ab") as output:
            self.log_from = output.tell()
            self.running = subprocess.Popen(
                [sys.executable, "-c", _SERVE, "serve"],
                env={**os.environ, **settings},
                stdout=output,
                stderr=output,
                stdin=subprocess.PIPE,  # Nothing is written to it: see `end_with_parent`.
                start_new_session=True,  # Ctrl-C reaches only the demo, which stops the server.
            )
        until = time.monotonic() + START_SECONDS
        while not (is_healthy(self.tablets_url) and is_healthy(self.people_url)):
            if self.running.poll() is not None or time.monotonic() > until:
                self.kill()
                raise ProcessError(f"the server did not start; its log ends:\n{self._end_of_log()}")
            time.sleep(0.05)

    def wait(self) -> None:
        """Wait for the server, which must not end by itself. Raises ProcessError when it does."""
        if self.running is not None:
            self.running.wait()
            raise ProcessError(f"the server ended by itself; its log ends:\n{self._end_of_log()}")

    def _end_of_log(self) -> str:
        written = (self.folders[1] / "server.log").read_bytes()[self.log_from :]
        return written[-2000:].decode("utf-8", "replace")

    def stop(self) -> None:
        """Send SIGTERM and wait for the end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, which ends the server like a power cut, and wait."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.running is not None:
            self.running.send_signal(how)
            self.running.wait(timeout=START_SECONDS)
            if self.running.stdin is not None:
                self.running.stdin.close()
            self.running = None


def end_with_parent() -> None:
    """Send SIGTERM to this process when its standard input closes. The system closes it when the parent dies."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(0, 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def is_healthy(url: str) -> bool:
    """True if the API at `url` answers /healthz with 200."""
    try:
        with closing(Transport(url, timeout=Timeout(2))) as transport:
            transport.get("/healthz")
        return True
    except SyncError:
        return False


def free_ports(count: int) -> list[int]:
    """Return `count` free ports of 127.0.0.1. Another process could still take one."""
    held = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports
