"""A server in its own process, for the tests of malformed input, full disks and crashes.

All requests use real sockets. The tests read what the server stored from its database file.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from server.cli.demo.server_process import ServerProcess, free_ports
from server.database.sqlite import SqliteDatabase
from server.flows.operations import audit
from support.intake import Field, Tablet
from support.waiting import PATIENCE
from sync.documents import receipt
from sync.exchange import messages
from sync.exchange.messages import CONTENT_TYPE, SIGNATURE_HEADER, Message, Response


@dataclass(frozen=True)
class Answer:
    """A response: the status, the headers in lower case, the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The problem's code. An error in any other format has none, and fails the test."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        assert {"type", "status", "code", "title", "detail", "advice"} <= json.loads(self.body).keys()
        found: str = json.loads(self.body)["code"]
        return found


def read_answer(line: socket.socket) -> Answer:
    """Read one response."""
    reading = HTTPResponse(line)
    reading.begin()
    return Answer(reading.status, {name.lower(): value for name, value in reading.getheaders()}, reading.read())


def connect(port: int, timeout: float = PATIENCE) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def send_bytes(port: int, data: bytes) -> Answer:
    """Send any bytes and read one response."""
    with connect(port) as line:
        line.sendall(data)
        return read_answer(line)


def send_request(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """Make one well-formed request."""
    named = {"Host": "chaski", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return send_bytes(port, f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)


def post_message(port: int, message: Message) -> Answer:
    """Send a tablet's signed request."""
    return send_request(
        port,
        "POST",
        messages.PATH,
        message.body,
        **{"Content_Type": CONTENT_TYPE, SIGNATURE_HEADER: message.signature},
    )


@dataclass
class ServerUnderTest:
    """A server process on the data of `field`. This process only reads them while that one runs."""

    field: Field
    server: ServerProcess

    @property
    def port(self) -> int:
        """The port of the tablet API."""
        return self.server.tablets_port

    def sync(self, tablet: Tablet, *envelopes: bytes, **said: Any) -> Response:
        """Send a tablet's request and verify the response's signature."""
        answer = post_message(self.port, self.field.message(tablet, *envelopes, **said))
        assert answer.status == 200, answer.body
        message = Message(answer.body, answer.headers[SIGNATURE_HEADER.lower()])
        servers = self.field.trust.servers
        return messages.read_response(message, servers, dev=tablet.key.kid, n=tablet.n, envelopes=envelopes)

    def outcomes(self, tablet: Tablet, *envelopes: bytes) -> list[str]:
        """The outcome of each envelope by the verified receipts, or the reason of a rejection."""
        receipts = self.sync(tablet, *envelopes).receipts
        assert receipts is not None
        items = receipt.accept(receipts, self.field.trust, dev=tablet.key.kid, n=tablet.n).items
        return [item.code or item.outcome for item in items]

    def memory(self, which: str = "VmRSS") -> float:
        """The memory of the process in MiB; VmHWM is its maximum so far."""
        assert self.server.running is not None
        lines = Path(f"/proc/{self.server.running.pid}/status").read_text(encoding="ascii").splitlines()
        (found,) = (line.split()[1] for line in lines if line.startswith(f"{which}:"))
        return int(found) / 1024

    def peak_from_here(self) -> float:
        """Reset the memory maximum; return the present memory in MiB."""
        assert self.server.running is not None
        Path(f"/proc/{self.server.running.pid}/clear_refs").write_text("5", encoding="ascii")
        return self.memory()

    def open_sockets(self) -> int:
        """The number of open connections of the process, with the sockets that listen.

        Other files do not count: a worker opens the database when it first needs it.
        """
        assert self.server.running is not None
        sockets = 0
        for descriptor in Path(f"/proc/{self.server.running.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # Closed since.
                sockets += os.readlink(descriptor).startswith("socket:")
        return sockets

    def files(self) -> int:
        """The bytes on disk in all the folders that the server writes to."""
        every = (path for folder in self.server.folders for path in folder.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in every)


@contextmanager
def run_server(field: Field) -> Iterator[ServerUnderTest]:
    """Start a server process on a field's data, and end it after the test."""
    server = ServerProcess(field.world.data.parent, *free_ports(2))
    server.start()
    try:
        yield ServerUnderTest(field, server)
    finally:
        server.kill()


def assert_intact(database: Path) -> None:
    """Check a database after a crash: SQLite's integrity check, and the audit chain."""
    with closing(sqlite3.connect(database)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    db = SqliteDatabase(database)
    assert audit.verify_chain(db).broken_at is None
    db.close()
