"""The same interviews in three engines: ours, JavaRosa (as in ODK Collect) and ODK Web Forms.

The tests and the bench compare every node. Each engine fills a form as a person does, question by question.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from random import Random

from screening_forms.engine.evaluator import Engine
from screening_forms.engine.xform_reader import Node
from screening_forms.expressions.parser import parse_expression, referenced_questions
from screening_forms.impact.synthetic_interviews import InterviewGenerator
from support.forms import walk

JAR = Path(str(files("pyxform"))) / "validators" / "odk_validate" / "bin" / "ODK_Validate.jar"
PROGRAM = Path(__file__).parent / "java" / "FillAsCollect.java"
WEB = Path(__file__).parents[2] / "server" / "web"

Interview = list[dict[str, str]]
Nodes = dict[str, tuple[bool, str]]

ODD_ANSWERS = {
    "integer": (
        *("0", "-0", "00012", "007", "-1", "-007", "12", "999999999", "1000000000"),
        *("2147483646", "2147483647", "-2147483647", "-2147483648"),
    ),
    "date": (
        *("2024-02-29", "2000-02-29", "1900-01-01", "1900-01-02", "9999-12-31", date.today().isoformat()),
        *("1583-01-01", "1899-12-31", "1938-01-01", "1990-01-01", "1994-01-01"),
    ),
    "text": ("007", "7", "1e3", "0x10", "Infinity", " 7 ", "-0", "1,5", "٣", "NaN", "<&>'\""),
}
"""The largest numbers of 32 bits, leap days, and the days on which clocks in Peru went forward at midnight."""


def interviews(engine: Engine, seed: str, count: int) -> list[Interview]:
    """Draw random interviews: the answers of two or three passes through the form each.

    The second pass answers every question again, or empties some and changes others; a third one does so too. The same
    seed gives the same interviews (but for the date of today). With enough interviews, every choice of every reachable
    question occurs.
    """
    draws, inventor = Random(seed), InterviewGenerator(engine)
    first = inventor.generate(count, draws.randrange(2**32))
    return [[answers, *_second_thoughts(inventor, number, draws)] for number, answers in enumerate(first)]


def _second_thoughts(inventor: InterviewGenerator, number: int, draws: Random) -> Interview:
    if number % 3 == 0:
        return [inventor.draw_answers(draws) | _odd_answers(inventor.engine, draws, 0.5)]
    return [_changes(inventor, draws) for _ in range(number % 3)]


def _changes(inventor: InterviewGenerator, draws: Random) -> dict[str, str]:
    """Draw the pass of a person who goes back: empties some answers, and changes others.

    Questions on which the choices of others depend are changed more often: their choices disappear and come back.
    """
    engine, other = inventor.engine, inventor.draw_answers(draws)
    empties, changes = draws.choice((0.02, 0.1, 0.3)), draws.choice((0.02, 0.1, 0.3))
    filters = [parse_expression(node.filter) for node in engine.questions if node.filter]
    tops = {name for token in filters for name in referenced_questions(token)}
    passed = {}
    for node in engine.questions:
        if draws.random() < empties:
            passed[node.name] = ""
        elif node.name in other and draws.random() < (0.6 if node.name in tops else changes):
            passed[node.name] = other[node.name]
    return passed | _odd_answers(engine, draws, empties)


def _odd_answers(engine: Engine, draws: Random, rate: float) -> dict[str, str]:
    asked = [node for node in engine.questions if node.type in ODD_ANSWERS and draws.random() < rate]
    return {node.name: draws.choice(ODD_ANSWERS[node.type]) for node in asked}


def compile_java(folder: Path) -> Path | None:
    """Compile the Java program against the jar in the pyxform wheel; return None without a JDK."""
    if not shutil.which("javac") or not shutil.which("java"):
        return None
    subprocess.run(["javac", "-d", folder, "-cp", JAR, PROGRAM], check=True)
    return folder


def in_java_rosa(classes: Path, xform: Path, drawn: Sequence[Interview]) -> list[Nodes]:
    """Fill the interviews in JavaRosa; return relevance and value of each node.

    `#instance`: the XML that is sent. `#missing`: blank required questions. `#broken`: answers against their
    constraint. `#stale`: nodes that JavaRosa computes too late, after a choice is no longer offered.
    """
    return _fill(_java_rosa(classes, xform), drawn)[0]


def timed_in_java_rosa(
    classes: Path, xform: Path, drawn: Sequence[Interview], *, rounds: int, timed: int
) -> tuple[list[Nodes], dict[str, float]]:
    """Fill them as above, then repeat some many times in the warm JVM; return the median milliseconds of one.

    `fill`: question by question, as Collect does. `recompute`: with all answers present at once.
    """
    nodes, said = _fill([*_java_rosa(classes, xform), str(rounds), str(timed)], drawn)
    lines = (line.split() for line in said.splitlines() if line.startswith(("fill ", "recompute ")))
    return nodes, {name: float(milliseconds) for name, milliseconds in lines}


def in_web_forms(node: Path, xform: Path, drawn: Sequence[Interview]) -> list[Nodes]:
    """Fill the interviews in ODK Web Forms' engine under Node; return relevance and value of each node."""
    return _fill([str(node), str(WEB / "agreement" / "fill_as_web_forms.js"), str(xform)], drawn)[0]


