"""Taken ports: `chaski serve` and `chaski demo` find them before they write anything, and say what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import World
from server.cli.demo.server_process import ProcessError, ServerProcess, free_ports
from server.cli.main import main
from server.ports import why_no_port

DOORS = ("TABLETS", "PEOPLE")
ELSEWHERE = {"every address": ("0.0.0.0", True), "this one": ("127.0.0.1", True), "not listening": ("127.0.0.1", False)}


@contextmanager
def taken(how: str, port: int = 0) -> Iterator[int]:
    """Occupy a port."""
    host, listens = ELSEWHERE[how]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(listens))
        other.bind((host, port))
        if listens:
            other.listen()
        yield other.getsockname()[1]


def state(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return mode, size, time of the last change and bytes of each file in a folder."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        stat = path.stat()
        found[str(path)] = (stat.st_mode, stat.st_size, stat.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


def chaski(*words: object, **settings: object) -> Result:
    clean = {name: None for name in os.environ if name.startswith("CHASKI_")}
    said = {f"CHASKI_{name}": str(value) for name, value in settings.items()}
    return CliRunner().invoke(main, [*map(str, words)], env={**clean, **said})


def line_of(told: Result) -> str:
    [line] = [line for line in told.output.splitlines() if not line.startswith("{")]
    assert told.exit_code == 1
    return line


@pytest.mark.parametrize("how", ELSEWHERE)
@pytest.mark.parametrize("door", DOORS)
def test_a_server_with_a_taken_port_changes_nothing(world: World, door: str, how: str) -> None:
    world.config.database.with_name("tmp").mkdir()
    (world.data / "tmp" / "left.new").touch()
    before = state(world.data)
    with taken(how) as port:
        ports = dict(zip((f"{each}_PORT" for each in DOORS), free_ports(2), strict=True)) | {f"{door}_PORT": port}
        line = line_of(chaski("serve", DATA=world.data, **ports))
        assert line.startswith(
            f"chaski: CHASKI_{door}_PORT: 127.0.0.1:{port} cannot be listened on: Address already in"
        )
        assert "Stop the program that listens there, or set another port" in line
    assert state(world.data) == before
    process = ServerProcess(world.data.parent, ports["TABLETS_PORT"], ports["PEOPLE_PORT"])
    process.start()
    process.stop()


def test_an_address_of_another_machine_is_named_too(world: World) -> None:
    before = state(world.data)
    told = chaski("serve", DATA=world.data, TABLETS_HOST="192.0.2.1", TABLETS_PORT=free_ports(1)[0])
    assert line_of(told).startswith("chaski: CHASKI_TABLETS_PORT: 192.0.2.1:")
    assert state(world.data) == before


def test_a_port_of_the_other_internet_protocol_is_another_port() -> None:
    if why_no_port("::1", 0):
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        assert "in use" in why_no_port("::1", port)
        assert "in use" in why_no_port("::", port)
        assert why_no_port("127.0.0.1", port) == ""
    assert why_no_port("::1", port) == ""


def test_the_port_check_does_not_occupy_the_port() -> None:
    [port] = free_ports(1)
    assert why_no_port("127.0.0.1", port) == why_no_port("127.0.0.1", port) == ""
    with socket.create_server(("127.0.0.1", port)):
        assert "in use" in why_no_port("127.0.0.1", port)


@pytest.mark.parametrize("how", ELSEWHERE)
@pytest.mark.parametrize("door", DOORS)
def test_a_demo_with_a_taken_port_writes_nothing(tmp_path: Path, door: str, how: str) -> None:
    with taken(how) as port:
        ports = dict(zip((f"{each}_PORT" for each in DOORS), free_ports(2), strict=True)) | {f"{door}_PORT": port}
        line = line_of(chaski("demo", "--keep", tmp_path / "var", **ports))
    assert line.startswith(f"chaski: port {port} is taken (Address already in use): end what listens there")
    assert f"set CHASKI_{door}_PORT to a free port" in line
    assert list(tmp_path.iterdir()) == []


def test_a_demo_checks_the_default_ports_of_the_readme(tmp_path: Path) -> None:
    with socket.socket() as one:
        with suppress(OSError):  # Another program already has the port, which is enough.
            one.bind(("127.0.0.1", 8080))
        assert "port 8080 is taken" in line_of(chaski("demo", "--keep", tmp_path / "var"))
    assert list(tmp_path.iterdir()) == []


def test_the_demo_does_not_mistake_another_programs_server_for_its_own(world: World) -> None:
    process = ServerProcess(world.data.parent, *free_ports(2))
    process.start()
    process.stop()
    with taken("this one", process.people_port), pytest.raises(ProcessError, match=f"port {process.people_port} is"):
        process.start()


def test_a_server_started_for_a_program_ends_with_that_program(world: World) -> None:
    ports = free_ports(2)
    script = (
        "import os, signal, sys; from pathlib import Path; from server.cli.demo.server_process import ServerProcess\n"
        "ServerProcess(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])).start()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    words = [sys.executable, "-c", script, str(world.data.parent), *map(str, ports)]
    with subprocess.Popen(words) as parent:
        assert parent.wait(timeout=60) == -9
    log = world.data.parent / "log" / "server.log"
    with log.open("r", encoding="utf-8") as lines:
        until = time.monotonic() + 60
        while '"event": "stopped"' not in log.read_text(encoding="utf-8"):
            assert time.monotonic() < until, lines.read()
            time.sleep(0.05)
    assert [why_no_port("127.0.0.1", port) for port in ports] == ["", ""]
