"""A backup key, a folder for backups, and the checks on a backup, for the tests of backup and restore."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner, Result

from conftest import FOUNDED
from server.backup import backup_key
from server.cli.main import main
from server.flows.operations import backup
from support.intake import Field


def run_chaski(*words: object) -> Result:
    """Run the `chaski` command in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


def run_for_json(*words: object) -> dict[str, Any]:
    """Run a command that must succeed; return its JSON output."""
    result = run_chaski(*words, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def backup_folder(tmp_path: Path) -> Path:
    """The folder for backups."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return new_identity(tmp_path)


def new_identity(folder: Path) -> Path:
    """A backup key without a passphrase, as age-keygen writes it."""
    made = pyrage.x25519.Identity.generate()
    file = folder / "offline.key"
    file.write_text(f"# created: 2026-11-21\n# public key: {made.to_public()}\n{made}\n")
    file.chmod(0o600)
    return file


def recipient(identity: Path) -> str:
    """The public half."""
    return str(backup_key.load_key(identity, str)[0].to_public())


def back_up_field(field: Field, identity: Path, backup_folder: Path, *, now: int = FOUNDED) -> Path:
    """Back up the field's database in this process."""
    services = field.services
    made = backup.write_backup(
        services.config,
        services.keys,
        recipient=recipient(identity),
        folder=backup_folder,
        now=now,
        progress=lambda step: None,
    )
    return made.file


def lose_database(data: Path) -> None:
    """Delete the database, as a broken disk would. keys/ is stored elsewhere and stays."""
    for file in data.glob("chaski.db*"):
        file.unlink()


def open_backup(file: Path, identity: Path) -> dict[str, bytes]:
    """Open a backup as the age tool and tar would; return each file by name."""
    plain = pyrage.decrypt(file.read_bytes(), backup_key.load_key(identity, str))
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:gz") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def read_column(database: Path, sql: str) -> list[Any]:
    """Return the first column of a query on a database file."""
    with sqlite3.connect(database) as connection:
        return [row[0] for row in connection.execute(sql)]
