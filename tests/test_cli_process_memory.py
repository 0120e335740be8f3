"""Tests that each process that may hold a passphrase, a key or an answer has closed its memory before it asks for one.

Real processes start with open memory, wait at their first prompt, and are then killed like a crash.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import World
from server.cli.demo.server_process import free_ports
from support.backups import lose_database, new_identity
from support.waiting import wait_until

PROGRAM = Path(__file__).parent / "support" / "programs" / "open_memory.py"
KID = "A" * 43
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; other systems have the limit alone")


@contextmanager
def started(folder: Path, *words: object, until: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """Start `chaski` in an empty folder without a terminal; wait until standard error holds `until`; yield its id."""
    (folder / "cwd").mkdir()
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder / "dumpable"), *map(str, words)],
            cwd=folder / "cwd",
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Without a controlling terminal the prompts read standard input.
        )
    try:
        wait_until(lambda: until in (folder / "said").read_text() or process.poll() is not None, f"no {until}")
        assert process.poll() is None, (folder / "said").read_text()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        assert process.stdin
        process.stdin.close()


def is_closed(folder: Path, process: int) -> bool:
    """True if other processes of the account cannot read the memory, as the process itself reads its flag."""
    os.kill(process, signal.SIGUSR1)
    wait_until((folder / "dumpable").exists, "the process does not tell")
    return (folder / "dumpable").read_text() == "0"


def core_limits(process: int) -> list[str]:
    """The limits of a core file's size, soft and hard."""
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max core file size")).split()[4:6]


def crash(process: int, number: int) -> int:
    """Kill a process; return how it ended: CLD_KILLED, or CLD_DUMPED if the system wrote its memory somewhere."""
    os.kill(process, number)
    ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert ended
    return ended.si_code


def secret_commands(world: World) -> dict[str, tuple[tuple[object, ...], str]]:
    """Commands by role, each with the words at which it waits for a passphrase."""
    key = world.people / "registro" / "registrar.key"
    pin = ("--pin", "0" * 64)
    return {
        "desk": (("desk", "open", "r-1", "--plain", *pin, "--login", "nacional"), "Passphrase of nacional"),
        "examine": (("desk", "examine", 1, "--plain", *pin, "--login", "nacional"), "Passphrase of nacional"),
        "registrar": (("device", "wipe", KID, *pin, "--key", key, "--login", "registro"), "Passphrase of "),
        "author": (
            ("forms", "sign", "1", *pin, "--key", key, "--login", "autora", "--from", "pe_nna"),
            "Passphrase of autora",
        ),
        "statistics": (("statistics", *pin, "--login", "publicacion"), "Passphrase of publicacion"),
    }


@pytest.mark.parametrize(
    ("role", "number"),
    [
        ("desk", signal.SIGABRT),
        ("desk", signal.SIGSEGV),
        ("examine", signal.SIGBUS),
        ("registrar", signal.SIGSEGV),
        ("author", signal.SIGABRT),
        ("statistics", signal.SIGQUIT),
    ],
)
def test_a_command_that_asks_for_a_passphrase_has_closed_its_memory(
    founded_world: World, tmp_path: Path, role: str, number: int
) -> None:
    words, prompt = secret_commands(founded_world)[role]
    with started(tmp_path, *words, until=prompt) as process:
        assert (is_closed(tmp_path, process), core_limits(process)) == (True, ["0", "0"])
        assert crash(process, number) == os.CLD_KILLED
    assert list((tmp_path / "cwd").iterdir()) == []


def test_a_restore_has_closed_its_memory_before_it_asks_for_the_six_words(world: World, tmp_path: Path) -> None:
    lose_database(world.data)
    key = new_identity(tmp_path)
    key.write_bytes(b"-----BEGIN AGE ENCRYPTED FILE-----\n")
    words = ("restore", key, "--identity", key, "--data", world.data)
    with started(tmp_path, *words, until="Six words of the backup key") as process:
        assert (is_closed(tmp_path, process), core_limits(process)) == (True, ["0", "0"])
        assert crash(process, signal.SIGSEGV) == os.CLD_KILLED


def test_a_serving_process_loads_nothing_that_opens_a_screening(world: World, tmp_path: Path) -> None:
    tablets, people = map(str, free_ports(2))
    env = {"CHASKI_DATA": str(world.data), "CHASKI_TABLETS_PORT": tablets, "CHASKI_PEOPLE_PORT": people}
    with started(tmp_path, "serve", until=people, env={**env, "PYTHONPROFILEIMPORTTIME": "1"}):
        loaded = {line.split("|")[-1].strip() for line in (tmp_path / "said").read_text().splitlines()}
    assert {"server.app", "sync.documents.receipt"} <= loaded
    opens = ("sync.envelope.seal", "sync.envelope.content", "sync.desk", "sync.tablet", "server.ceremony")
    assert [each for each in sorted(loaded) if each.startswith(opens)] == []


def test_a_serving_process_has_closed_its_memory(world: World, tmp_path: Path) -> None:
    tablets, people = map(str, free_ports(2))
    env = {"CHASKI_DATA": str(world.data), "CHASKI_TABLETS_PORT": tablets, "CHASKI_PEOPLE_PORT": people}
    with started(tmp_path, "serve", until=people, env=env) as process:
        assert (is_closed(tmp_path, process), core_limits(process)) == (True, ["0", "0"])
        assert crash(process, signal.SIGABRT) == os.CLD_KILLED
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.parametrize("group", ["backup-key", "desk", "device", "forms", "serve"])
def test_the_memory_is_closed_before_a_commands_module_is_loaded(group: str, tmp_path: Path) -> None:
    program = (
        "import sys, ctypes; from server.cli.main import main; libc = ctypes.CDLL(None); libc.prctl(4, 1, 0, 0, 0);"
        "sys.addaudithook(lambda event, args: event == 'import' and args[0].startswith('server.cli.')"
        " and args[0] != 'server.cli.main' and print(libc.prctl(3, 0, 0, 0, 0), file=sys.stderr));"
        "main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, group, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert set(done.stderr.split()) == {"0"}
