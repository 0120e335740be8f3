"""Every screening scores here as it does in ODK Collect: JavaRosa fills the same forms, node by node."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from random import Random

import pytest
from form_material import CATALOGUE_FORMS, compiled, walk, wishes

from screening_forms import engine

JAR = Path(str(files("pyxform"))) / "validators" / "odk_validate" / "bin" / "ODK_Validate.jar"
PROGRAM = Path(__file__).parent / "java" / "FillAsCollect.java"
INTERVIEWS = 100
FORMS = ("small", "edges", *CATALOGUE_FORMS)


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the Java program against the jar in the pyxform wheel; return the folder with its classes."""
    if not shutil.which("javac"):
        if os.environ.get("CHASKI_REQUIRE_JAVA") == "1":
            pytest.fail("CHASKI_REQUIRE_JAVA=1 and there is no javac: install a JDK (default-jdk-headless)")
        pytest.skip("no JDK (javac): the agreement with ODK Collect's engine was not tested")
    classes = tmp_path_factory.mktemp("java")
    subprocess.run(["javac", "-d", classes, "-cp", JAR, PROGRAM], check=True)
    return classes


def collect(java: Path, xform: Path, interviews: list[list[dict[str, str]]]) -> list[dict[str, tuple[bool, str]]]:
    """Fill the interviews in JavaRosa; return each one's nodes, with whether they are relevant and their values."""
    lines = [
        "\t".join([str(number), *(f"{name}={answer}" for name, answer in answers.items())])
        for number, passes in enumerate(interviews)
        for answers in passes
    ]
    command = ["java", "-cp", f"{JAR}{os.pathsep}{java}", "FillAsCollect", xform]
    printed = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    filled: list[dict[str, tuple[bool, str]]] = [{} for _ in interviews]
    for line in printed.splitlines():
        number, node, relevant, value = line.split("\t")
        filled[int(number)][node] = relevant == "1", value
    return filled


@pytest.mark.parametrize("form", FORMS)
def test_every_node_of_a_hundred_interviews_is_as_in_odk_collect(form: str, java: Path, tmp_path: Path) -> None:
    made = compiled(form)
    ours = engine.load(made.xform)
    xform = tmp_path / "form.xml"
    xform.write_text(made.xform, encoding="utf-8")
    draws = Random(form)
    interviews = [[wishes(ours, draws) for _ in range(1 + (number % 3 == 0))] for number in range(INTERVIEWS)]
    seen = set()
    for passes, theirs in zip(interviews, collect(java, xform, interviews), strict=True):
        sent = base64.b64decode(theirs.pop("#instance")[1])
        filled = walk(ours, passes)
        relevant = {name for name, (shown, _) in theirs.items() if shown}
        assert relevant == filled.relevant
        assert {name: theirs[name][1] for name in relevant if theirs[name][1]} == {
            name: value for name, value in filled.values.items() if value
        }
        assert ours.run(ours.read_instance(sent)) == filled
        seen.add(filled.values["outcome"])
    assert seen >= {"positive", "review"}, "the interviews are too much alike to prove anything"


@pytest.mark.parametrize("form", FORMS)
def test_odk_validate_accepts_the_form(form: str, java: Path, tmp_path: Path) -> None:
    xform = tmp_path / "form.xml"
    xform.write_text(compiled(form).xform, encoding="utf-8")
    checked = subprocess.run(["java", "-jar", JAR, xform], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
