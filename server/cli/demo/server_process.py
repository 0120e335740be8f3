"""A `chaski serve` of our own as another process, for the demo: started, awaited, stopped, and its files named."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from server.listener import why_no_port

START_SECONDS = 30.0
HOST = "127.0.0.1"
_SERVE = (
    "from server.cli.demo.server_process import end_with_parent; end_with_parent(); "
    "from server.cli.main import main; main()"
)


class ProcessError(Exception):
    """The server could not be started, or ended when it should not."""


@dataclass
class ServerProcess:
    """A server over `folder`/server, with its log in `folder`/log; both doors on loopback."""

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
        """Every place where this server writes."""
        return self.folder / "server", self.folder / "log"

    def refuse_taken_ports(self) -> None:
        """Raise ProcessError when a port cannot be listened on; writes nothing."""
        for setting, port in (("CHASKI_TABLETS_PORT", self.tablets_port), ("CHASKI_PEOPLE_PORT", self.people_port)):
            if why := why_no_port(HOST, port):
                raise ProcessError(
                    f"port {port} is taken ({why}): end what listens there, such as another `make run`, "
                    f"or set {setting} to a free port, and run this again"
                )

    def start(self) -> None:
        """Start and wait until both doors answer. Raises ProcessError when a port is taken or the server ends."""
        self.refuse_taken_ports()
        data, log = self.folders
        log.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "CHASKI_DATA": str(data),
            "CHASKI_TABLETS_PORT": str(self.tablets_port),
            "CHASKI_PEOPLE_PORT": str(self.people_port),
            "CHASKI_PEOPLE_SECURE_COOKIE": "no",  # loopback without TLS
        }
        with (log / "server.log").open("ab") as output:
            self.log_from = output.tell()
            self.running = subprocess.Popen(
                [sys.executable, "-c", _SERVE, "serve"],
                env={**os.environ, **settings},
                stdout=output,
                stderr=output,
                stdin=subprocess.PIPE,  # Never written to: see `end_with_parent`.
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the server itself
            )
        until = time.monotonic() + START_SECONDS
        while not (is_healthy(self.tablets_url) and is_healthy(self.people_url)):
            if self.running.poll() is not None or time.monotonic() > until:
                self.kill()
                raise ProcessError(f"the server did not start; its log ends:\n{self._end_of_log()}")
            time.sleep(0.05)

    def wait(self) -> None:
        """wait for it, which should not end by itself; raises ProcessError when it does."""
        if self.running is not None:
            self.running.wait()
            raise ProcessError(f"the server ended by itself; its log ends:\n{self._end_of_log()}")

    def _end_of_log(self) -> str:
        written = (self.folders[1] / "server.log").read_bytes()[self.log_from :]
        return written[-2000:].decode("utf-8", "replace")

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with no chance to tidy up, as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.running is not None:
            self.running.send_signal(how)
            self.running.wait(timeout=START_SECONDS)
            if self.running.stdin is not None:
                self.running.stdin.close()
            self.running = None


def end_with_parent() -> None:
    """Have this process asked to end when its standard input does: the system closes it however the parent died."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(0, 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def is_healthy(url: str) -> bool:
    """Whether a door says that it is well."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on just now."""
    held = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports
