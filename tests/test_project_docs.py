"""The documents tell the truth: every link, command, option, path, function, setting and code that they name exists."""

from __future__ import annotations

import re
import runpy
import shlex
from itertools import pairwise
from pathlib import Path

import click
import pytest

import screening_forms.problems
import server.problems
from server import config, jobs
from server.cli.main import main
from support.documents import (
    DOCUMENTS,
    OPERATIONS,
    README,
    ROOT,
    anchors,
    blocks,
    code_words,
    commands,
    defined,
    links,
    section,
    sources,
    words_of_the_code,
)

PLACE = re.compile(r"([\w/]+\.py):([\w.]+)")
PATH = re.compile(r"(?:screening_forms|sync|server|tests|docs|locales)/[\w./-]*|[\w-]+\.(?:md|cfg|toml|txt)|Makefile")
CODE = re.compile(r"[a-z]+\.[a-z_]+")
FORMS = ROOT / "screening_forms"
SECURITY = ROOT / "docs" / "security.md"
NOT_OURS = {"constraints.txt", "nna.po", "offline.age", "ARCHIVO", "DIR", "mutagen", "tinytag"}
"""Files that a command makes, parts of paths, and packages that were tried and are not used."""
EXAMPLES = {"pe_adult_2027_1"}
"""Forms and tables that the author of an example makes."""
every_document = pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)


def test_the_readme_is_short_and_says_at_once_whether_it_is_for_production() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert "production" in lines[2]
    assert {f"docs/{file.name}" for file in DOCUMENTS if file.parent.name == "docs"} <= set(links(README))


@every_document
def test_no_document_has_a_gap_that_its_author_left(file: Path) -> None:
    assert not re.search(r"@[A-Z]+@|\bTODO\b|\bFIXME\b", file.read_text(encoding="utf-8"))


@every_document
def test_every_link_leads_to_a_file_or_a_heading_that_is_there(file: Path) -> None:
    for link in links(file):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (file.parent / name).resolve() if name else file
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("title", ["Follow one screening", "Follow one form"])
def test_a_newcomer_can_follow_the_two_lines_through_the_code(title: str) -> None:
    places = PLACE.findall(section(README, title))
    assert len(places) >= 15
    assert len({file.partition("/")[0] for file, _ in places}) == 3


@every_document
def test_every_function_that_a_document_names_is_defined(file: Path) -> None:
    places = [found.groups() for word in code_words(file) if (found := PLACE.fullmatch(word))]
    missing = [place for place in places if not (ROOT / place[0]).is_file() or place[1] not in defined(ROOT / place[0])]
    assert not missing


@every_document
def test_every_test_that_a_document_names_is_there(file: Path) -> None:
    tests = {name for path in (ROOT / "tests").glob("test_*.py") for name in defined(path)}
    assert {word for word in code_words(file) if re.fullmatch(r"test_\w+[a-z0-9]", word)} <= tests


@every_document
def test_every_path_that_a_document_names_exists(file: Path) -> None:
    paths = [found for word in code_words(file) if (found := word.partition(":")[0]) and PATH.fullmatch(found)]
    assert not [path for path in paths if not (ROOT / path).exists() and not _generated(path)]


def test_every_promise_about_a_threat_names_its_test() -> None:
    rows = [line for line in section(SECURITY, "What is protected, from whom").splitlines() if line.startswith("| ")]
    assert len(rows) > 30
    untested = [row for row in rows[1:] if not re.findall(r"`tests/test_\w+\.py`", row.split("|")[-2])]
    assert not untested
    assert {row.count("|") for row in rows} == {4}


@every_document
def test_every_path_and_form_in_a_block_of_commands_exists(file: Path) -> None:
    words = [word for block in blocks(file.read_text(encoding="utf-8")) for word in re.findall(r"[\w./-]+", block)]
    assert not [word for word in words if PATH.fullmatch(word) and not (ROOT / word).exists() and word not in NOT_OURS]
    tables = {path.stem for kind in ("indicator_sets", "policies") for path in (FORMS / kind).glob("*.csv")}
    known = tables | {path.name for path in (FORMS / "catalogue").iterdir()}
    assert {name for word in words for name in re.findall(r"\bpe_\w+", word)} <= known | EXAMPLES


@every_document
def test_every_word_in_code_letters_stands_in_the_code(file: Path) -> None:
    named = {word for text in code_words(file) for word in re.findall(r"[A-Za-z_][\w-]*\w", text)}
    prefixes = {word for word in named if word.endswith("_")}
    assert named - prefixes - words_of_the_code() <= NOT_OURS


@every_document
def test_every_address_that_a_document_names_is_served(file: Path) -> None:
    named = [found[1] for text in code_words(file) if (found := re.fullmatch(r"(?:[A-Z]+ )?(/[a-z][\w/.-]*)", text))]
    assert not [address for address in named if f'"{address}"' not in sources() and f"{address}/" not in sources()]


def _generated(path: str) -> bool:
    """Whether a name is a part of a path that stands beside it in words, or of a file that a command makes."""
    return path in NOT_OURS


def test_every_room_that_the_readme_names_is_in_its_folder() -> None:
    rows = re.findall(r"^\| `([\w/]+/)` \|.*?\|(.*)\|$", section(README, "Where things are"), re.MULTILINE)
    assert len(rows) == 7
    for folder, rooms in rows:
        named = {Path(folder) / room for room in re.findall(r"`(\w+)/`", rooms)}
        assert not [room for room in named if not (ROOT / room).is_dir()]
        python = {path.parent.relative_to(ROOT) for path in (ROOT / folder).glob("*/__init__.py")}
        assert python <= named, f"{folder}: a room is not named"


