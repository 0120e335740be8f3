"""The engine gives every node the value that the engines of ODK Collect and ODK Web Forms give it.

`make agreement` compares more interviews of each form: 500 with Collect's engine, 100 with that of Web Forms.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from screening_forms.engine.evaluator import load_engine
from support.engine_agreement import JAR, compile_java, differences, in_java_rosa, in_web_forms, interviews
from support.forms import CATALOGUE_FORMS, compiled, walk

FORMS = ("small", "edges", *CATALOGUE_FORMS)


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the compiled Java program."""
    classes = compile_java(tmp_path_factory.mktemp("java"))
    if classes is None:
        if os.environ.get("CHASKI_REQUIRE_JAVA") == "1":
            pytest.fail("CHASKI_REQUIRE_JAVA=1 and there is no javac: install a JDK (default-jdk-headless)")
        pytest.skip("no JDK (javac): the agreement with ODK Collect's engine was not tested")
    return classes


@pytest.fixture
def xform(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the path of the test's form as a file."""
    file = tmp_path / "form.xml"
    file.write_text(compiled(request.node.callspec.params["form"]).xform, encoding="utf-8")
    return file


@pytest.mark.parametrize(("form", "count"), [("small", 100), ("edges", 100), *((form, 30) for form in CATALOGUE_FORMS)])
def test_every_node_has_odk_collects_value(form: str, count: int, java: Path, xform: Path) -> None:
    ours = load_engine(compiled(form).xform)
    drawn = interviews(ours, form, count)
    for passes, theirs in zip(drawn, in_java_rosa(java, xform, drawn), strict=True):
        assert not differences(ours, passes, theirs)
    outcomes = {walk(ours, passes).values["outcome"] for passes in drawn}
    assert outcomes >= {"positive", "review"}, "the interviews are too similar to prove anything"


@pytest.mark.parametrize(("form", "count"), [("small", 10), ("edges", 10), *((form, 2) for form in CATALOGUE_FORMS)])
def test_every_node_has_odk_web_forms_value(form: str, count: int, node: Path, xform: Path) -> None:
    ours = load_engine(compiled(form).xform)
    drawn = interviews(ours, form, count)
    for passes, theirs in zip(drawn, in_web_forms(node, xform, drawn), strict=True):
        assert not differences(ours, passes, theirs)


@pytest.mark.parametrize("form", FORMS)
def test_odk_validate_accepts_the_form(form: str, java: Path, xform: Path) -> None:
    checked = subprocess.run(["java", "-jar", JAR, xform], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
