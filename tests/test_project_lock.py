"""The lock files name every package with the hashes of its files, so that no other file is ever installed."""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.requirements import needed

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "constraints.txt").read_text(encoding="utf-8")
ENTRY = re.compile(r"^(\S+==[^\\\n]+?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)
PARTS = dict(re.findall(r"^# Part (\w+)\n(.*?)(?=^# Part |\Z)", TEXT, re.MULTILINE | re.DOTALL))
TOOLS = ("pip", "setuptools", "wheel")


def locked(*parts: str) -> dict[str, Requirement]:
    """The locked packages of these parts by name."""
    entries = [Requirement(match[1]) for part in parts for match in ENTRY.finditer(PARTS[part])]
    return {canonicalize_name(entry.name): entry for entry in entries}


def applies(entry: Requirement) -> bool:
    """Whether this machine and Python need the entry."""
    return entry.marker is None or entry.marker.evaluate()


def test_every_line_of_the_lock_is_a_comment_or_one_version_with_its_hashes() -> None:
    rest = ENTRY.sub("", TEXT)
    assert [line for line in rest.splitlines() if line and not line.startswith("# ")] == []
    assert set(PARTS) == {"base", "dev", "fuzz", "lock"}
    assert all(re.fullmatch(r"==[0-9][^*]*", str(entry.specifier)) for entry in locked(*PARTS).values())


def test_the_part_base_is_what_chaski_runs_with_and_dev_adds_what_developing_needs() -> None:
    """Where this fails after a change of requirements in setup.cfg, `make lock` writes the lock anew."""
    base = {name for name, entry in locked("base").items() if applies(entry)}
    dev = {name for name, entry in locked("dev").items() if applies(entry)}
    assert base == needed("chaski", *TOOLS)
    assert dev == needed("chaski[dev]") - base


def test_the_environment_holds_the_locked_versions() -> None:
    entries = [entry for entry in locked("base", "dev").values() if applies(entry)]
    other = [str(entry) for entry in entries if not entry.specifier.contains(distribution(entry.name).version)]
    assert other == []


def test_fuzz_and_lock_name_their_tools_and_are_not_installed_with_the_rest() -> None:
    assert set(locked("fuzz")) == {"atheris"}
    assert set(locked("lock")) == {"uv"}


def test_the_javascript_lock_holds_a_hash_of_every_library() -> None:
    packages = json.loads((ROOT / "server/web/package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert len(packages) > 100
    without = [name for name, held in packages.items() if name and not held.get("integrity", "").startswith("sha512-")]
    assert without == []
