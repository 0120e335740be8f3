"""The same interviews in three engines: ours, JavaRosa (inside ODK Collect) and ODK Web Forms' own. Tests and the bench
compare every node; each engine fills a form as a person does, question by question."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from random import Random

from form_material import walk, wishes

from screening_forms.engine import Engine

JAR = Path(str(files("pyxform"))) / "validators" / "odk_validate" / "bin" / "ODK_Validate.jar"
PROGRAM = Path(__file__).parent / "java" / "FillAsCollect.java"
WEB = Path(__file__).parent.parent / "server" / "web"

Interview = list[dict[str, str]]
Nodes = dict[str, tuple[bool, str]]


def interviews(engine: Engine, seed: str, count: int) -> list[Interview]:
    """Draw interviews: the answers of one or two passes through the form each; the same seed, the same interviews."""
    draws = Random(seed)
    return [[wishes(engine, draws) for _ in range(1 + (number % 3 == 0))] for number in range(count)]


def compile_java(folder: Path) -> Path | None:
    """Compile the Java program against the jar in the pyxform wheel; None where there is no JDK."""
    if not shutil.which("javac") or not shutil.which("java"):
        return None
    subprocess.run(["javac", "-d", folder, "-cp", JAR, PROGRAM], check=True)
    return folder


def in_java_rosa(classes: Path, xform: Path, drawn: Sequence[Interview]) -> list[Nodes]:
    """Fill the interviews in JavaRosa; each node: whether it is relevant, and its value; `#instance`: what is sent."""
    return _fill(["java", "-cp", f"{JAR}{os.pathsep}{classes}", "FillAsCollect", str(xform)], drawn)


def in_web_forms(node: Path, xform: Path, drawn: Sequence[Interview]) -> list[Nodes]:
    """Fill the interviews in ODK Web Forms' engine, under Node; each node: whether it is relevant, and its value."""
    return _fill([str(node), str(WEB / "agreement" / "fill_as_web_forms.js"), str(xform)], drawn)


def _fill(command: Sequence[str], drawn: Sequence[Interview]) -> list[Nodes]:
    lines = [
        "\t".join([str(number), *(f"{name}={answer}" for name, answer in answers.items())])
        for number, passes in enumerate(drawn)
        for answers in passes
    ]
    printed = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    filled: list[Nodes] = [{} for _ in drawn]
    for line in printed.splitlines():
        number, name, relevant, value = line.split("\t")
        filled[int(number)][name] = relevant == "1", value
    return filled


def differences(engine: Engine, passes: Interview, theirs: Nodes) -> list[str]:
    """Name what another engine sees otherwise in one interview: relevance and value of every node, and its instance."""
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
