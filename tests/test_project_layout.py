"""Holds the layout to its promises: guessable names, small modules and functions, tests that know no private names.

`support/banned_names.csv` and `support/newcomer_questions.csv` are the lists behind two of these tests."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("screening_forms", "sync", "server")

MOST_LINES, FEWEST_LINES = 400, 20
MOST_LINES_OF_A_FUNCTION = 40
MOST_PARAMETERS = 8
MOST_LETTERS_OF_A_TEST = 80
PREFIXES = ("forms", "sync", "server", "cli", "flow", "project")

MIGRATIONS = ("server/database/migrations.py", "server/database/form_migrations.py")
"""A migration states a table in one function: it is read as one statement and never changes."""

SHORT = {
    "sync/durations.py": "how long a second, an hour and a day are in milliseconds: every package imports it",
    "server/flows/trust/numbers.py": "the bound on numbers: documents, enrolment and orders import it",
}
"""Modules of fewer lines than others, and why they do not stand in a neighbour."""

MOST_HITS = 5
"""A list of at most so many names is read at one look: that is one guess."""

DATA = ("catalogue", "vectors", "web")
"""Folders that hold data or another language's project. Their files are examples, not answers."""

ALLOWED_PRIVATE = {"os._exit"}
"""Private only by its spelling: the documented call that ends a forked child without cleaning up."""


@cache
def tracked(folder: str) -> tuple[str, ...]:
    """The paths of a folder that belong to the project."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return tuple(sorted(name for name in set(names) if (ROOT / name).is_file()))


def modules(*folders: str) -> list[str]:
    """The Python modules of these folders."""
    return [path for folder in folders for path in tracked(folder) if path.endswith(".py")]


@cache
def text(path: str) -> str:
    """The text of a module."""
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree(path: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(text(path))


def functions(path: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods and inner functions too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def table(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of support/."""
    with (ROOT / "tests" / "support" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def banned(kind: str) -> dict[str, str]:
    """The names of a kind that may not come back, and why."""
    return {row["name"]: row["reason"] for row in table("banned_names.csv") if row["kind"] == kind}


def test_no_module_and_no_folder_has_a_name_that_says_nothing() -> None:
    words = banned("module")
    places = {part for path in modules(*PACKAGES, "tests") for part in PurePosixPath(path).with_suffix("").parts}
    assert {name: words[name] for name in places & words.keys()} == {}


def test_no_module_is_called_as_its_folder() -> None:
    paths = [PurePosixPath(path) for path in modules(*PACKAGES, "tests")]
    assert [str(path) for path in paths if path.stem == path.parent.name] == []


def test_homonyms_and_pictures_do_not_come_back_as_public_names() -> None:
    words = banned("name")
    found = [
        f"{path}:{node.lineno} {node.name}: {words[node.name]}"
        for path in modules(*PACKAGES)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in words
    ]
    assert found == []


def test_every_banned_name_has_its_reason_and_stands_once() -> None:
    rows = table("banned_names.csv")
    assert {row["kind"] for row in rows} == {"module", "name"}
    assert all(row["reason"] for row in rows)
    assert len({(row["kind"], row["name"]) for row in rows}) == len(rows)


def test_a_module_has_at_most_400_lines_and_at_least_20() -> None:
    lines = {path: text(path).count("\n") for path in modules(*PACKAGES) if not path.endswith("/__init__.py")}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}
    assert {path for path, count in lines.items() if count < FEWEST_LINES} == SHORT.keys()


def test_a_function_has_at_most_40_lines_unless_it_is_a_migration() -> None:
    found = [
        f"{path}:{node.lineno} {node.name}"
        for path in modules(*PACKAGES)
        if path not in MIGRATIONS
        for node in functions(path)
        if (node.end_lineno or node.lineno) - node.lineno >= MOST_LINES_OF_A_FUNCTION
    ]
    assert found == []


def test_a_function_takes_at_most_eight_parameters() -> None:
    found = []
    for path in modules(*PACKAGES):
        for node in functions(path):
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            names += [each.arg for each in (node.args.vararg, node.args.kwarg) if each]
            if len([name for name in names if name not in ("self", "cls")]) > MOST_PARAMETERS:
                found.append(f"{path}:{node.lineno} {node.name}")
    assert found == []


def hits(word: str) -> set[str]:
    """What a newcomer sees who searches for a word among the names of files and folders of the product."""
    paths = [PurePosixPath(path) for package in PACKAGES for path in tracked(package)]
    paths = [path for path in paths if not set(path.parts) & set(DATA)]
    places = {*paths, *(parent for path in paths for parent in path.parents)}
    return {str(place) for place in places if word in place.name}


@pytest.mark.parametrize("row", table("newcomer_questions.csv"), ids=lambda row: str(row["word"]))
def test_a_newcomer_finds_the_answer_in_two_guesses(row: dict[str, str]) -> None:
    """The word is in the answer's path. A search for it shows at most five names, which is the first guess.

    The answer is one of these names. Or it lies in a folder among them, which is the second guess.
    """
    path, word = row["path"], row["word"]
    assert (ROOT / path).is_file()
    assert word in path
    seen = hits(word)
    assert len(seen) <= MOST_HITS, seen
    assert {path, str(PurePosixPath(path).parent)} & seen, seen


def test_a_newcomer_asks_at_least_30_questions_each_once() -> None:
    rows = table("newcomer_questions.csv")
    assert len({row["question"] for row in rows}) == len(rows) >= 30


def test_test_files_are_called_after_their_subject() -> None:
    files = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    pattern = re.compile(rf"test_(?:{'|'.join(PREFIXES)})_[a-z0-9_]+\.py")
    assert [name for name in files if not pattern.fullmatch(name)] == []
    assert [path for path in modules("tests") if path.count("/") > 1 and "/test_" in path] == []


def test_the_name_of_a_test_has_at_most_80_letters() -> None:
    names = [node.name for path in modules("tests") for node in functions(path) if node.name.startswith("test_")]
    assert [name for name in names if len(name) > MOST_LETTERS_OF_A_TEST] == []


def test_tests_use_no_private_name_of_the_product() -> None:
    """Neither `from server.app import _private` nor `module._private` nor `thing._private`; a class's own is its own.

    A name that a test gives to `patch` or `setattr` as a text counts too.
    """
    private = re.compile(r"_[A-Za-z][A-Za-z0-9_]*")
    found = []
    for path in modules("tests"):
        for node in ast.walk(tree(path)):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
                names = [each.name for each in node.names if private.fullmatch(each.name)]
            elif isinstance(node, ast.Attribute) and private.fullmatch(node.attr):
                own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                names = [] if own else [ast.unparse(node)]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "patch", "patch.object")):
                names = [
                    each.value for each in node.args if isinstance(each, ast.Constant) and str(each.value)[:1] == "_"
                ]
            found += [f"{path}:{node.lineno} {name}" for name in names if name not in ALLOWED_PRIVATE]
    assert found == []


def test_the_serving_process_imports_no_reader_of_workbooks() -> None:
    """They would cost it 12 MiB; uploads are read in the sandbox, a process of its own."""
    program = "import sys, server.app; print([name for name in ('openpyxl', 'elementpath') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
