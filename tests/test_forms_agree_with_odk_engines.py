"""The engine gives every node the value that the engines of ODK Collect and ODK Web Forms give it.

`make agreement` compares more interviews of each form: 500 with Collect's engine, 100 with that of Web Forms.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from screening_forms.engine.evaluator import load_engine
from support.engine_agreement import (
    JAR,
    Interview,
    compile_java,
    differences,
    in_java_rosa,
    in_web_forms,
    interviews,
    listed,
    resting_on_filters,
)
from support.forms import CATALOGUE_FORMS, SMALL_FORMS, compiled, walk

FORMS = (*SMALL_FORMS, *CATALOGUE_FORMS)

ADULT = {"peligro": "no", "permiso": "yes", "edad": "18_29"}
IN_LA_PAMPA = ADULT | {"oferta": "no", "region": "17", "lugar": "la_pampa"}


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


@pytest.mark.parametrize(
    ("form", "count"), [*((form, 60) for form in SMALL_FORMS), *((form, 30) for form in CATALOGUE_FORMS)]
)
def test_every_node_has_odk_collects_value(form: str, count: int, java: Path, xform: Path) -> None:
    ours = load_engine(compiled(form).xform)
    drawn = interviews(ours, form, count)
    filled = in_java_rosa(java, xform, drawn)
    for passes, theirs in zip(drawn, filled, strict=True):
        assert not differences(ours, passes, theirs)
    outcomes = {walk(ours, passes).values["outcome"] for passes in drawn}
    assert outcomes >= {"positive", "review"}, "the interviews are too similar to prove anything"
    assert any(listed(theirs, "#missing") for theirs in filled), "no required answer was taken back"


@pytest.mark.parametrize(
    ("form", "count"), [*((form, 12) for form in SMALL_FORMS), *((form, 3) for form in CATALOGUE_FORMS)]
)
def test_every_node_has_odk_web_forms_value(form: str, count: int, node: Path, xform: Path) -> None:
    ours = load_engine(compiled(form).xform)
    drawn = interviews(ours, form, count)
    for passes, theirs in zip(drawn, in_web_forms(node, xform, drawn), strict=True):
        assert not differences(ours, passes, theirs, choices_return=True)


@pytest.mark.parametrize(
    ("form", "passes", "listing", "names"),
    [
        ("small", [IN_LA_PAMPA, {"edad": ""}], "#missing", {"edad"}),
        ("small", [IN_LA_PAMPA, {"peligro": "", "lugar": ""}], "#missing", {"peligro"}),
        ("cascade", [ADULT | {"region": "17", "distrito": "170104"}], "#missing", {"barrio"}),
        ("odd", [{"desde": "2024-02-29", "hasta": "1900-01-01"}, {"desde": "1900-01-01"}], "#broken", {"hasta"}),
        ("odd", [{"saldo": "-1", "meses": "-1"}, {"saldo": "0"}], "#broken", {"meses"}),
    ],
)
def test_three_engines_name_the_same_missing_and_broken_answers(
    form: str, passes: Interview, listing: str, names: set[str], java: Path, node: Path, xform: Path
) -> None:
    _, _, missing, broken, _ = (ours := load_engine(compiled(form).xform)).evaluate(walk(ours, passes).answers)
    assert names <= set(missing if listing == "#missing" else broken)
    assert names <= listed(in_java_rosa(java, xform, [passes])[0], listing)
    assert names <= listed(in_web_forms(node, xform, [passes])[0], listing)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"trabajo": "bar"}, "papers"),
        ({"trabajo": "farm", "region": "21"}, "papers"),
        ({"region": "21", "trabajo": "mine"}, "gas debt papers"),
    ],
)
def test_a_choice_that_is_no_longer_offered_takes_no_other_with_it(
    change: dict[str, str], kept: str, java: Path, node: Path, tmp_path: Path
) -> None:
    file = tmp_path / "form.xml"
    file.write_text(compiled("cascade").xform, encoding="utf-8")
    ours = load_engine(compiled("cascade").xform)
    before = ADULT | {"region": "17", "trabajo": "mine", "senas": "gas debt papers"}
    passes = [before, change]
    assert in_java_rosa(java, file, [passes])[0]["senas"] == (True, kept)
    assert in_web_forms(node, file, [passes])[0]["senas"] == (True, kept)
    assert ours.drop_invalid({**walk(ours, [before]).answers, **change}).answers["senas"] == kept


@pytest.mark.parametrize("form", ["small"])
def test_a_lost_choice_returns_in_web_forms_only(form: str, java: Path, node: Path, xform: Path) -> None:
    """The known difference of docs/decisions.md: Chaski follows Collect. It fails when one of them changes."""
    passes = [IN_LA_PAMPA, {"region": "21"}, {"region": "17"}]
    assert in_java_rosa(java, xform, [passes])[0]["lugar"] == (True, "")
    assert in_web_forms(node, xform, [passes])[0]["lugar"] == (True, "la_pampa")
    ours = load_engine(compiled(form).xform)
    assert "lugar" not in walk(ours, passes).answers
    assert walk(ours, passes, choices_return=True).answers["lugar"] == "la_pampa"


@pytest.mark.parametrize("form", ["small"])
def test_collect_alone_computes_late_after_a_lost_choice(form: str, java: Path, node: Path, xform: Path) -> None:
    """The known difference of docs/decisions.md, until the form is opened again. It fails when JavaRosa changes."""
    passes = [IN_LA_PAMPA, {"region": "21"}]
    late = in_java_rosa(java, xform, [passes])[0]
    assert listed(late, "#stale") == {"i_X_02", "u_lugar", "unknown"}
    ours = load_engine(compiled(form).xform)
    assert not differences(ours, passes, late), "opened again, the form is right"
    assert not differences(ours, passes, in_web_forms(node, xform, [passes])[0], choices_return=True)


@pytest.mark.parametrize("form", FORMS)
def test_odk_validate_accepts_the_form(form: str, java: Path, xform: Path) -> None:
    checked = subprocess.run(["java", "-jar", JAR, xform], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("form", CATALOGUE_FORMS)
def test_no_result_of_a_questionnaire_can_be_late_in_collect(form: str) -> None:
    """Nothing depends on a question with a choice filter, so the difference above concerns other forms only."""
    ours = load_engine(compiled(form).xform)
    assert resting_on_filters(ours) == {node.name for node in ours.questions if node.filter} != frozenset()
