"""The wheel holds all that Chaski needs at run time: `chaski demo` runs from it in an empty environment.

`make demo-wheel` checks the same with the locked requirements installed anew; here the running ones are lent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEFT_BEHIND = ("build", "dist", "chaski.egg-info")
WHERE = "import json, sys, screening_forms, server, sync\n"
WHERE += "print(json.dumps([sys.path, [package.__path__[0] for package in (screening_forms, server, sync)]]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout; nothing may be left there."""
    folder = tmp_path_factory.mktemp("wheel")
    before = {name for name in LEFT_BEHIND if (ROOT / name).exists()}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    assert {name for name in LEFT_BEHIND if (ROOT / name).exists()} <= before
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment that borrows the libraries of this one, not the checkout."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder, "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True)
    # Python reads no .pth file of a folder that a .pth file adds, so the editable install stays unknown.
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


def run(environment: Path, home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment in an empty folder, with no variables but those that every program has."""
    variables = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": str(home)}
    program = [str(environment / "bin" / command[0]), *command[1:]]
    return subprocess.run(program, cwd=home, env=variables, capture_output=True, text=True, check=False)


def shipped_by_rule() -> set[str]:
    """All that git has of the packages, and the texts of locales/ where the package reads them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = {path for path in listed.split("\0") if (ROOT / path).is_file()}
    packages = {path for path in paths if path.startswith(("screening_forms/", "sync/", "server/"))}
    texts = {path for path in paths if path.startswith("locales/") and path.endswith((".po", ".csv"))}
    # server/web is JavaScript for browsers and for tests; the server reads nothing of it.
    return {path for path in packages if not path.startswith("server/web/")} | {f"screening_forms/{at}" for at in texts}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == shipped_by_rule()


def test_the_demo_runs_from_the_wheel_in_an_empty_environment(environment: Path, tmp_path: Path) -> None:
    where = run(environment, tmp_path, "python", "-c", WHERE)
    search_path, packages = json.loads(where.stdout)
    assert all(Path(package).is_relative_to(environment) for package in packages), packages
    assert str(ROOT) not in search_path
    story = run(environment, tmp_path, "chaski", "demo")
    assert story.returncode == 0, story.stdout[-2000:] + story.stderr[-2000:]
    assert "promises checked, all held" in story.stdout