def _java_rosa(classes: Path, xform: Path) -> list[str]:
    return ["java", "-Duser.timezone=America/Lima", "-cp", f"{JAR}{os.pathsep}{classes}", "FillAsCollect", str(xform)]


def _fill(command: Sequence[str], drawn: Sequence[Interview]) -> tuple[list[Nodes], str]:
    lines = [
        "\t".join([str(number), *(f"{name}={answer}" for name, answer in answers.items())])
        for number, passes in enumerate(drawn)
        for answers in passes
    ]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    filled: list[Nodes] = [{} for _ in drawn]
    for line in done.stdout.splitlines():
        number, name, relevant, value = line.split("\t")
        filled[int(number)][name] = relevant == "1", value
    return filled, done.stderr


def differences(engine: Engine, passes: Interview, theirs: Nodes, *, choices_return: bool = False) -> list[str]:
    """List the differences from another engine in one interview: relevance, values, what is missing, the instance.

    `choices_return`: the other engine brings a choice back when it is offered again, as Web Forms does (support.forms).
    """
    nodes = {name: node for name, node in theirs.items() if not name.startswith("#")}
    ours = walk(engine, passes, choices_return=choices_return)
    relevant = {name for name, (shown, _) in nodes.items() if shown}
    found = [f"{name}: relevant here or there only" for name in sorted(relevant ^ ours.relevant)]
    for name in sorted(relevant & ours.relevant):
        if nodes[name][1] != ours.values.get(name, ""):
            found.append(f"{name}: {ours.values.get(name, '')!r} here, {nodes[name][1]!r} there")
    _, _, missing, broken, _ = engine.evaluate(ours.answers)
    for name, here in (("#missing", missing), ("#broken", broken)):
        if {*here} != listed(theirs, name):
            found.append(f"{name}: {here} here, {theirs[name][1]} there")
    if strange := listed(theirs, "#stale") - resting_on_filters(engine):
        found.append(f"computed too late there: {sorted(strange)}")
    if "#instance" in theirs and engine.drop_irrelevant(_sent_answers(engine, theirs)) != ours:
        found.append("the instance that is sent is read otherwise")
    return found


def listed(theirs: Nodes, name: str) -> set[str]:
    """Return the nodes that another engine lists as `#missing`, `#broken` or `#stale`."""
    return set(theirs[name][1].split()) if name in theirs else set()


def _sent_answers(engine: Engine, theirs: Nodes) -> dict[str, str]:
    return engine.read_instance(base64.b64decode(theirs["#instance"][1]))


@cache
def resting_on_filters(engine: Engine) -> frozenset[str]:
    """Return the nodes that depend on a question with a choice filter, directly or through others."""
    rests_on = {node.name: _named(engine, node) for node in engine.form.nodes}
    found = {node.name for node in engine.questions if node.filter}
    while more := {name for name, named in rests_on.items() if named & found} - found:
        found |= more
    return frozenset(found)


def _named(engine: Engine, node: Node) -> set[str]:
    rules = (node.relevant, node.calculate, *(engine.nodes[group].relevant for group in node.groups))
    return {name for rule in rules if rule for name in referenced_questions(parse_expression(rule))}
