"""The same interviews in three engines: ours, JavaRosa (as in ODK Collect) and ODK Web Forms.

The tests and the bench compare every node. Each engine fills a form as a person does, question by question.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from random import Random

from screening_forms.engine.evaluator import Engine
from screening_forms.impact.synthetic_interviews import InterviewGenerator
from support.forms import walk

JAR = Path(str(files("pyxform"))) / "validators" / "odk_validate" / "bin" / "ODK_Validate.jar"
PROGRAM = Path(__file__).parent / "java" / "FillAsCollect.java"
WEB = Path(__file__).parents[2] / "server" / "web"

Interview = list[dict[str, str]]
Nodes = dict[str, tuple[bool, str]]


def interviews(engine: Engine, seed: str, count: int) -> list[Interview]:
    """Draw random interviews: the answers of one or two passes through the form each.

    The same seed gives the same interviews. With enough interviews, every choice of every reachable question occurs.
    """
    draws, inventor = Random(seed), InterviewGenerator(engine)
    first = inventor.generate(count, draws.randrange(2**32))
    again = ([inventor.draw_answers(draws)] if number % 3 == 0 else [] for number in range(count))
    return [[answers, *others] for answers, others in zip(first, again, strict=True)]


def compile_java(folder: Path) -> Path | None:
    """Compile the Java program against the jar in the pyxform wheel; return None without a JDK."""
    if not shutil.which("javac") or not shutil.which("java"):
        return None
    subprocess.run(["javac", "-d", folder, "-cp", JAR, PROGRAM], check=True)
    return folder


def in_java_rosa(classes: Path, xform: Path, drawn: Sequence[Interview]) -> list[Nodes]:
    """Fill the interviews in JavaRosa; return relevance and value of each node, and as `#instance` the sent XML."""
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
    return ["java", "-cp", f"{JAR}{os.pathsep}{classes}", "FillAsCollect", str(xform)]


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


def differences(engine: Engine, passes: Interview, theirs: Nodes) -> list[str]:
    """List the differences from another engine in one interview: relevance, values and the instance."""
    nodes = dict(theirs)
    sent = nodes.pop("#instance", None)
    ours = walk(engine, passes)
    relevant = {name for name, (shown, _) in nodes.items() if shown}
    found = [f"{name}: relevant here or there only" for name in sorted(relevant ^ ours.relevant)]
    for name in sorted(relevant & ours.relevant):
        if nodes[name][1] != ours.values.get(name, ""):
            found.append(f"{name}: {ours.values.get(name, '')!r} here, {nodes[name][1]!r} there")
    if sent and engine.run(engine.read_instance(base64.b64decode(sent[1]))) != ours:
        found.append("the instance that is sent is read otherwise")
    return found
