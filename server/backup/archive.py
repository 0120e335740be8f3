"""The backup file: a tar of a signed statement and the database, compressed with gzip, encrypted in the age format.

Flows write and read it as a stream; both sides hold only a few kilobytes in memory. This module must not judge the
contents. `age -d -i KEY FILE | tar xz` opens it without Chaski.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import pyrage

STATEMENT, DATABASE = "backup.json", "chaski.db"
_STATEMENT_LIMIT = 64 * 1024
_CHUNK = 256 * 1024
# Envelopes are ciphertext in base64: the lowest level saves nearly as much, in a fraction of the time.
_LEVEL = 1


class BackupError(Exception):
    """A file that is not a backup, is incomplete, or was made for another key. `code` names which."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


@dataclass(frozen=True)
class ArchiveContents:
    """The contents of an open backup: the statement's bytes, and the database's length and bytes as a stream."""

    statement: bytes
    length: int
    database: IO[bytes]


class _CountingWriter(io.RawIOBase):
    """Passes bytes on, counts and hashes them, and remembers a failed write, which pyrage ignores at the end."""

    def __init__(self, out: BinaryIO, progress: Callable[[int], None]) -> None:
        self._out, self._progress = out, progress
        self.bytes, self.sha256 = 0, hashlib.sha256()
        self.failed: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            self._out.write(data)
        except OSError as error:
            self.failed = error
            raise
        self.sha256.update(data)
        self.bytes += len(data)
        self._progress(self.bytes)
        return len(data)


def write_archive(
    out: BinaryIO, statement: bytes, database: Path, recipient: str, progress: Callable[[int], None]
) -> tuple[int, str]:
    """Write a backup for `recipient` (age1...). Returns its length and SHA-256. `progress` gets the bytes so far."""
    writer = _CountingWriter(out, progress)
    with _pipe_from(lambda pipe: _pack(pipe, statement, database)) as packed:
        try:
            pyrage.encrypt_io(packed, writer, [pyrage.x25519.Recipient.from_str(recipient)])
        except pyrage.EncryptError as error:
            raise writer.failed or error from None
    if writer.failed:
        raise writer.failed
    return writer.bytes, writer.sha256.hexdigest()


def _pack(pipe: BinaryIO, statement: bytes, database: Path) -> None:
    with (
        gzip.GzipFile(fileobj=pipe, mode="wb", compresslevel=_LEVEL, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w|") as tar,
        database.open("rb") as source,
    ):
        tar.addfile(_member(STATEMENT, len(statement)), io.BytesIO(statement))
        tar.addfile(_member(DATABASE, os.fstat(source.fileno()).st_size), source)


def _member(name: str, length: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = length, 0o600
    return member


@contextmanager
def open_archive(file: Path, identities: Sequence[pyrage.x25519.Identity]) -> Iterator[ArchiveContents]:
    """Decrypt and unpack a backup as a stream. If the block ends without an error, the end of the file is verified."""
    with file.open("rb") as source, _pipe_from(lambda pipe: _decrypt(source, pipe, identities)) as plain:
        try:
            with tarfile.open(fileobj=plain, mode="r|gz") as tar:
                statement = tar.extractfile(_next_member(tar, STATEMENT, _STATEMENT_LIMIT))
                content = statement.read() if statement else b""
                member = _next_member(tar, DATABASE, None)
                database = tar.extractfile(member)
                assert database is not None
                yield ArchiveContents(content, member.size, database)
            while plain.read(_CHUNK):
                pass
        except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
            raise BackupError("backup.damaged", f"{file} is incomplete: {error}") from error


def _next_member(tar: tarfile.TarFile, name: str, limit: int | None) -> tarfile.TarInfo:
    member = tar.next()
    if member is None or member.name != name or not member.isreg() or (limit and member.size > limit):
        raise BackupError("backup.not_one", f"it decrypts, but does not contain {name} where a backup has it")
    return member


def _decrypt(source: BinaryIO, pipe: BinaryIO, identities: Sequence[pyrage.x25519.Identity]) -> None:
    try:
        pyrage.decrypt_io(source, pipe, list(identities))
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise BackupError("backup.other_key", "it was made for another backup key") from error
        raise BackupError("backup.not_one", f"it is not a backup, or its beginning is damaged: {error}") from error
    except OSError as error:
        raise BackupError("backup.damaged", f"it was cut off or changed: {error}") from error


@contextmanager
def _pipe_from(source: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
    """Run `source` in a thread; the block reads what it writes. An error of the thread is raised before the errors it
    causes."""
    failures: list[Exception] = []
    reading, writing = os.pipe()

    def run() -> None:
        with os.fdopen(writing, "wb", _CHUNK) as pipe:
            try:
                source(pipe)
                pipe.flush()
            except (OSError, BackupError) as error:
                failures.append(error)
                raise

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        with os.fdopen(reading, "rb", _CHUNK) as pipe:
            try:
                yield pipe
            except Exception:
                if failures:
                    raise failures[0] from None
                raise
    future.result()