@every_document
def test_every_command_and_option_that_a_document_names_exists(file: Path) -> None:
    for line in commands(file):
        command: click.Command = main
        words = shlex.split(re.sub(r"\$\w+", "", line))[1:]
        while words and isinstance(command, click.Group) and not words[0].startswith("-"):
            named = command.get_command(click.Context(command), words[0])
            if named is None and words[0].isupper():
                break
            assert named, line
            command, words = named, words[1:]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}, line
        choices = {option.opts[-1]: option.type.choices for option in options_of_choice(command)}
        given = {word: value for word, value in pairwise(words) if word in choices}
        assert all(value in choices[word] or value.isupper() for word, value in given.items()), line
        arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
        assert arguments or not words or words[0].startswith("-"), f"{line}: the command takes no argument"


def options_of_choice(command: click.Command) -> list[click.Parameter]:
    """Return the options of a command that take one of a list of values."""
    return [parameter for parameter in command.params if isinstance(parameter.type, click.Choice)]


def test_the_commands_of_the_documents_are_not_a_few() -> None:
    assert len(list(commands(README))) >= 10
    assert sum(len(list(commands(file))) for file in DOCUMENTS) >= 50


@every_document
def test_every_make_target_that_a_document_names_exists(file: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = [*code_words(file), *(line for block in blocks(file.read_text("utf-8")) for line in block.splitlines())]
    assert {found[1] for line in lines if (found := re.match(r"make ([a-z-]+)", line))} <= targets


def test_every_setting_is_described_with_its_default_and_none_is_invented() -> None:
    rows = re.findall(r"^\| `(CHASKI_\w+)` \| (.+?) \| (.+) \|$", section(OPERATIONS, "Settings"), re.MULTILINE)
    described = {name: about for name, about, _ in rows}
    defaults = {name: default.strip("`") for name, _, default in rows}
    known = config.known_settings()
    assert described == {name: setting.about for name, (_, setting, _) in known.items()}
    plain = {name: str(default) for name, (_, _, default) in known.items() if type(default) is int or default}
    plain = {name: default for name, default in plain.items() if default not in ("True", "()") and "<" not in default}
    assert len(plain) > 10
    assert {name: defaults[name] for name in plain} == plain


@every_document
def test_every_setting_that_a_document_names_is_one(file: Path) -> None:
    named = set(re.findall(r"\bCHASKI_[A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8"))) - {"CHASKI_X"}
    assert named <= {*config.known_settings(), *config.CLIENT_VARIABLES}


@every_document
def test_every_port_that_a_document_names_is_a_default(file: Path) -> None:
    defaults = {str(config.Config.tablets_port), str(config.Config.people_port)}
    assert set(re.findall(r"(?<![\w,.])80\d\d\b", file.read_text(encoding="utf-8"))) <= defaults


def test_every_job_is_described_and_none_is_invented() -> None:
    described = re.findall(r"^\| `(\w+)` \|", section(OPERATIONS, "Jobs"), re.MULTILINE)
    assert sorted(described) == sorted(job.name for job in jobs.JOBS)


def test_every_log_event_is_described_and_none_is_invented() -> None:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "server").rglob("*.py"))
    written = {event for text in sources for event in re.findall(r'(?:_log\.\w+|_attempt)\([^"\n]*\s*"([^"]+)"', text)}
    rows = re.findall(r"^  \| (`.+?`) \|", section(OPERATIONS, "Looking after a server"), re.MULTILINE)
    described = {event for row in rows for event in re.findall(r"`([^`]+)`", row)} - {"event"}
    assert described == written


@every_document
def test_every_problem_code_that_a_document_names_is_in_a_catalogue(file: Path) -> None:
    known = {*server.problems.PROBLEM_TYPES, *screening_forms.problems.ADVICE}
    families = {code.partition(".")[0] for code in known}
    named = {word for word in code_words(file) if CODE.fullmatch(word) and word.partition(".")[0] in families}
    assert {code for code in named if not (ROOT / code).exists()} <= known


@pytest.mark.parametrize("picture", ["architecture", "interview"])
def test_a_picture_shows_the_code_as_it_is(picture: str) -> None:
    script = runpy.run_path(str(ROOT / "docs" / f"draw_{picture}.py"))
    drawn = script["draw"](script["read_imports"]()) if picture == "architecture" else script["draw"]()
    assert script["FILE"].read_text(encoding="utf-8") == drawn, "run `make pictures` and look at the difference"
    assert "http" not in drawn.replace("http://www.w3.org/", ""), "a picture loads nothing"


def test_the_picture_of_the_architecture_changes_with_an_import() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))
    imports = script["read_imports"]()
    fewer = frozenset(imports.edges - {("server.cli", "server.app")})
    assert script["draw"](script["Imports"](imports.rooms, imports.beside, fewer)) != script["draw"](imports)


def test_the_changelog_has_an_entry_for_this_version_in_the_form_it_names() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.search(r"^version = (.+)$", (ROOT / "setup.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert re.search(rf"^## \[{re.escape(version[1])}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= {"Added", "Changed", "Fixed", "Security", "Removed"}
    lines = text.split("## [Unreleased]")[1].splitlines()
    assert not [line for line in lines if line and not re.match(r"- |#|The ", line)], "one line for each change"


def test_the_map_of_the_forms_names_every_module() -> None:
    folder = ROOT / "screening_forms"
    words = set(re.findall(r"\w+", (folder / "__init__.py").read_text(encoding="utf-8")))
    rooms = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert not ({path.stem for path in folder.glob("*.py")} - {"__init__"} | rooms) - words
