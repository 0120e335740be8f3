"""The project's documents, read as a newcomer reads them: sections, headings, links, commands, and places in the code.

The tests that hold README.md, CONTRIBUTING.md and docs/ to the code share it.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
README, AUTHORS, OPERATIONS = ROOT / "README.md", ROOT / "docs" / "authors.md", ROOT / "docs" / "operations.md"
DOCUMENTS = (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
WALK = "Una versión nueva, de la hoja de cálculo a las tabletas"
"""The chapter of docs/authors.md whose commands tests/test_flow_author_walk.py runs in their order."""

_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
_CODE = re.compile(r"`([^`\n]+)`")


def section(file: Path, title: str) -> str:
    """The text under one heading of the second level, up to the next."""
    found = re.search(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", file.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, f"{file.name} has no section '{title}'"
    return found[1]


def blocks(text: str) -> list[str]:
    """The fenced blocks of a text."""
    return _BLOCK.findall(text)


def code_words(file: Path) -> list[str]:
    """Every text in backticks outside of fenced blocks."""
    return _CODE.findall(_BLOCK.sub("", file.read_text(encoding="utf-8")))


def links(file: Path) -> list[str]:
    """The targets of a document's links and pictures."""
    return [link or picture for link, picture in _LINK.findall(_BLOCK.sub("", file.read_text(encoding="utf-8")))]


@cache
def anchors(file: Path) -> frozenset[str]:
    """The anchors that GitHub gives a document's headings: small letters, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def commands(file: Path) -> Iterator[str]:
    """Every `chaski ...` that a document names, in fenced blocks and in backticks, without its comment."""
    text = file.read_text(encoding="utf-8")
    lines = [line for block in blocks(text) for line in block.splitlines()] + code_words(file)
    yield from (line.partition(" #")[0].strip() for line in lines if line.startswith("chaski "))


@cache
def defined(file: Path) -> frozenset[str]:
    """Functions, classes and methods of a module, methods as Class.method."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{part.name}" for part in methods}
    return frozenset(names)


@cache
def sources() -> str:
    """The text of all that the project holds but its documents."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name and (ROOT / name) not in DOCUMENTS]
    kinds = (".py", ".js", ".csv", ".cfg", ".toml", ".json", ".html", "Makefile", "SPEC.md", "form.md", ".txt", "run")
    return "".join(path.read_text(encoding="utf-8") for path in paths if path.name.endswith(kinds) and path.is_file())


@cache
def words_of_the_code() -> frozenset[str]:
    """Every word of `sources`, with and without hyphens, and of the paths of the project's files."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    words = re.findall(r"\w+|[\w-]+", sources() + listed) + re.findall(r"[\w-]+", sources())
    return frozenset(words) | {word.lstrip("-") for word in words}
