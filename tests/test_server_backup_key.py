"""Tests of the backup key's file: its strength is fixed, and each refusal tells its own reason."""

from __future__ import annotations

import base64
import resource
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import FOUNDED, World
from server.backup import age_passphrase, backup_key
from server.backup.archive import BackupError
from support.backups import lose_database, run_chaski
from sync.errors import SyncError

WORDS = "cama lago nube risa sopa vino"
SECRET = str(pyrage.x25519.Identity.generate()).encode()
QUICK = 4  # A work factor for tests that are about something else.


def locked(folder: Path, work_factor: int = QUICK, words: str = WORDS) -> Path:
    """A locked key file."""
    file = folder / "offline.age"
    file.write_bytes(age_passphrase.lock(SECRET, words, work_factor=work_factor))
    file.chmod(0o600)
    return file


def with_work_factor(file: bytes, stated: int) -> bytes:
    """The same file with another work factor in its head."""
    binary = base64.b64decode(b"".join(file.split(b"\n")[1:-2]))
    changed = binary.replace(b" %d\n" % QUICK, b" %d\n" % stated, 1)
    return b"-----BEGIN AGE ENCRYPTED FILE-----\n%s\n-----END AGE ENCRYPTED FILE-----\n" % base64.b64encode(changed)


def stated_work(file: bytes) -> int:
    """The work factor in a file's head."""
    return int(base64.b64decode(b"".join(file.split(b"\n")[1:-2])).split(b"\n")[1].split()[-1])


# Strength


def test_a_new_backup_key_has_the_same_strength_on_every_machine(tmp_path: Path) -> None:
    made = backup_key.create_key(tmp_path / "new.age", now=FOUNDED)
    content = (tmp_path / "new.age").read_bytes()
    assert stated_work(content) == age_passphrase.WORK_FACTOR == 18
    assert backup_key.load_key(tmp_path / "new.age", lambda: made.phrase)[0].to_public() is not None


def test_other_age_programs_open_a_backup_key_of_chaski() -> None:
    for content in (b"", SECRET, b"x" * age_passphrase.MOST_BYTES):
        assert pyrage.passphrase.decrypt(age_passphrase.lock(content, WORDS, work_factor=QUICK), WORDS) == content


@pytest.mark.parametrize("armored", [True, False])
def test_a_key_file_of_the_former_release_and_of_other_age_programs_opens(tmp_path: Path, armored: bool) -> None:
    file = tmp_path / "former.age"
    file.write_bytes(pyrage.passphrase.encrypt(SECRET, "Ñandú  2026", armored=armored))
    file.chmod(0o600)
    assert str(backup_key.load_key(file, lambda: "Ñandú  2026")[0]).encode() == SECRET
    with pytest.raises(SyncError, match=r"key\.wrong_passphrase"):
        backup_key.load_key(file, lambda: "Ñandú 2027")


def test_line_ends_of_another_system_do_not_damage_a_key_file(tmp_path: Path) -> None:
    file = locked(tmp_path)
    file.write_bytes(b"\r\n" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert str(backup_key.load_key(file, lambda: WORDS.upper())[0]).encode() == SECRET


# Refusals


@pytest.mark.parametrize("stated", [23, 30, 99])
def test_too_much_work_is_never_told_as_a_wrong_passphrase(world: World, tmp_path: Path, stated: int) -> None:
    file, words = locked(tmp_path), tmp_path / "words"
    file.write_bytes(with_work_factor(file.read_bytes(), stated))
    lose_database(world.data)
    for typed in (WORDS, WORDS.upper(), "other words"):
        words.write_text(f"{typed}\n")
        said = run_chaski("restore", file, "--identity", file, "--passphrase-file", words, "--data", world.data)
        assert said.exit_code == 1
        assert said.stderr.startswith("chaski: backup.key_too_costly: ")
        assert f"work factor {stated}" in said.stderr
        assert "age -d" in said.stderr


def test_a_machine_with_too_little_memory_says_so_and_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from server.backup import age_passphrase, backup_key;"
        "resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), resource.RLIM_INFINITY));"
        "backup_key.load_key(Path(sys.argv[1]), lambda: sys.argv[3])"
    )
    file, most = locked(tmp_path, age_passphrase.WORK_FACTOR), resource.RLIM_INFINITY
    for typed, memory, expected in (
        (WORDS, 200 * 2**20, "backup.key_too_costly"),
        (WORDS.upper(), 200 * 2**20, "backup.key_too_costly"),
        (WORDS, most, ""),
        ("other", most, "key.wrong_passphrase"),
    ):
        words = [sys.executable, "-c", program, str(file), str(memory), typed]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, expected in done.stderr) == (int(bool(expected)), True), done.stderr
        assert ("256 MiB" in done.stderr) == ("costly" in expected)


@given(at=st.integers(0, 1000), bit=st.integers(0, 7))
def test_a_damaged_key_file_is_refused_with_a_reason(at: int, bit: int) -> None:
    binary = bytearray(base64.b64decode(b"".join(FILE.split(b"\n")[1:-2])))
    binary[at % len(binary)] ^= 1 << bit
    with pytest.raises((BackupError, SyncError), match=r"backup\.(no_key|key_too_costly)|key\.wrong_passphrase"):
        age_passphrase.unlock(bytes(binary), WORDS)


def test_damage_that_can_look_like_a_wrong_passphrase_is_told_as_possible() -> None:
    for stated in (QUICK - 1, QUICK + 1):
        with pytest.raises(SyncError, match=r"key\.wrong_passphrase.*head .* is damaged.*second copy"):
            age_passphrase.unlock(with_work_factor(FILE, stated), WORDS)


@pytest.mark.parametrize("line", [1, 2])
def test_a_spelling_that_no_program_writes_is_called_damage(line: int) -> None:
    binary = base64.b64decode(b"".join(FILE.split(b"\n")[1:-2]))
    head = binary.split(b"\n")[line]
    text = head.split()[2] if line == 1 else head
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = text[:-1] + alphabet[alphabet.index(text[-1]) | 1 :][:1]
    with pytest.raises(BackupError, match=r"backup\.no_key.*damaged"):
        age_passphrase.unlock(binary.replace(text, other), WORDS)


@given(length=st.integers(0, 400))
def test_a_key_file_that_was_cut_off_is_called_damaged(length: int) -> None:
    cut = FILE[: min(length, len(FILE) - 40)]
    with pytest.raises(BackupError, match=r"backup\.no_key"):
        age_passphrase.unlock(cut, WORDS)


def test_a_key_file_with_another_tail_or_end_is_called_damaged() -> None:
    binary = base64.b64decode(b"".join(FILE.split(b"\n")[1:-2]))
    for changed in (binary[:-1], binary + b"x", binary[:-16], binary[: binary.index(b"\n--- ") + 20]):
        with pytest.raises(BackupError, match=r"backup\.no_key.*second copy"):
            age_passphrase.unlock(changed, WORDS)


def test_content_that_no_key_file_has_is_not_locked() -> None:
    with pytest.raises(ValueError, match="at most"):
        age_passphrase.lock(b"x" * (age_passphrase.MOST_BYTES + 1), WORDS)


FILE = age_passphrase.lock(SECRET, WORDS, work_factor=QUICK)
