"""Wrong values for every setting, and unfit data folders: the server names the setting and does not start."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import World
from server import config
from server.cli.demo.server_process import free_ports
from server.cli.main import main

ODD = ("+7", "7_0", " 7", "7\n", "١٢", "７", "²", "7" * 5000, "-" + "7" * 5000, "0" * 5000)
NUMBERS = ("", "0", "-1", "1.5", "one", "1e9", "99999999999", "0x10", "١٢a", *ODD)
PORTS = ("", "0", "-1", "65536", "http", "80 81", "1.5", *ODD)
HOSTS = ("", "over there", "256.1.1.1", "127.0.0.1:80", "http://127.0.0.1", "1.2.3", "::g")
WRONG: dict[str, tuple[str, ...]] = {
    "CHASKI_DATA": ("", " "),
    "CHASKI_TABLETS_HOST": HOSTS,
    "CHASKI_PEOPLE_HOST": HOSTS,
    "CHASKI_TABLETS_PORT": PORTS,
    "CHASKI_PEOPLE_PORT": (*PORTS, "8080"),
    "CHASKI_TABLETS_URL": ("tablets.example", "ftp://tablets.example", "http://", "//x", "http://["),
    "CHASKI_PEOPLE_URL": (
        *(
            "chaski.example",
            "ftp://chaski.example",
            "https://",
            "//x",
            "https://[",
            "https://a b",
            "https://a@b.example",
        ),
        *("http://chaski.example", "http://192.0.2.7:8081", "https://chaski.example,http://0.0.0.0", "https://a,,"),
    ),
    "CHASKI_PEOPLE_SECURE_COOKIE": ("", "true", "YES", "1", "maybe"),
    "CHASKI_LOG_LEVEL": ("", "chatty", "INFO", "10"),
    "CHASKI_REQUEST_SECONDS": (*NUMBERS, "3601"),
    "CHASKI_PROXIES": ("proxy", "10.0.0.1/33", "10.0.0.1/8", "10.0.0.1,,10.0.0.2", "10.0.0.1;10.0.0.2"),
    "CHASKI_DATABASE_MAX_MB": tuple(wrong for wrong in NUMBERS if wrong != "0"),
    "CHASKI_BACKUP_RECIPIENT": ("age1", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1"),
    "CHASKI_BACKUP_FOLDER": ("", " "),
    "CHASKI_METRICS_TOKEN": ("short", "with a blank in it, and quite long enough"),
    **dict.fromkeys(
        (
            "CHASKI_THREADS",
            "CHASKI_HALT_AFTER",
            "CHASKI_TABLET_MAX_MB",
            "CHASKI_HOURS_IMMEDIATE",
            "CHASKI_HOURS_PROMPT",
            "CHASKI_HOURS_ROUTINE",
            "CHASKI_LEASE_MINUTES",
            "CHASKI_ENROLMENT_CODE_MINUTES",
            "CHASKI_SESSION_MINUTES",
            "CHASKI_SILENT_DAYS",
            "CHASKI_BACKUP_KEEP",
        ),
        NUMBERS,
    ),
}


def serve(data: Path, **settings: str) -> str:
    """Run `chaski serve`, which must not start. Returns its one line of output."""
    clean = {name: None for name in os.environ if name.startswith(config.PREFIX)}
    if not any(name.endswith("_PORT") for name in settings):  # Other listeners on this machine do not matter here.
        settings |= dict(zip(("CHASKI_TABLETS_PORT", "CHASKI_PEOPLE_PORT"), map(str, free_ports(2)), strict=True))
    told = CliRunner().invoke(main, ["serve"], env={**clean, "CHASKI_DATA": str(data), **settings})
    assert told.exit_code == 1, told.output
    assert told.exception is None or isinstance(told.exception, SystemExit)
    lines = [line for line in told.output.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, told.output
    assert lines[0].startswith("chaski: CHASKI_"), told.output
    assert "Traceback" not in told.output
    return lines[0]


def test_every_setting_has_wrong_values_in_this_module() -> None:
    assert set(WRONG) == set(config.known_settings())


@pytest.mark.parametrize("name", sorted(WRONG))
def test_every_wrong_value_is_rejected_in_a_line_that_names_its_setting(world: World, name: str) -> None:
    for value in WRONG[name]:
        assert serve(world.data, **{name: value}).startswith(f"chaski: {name}: "), value


@pytest.mark.parametrize("name", sorted(WRONG))
def test_every_misspelt_setting_is_rejected_with_its_right_name(world: World, name: str) -> None:
    said = serve(world.data, **{f"{name}S": "1"})
    assert said.startswith(f"chaski: {name}S: ")
    assert "did you mean CHASKI_" in said


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"CHASKI_TABLETS_HOST": "0.0.0.0"}, "CHASKI_TABLETS_HOST"),
        ({"CHASKI_PEOPLE_HOST": "::"}, "CHASKI_PEOPLE_HOST"),
        ({"CHASKI_PEOPLE_HOST": "192.0.2.1", "CHASKI_PEOPLE_SECURE_COOKIE": "no"}, "CHASKI_PEOPLE_"),
        ({"CHASKI_TABLETS_PORT": "9000", "CHASKI_PEOPLE_PORT": "9000"}, "CHASKI_PEOPLE_PORT"),
    ],
)
def test_settings_that_are_unsafe_together_are_rejected(world: World, settings: dict[str, str], named: str) -> None:
    assert serve(world.data, **settings).startswith(f"chaski: {named}")


def test_an_unusable_folder_is_rejected_by_name(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "nowhere", tmp_path / "file", Path("/proc/1/nothing")):
        assert str(folder) in serve(folder)
    world.data.chmod(0o755)
    assert "open to others" in serve(world.data)


def test_missing_and_broken_keys_are_rejected(world: World) -> None:
    key = world.data / "keys" / "server.key"
    key.write_bytes(b"{}")
    key.chmod(0o600)
    assert "keys cannot be read" in serve(world.data)
    key.unlink()
    assert "keys cannot be read" in serve(world.data)


@pytest.mark.parametrize("content", [b"", b"not a database" * 999, b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_not_a_database_is_rejected_and_left_unchanged(world: World, content: bytes) -> None:
    database = world.config.database
    for leftover in world.data.glob("chaski.db*"):
        leftover.unlink()
    database.write_bytes(content)
    database.chmod(0o600)
    said = serve(world.data)
    assert said.startswith("chaski: CHASKI_DATA: ")
    if content:
        assert database.read_bytes()[:16] == content[:16]


def test_a_database_of_a_newer_program_is_rejected_and_left_unchanged(world: World) -> None:
    with closing(sqlite3.connect(world.config.database)) as raw, raw:
        raw.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('chaski', 'morrow', '')")
    said = serve(world.data)
    assert "a newer Chaski made it (morrow)" in said
    assert "update the program" in said
    with closing(sqlite3.connect(world.config.database)) as raw:
        assert raw.execute("SELECT count(*) FROM documents").fetchone() != (0,)


def test_localhost_is_one_address(world: World) -> None:
    loaded = config.load({"CHASKI_DATA": str(world.data), "CHASKI_TABLETS_HOST": "localhost"})
    assert loaded.tablets_host == "127.0.0.1"
