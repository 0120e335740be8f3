"""The README tells the truth: every function, setting, command and make target that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from server import config
from server.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLACE = re.compile(r"`([\w/]+\.py):([\w.]+)`")


def section(title: str) -> str:
    """The text under one heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section '{title}'"
    return found[1]


def defined(file: Path) -> set[str]:
    """Functions, classes and methods of a module, methods as Class.method."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("title", ["Follow one screening", "Follow one form"])
def test_a_newcomer_can_follow_the_two_lines_through_functions_that_exist(title: str) -> None:
    places = PLACE.findall(section(title))
    assert len(places) >= 8
    missing = [f"{file}:{name}" for file, name in places if name not in defined(ROOT / file)]
    assert not missing


def test_every_setting_of_the_server_is_described_and_none_is_invented() -> None:
    described = set(re.findall(r"^\| `(CHASKI_\w+)`", section("Settings of the server"), re.MULTILINE))
    assert described == set(config.known_settings())


def test_every_command_in_the_readme_exists() -> None:
    for line in re.findall(r"^chaski (.+)$", README, re.MULTILINE):
        command: click.Command = main
        for word in line.split():
            if isinstance(command, click.Group):
                named = command.get_command(click.Context(command), word)
                assert named, line
                command = named


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", README)) - {"such"} <= targets


def test_every_link_into_the_project_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert all((ROOT / link).exists() for link in links)


def test_the_readme_is_finished() -> None:
    assert not re.search(r"@[A-Z]+@|TODO", README)


def test_the_map_of_the_forms_names_every_module() -> None:
    folder = ROOT / "screening_forms"
    words = set(re.findall(r"\w+", (folder / "__init__.py").read_text(encoding="utf-8")))
    rooms = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert not ({path.stem for path in folder.glob("*.py")} - {"__init__"} | rooms) - words
