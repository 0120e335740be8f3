"""Computes the effect of a new indicator set or policy on the forms that use its family.

Authors and the server call it before a table is published. It compiles each form with the old and the new table and
compares both. It must publish nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from screening_forms.checks.context import RouteVocabulary
from screening_forms.checks.table_versions import TABLE_KINDS, parse_table
from screening_forms.compiler.compile_form import compile_form
from screening_forms.diff.changes import Change
from screening_forms.diff.forms import form_changes
from screening_forms.diff.tables import policy_changes, set_changes
from screening_forms.errors import FormError, FormProblem
from screening_forms.impact.comparison import Impact, Progress, cases_by_name, compare_outcomes
from screening_forms.rules.csv_table import table_family
from screening_forms.workbook.editor import set_cells
from screening_forms.workbook.package import Package
from screening_forms.workbook.reader import parse_workbook


@dataclass(frozen=True)
class FormEffect:
    """The effect of a new table on one form. `problems` is set if the form does not compile with the table."""

    form_id: str
    former: str
    problems: tuple[FormProblem, ...] = ()
    changes: tuple[Change, ...] = ()
    impact: Impact | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "form_id": self.form_id,
            "former": self.former,
            "problems": [asdict(each) for each in self.problems],
            "changes": [each.as_dict() for each in self.changes],
            "impact": self.impact.as_dict() if self.impact else None,
        }


def table_changes(kind: str, old_name: str, old_text: str, name: str, text: str) -> list[Change]:
    """Return the changes between two versions of a table; empty if this program cannot read one of them."""
    try:
        old, new = parse_table(kind, old_name, old_text), parse_table(kind, name, text)
    except FormError:
        return []
    return list(set_changes(old, new) if kind == "set" else policy_changes(old, new))


def forms_using(kind: str, name: str, packages: Mapping[str, Package]) -> list[str]:
    """Return the names of the forms that use a table of the same family."""
    setting = TABLE_KINDS[kind].setting
    return [
        form
        for form, found in packages.items()
        if table_family(found.workbook.settings.get(setting, "")) == table_family(name) != ""
    ]


def with_table(found: Package, kind: str, name: str, text: str, version: str = "") -> Package:
    """Return the source package with another table, named in its settings; `version` is the form's new version."""
    cells = {TABLE_KINDS[kind].setting: name, **({"version": version} if version else {})}
    content = set_cells(found.content, found.name, "settings", cells)
    included = TABLE_KINDS[kind].as_resources(name, text).with_fallback(found.included)
    return replace(found, workbook=parse_workbook(content, found.name), content=content, included=included)


def effect_on_forms(
    kind: str,
    name: str,
    text: str,
    packages: Mapping[str, Package],
    *,
    route_vocabulary: RouteVocabulary,
    count: int = 300,
    progress: Progress | None = None,
) -> list[FormEffect]:
    """Return the effect of a table on every form that uses its family.

    An author's own cases are compared and may fail: their changed outcomes are part of the effect.
    """
    named = forms_using(kind, name, packages)
    effects = []
    for number, form in enumerate(named):
        say = _part(progress, number, len(named))
        effects.append(_effect(kind, name, text, form, packages[form], route_vocabulary, count, say))
    return effects


def _effect(
    kind: str,
    name: str,
    text: str,
    form: str,
    found: Package,
    vocabulary: RouteVocabulary,
    count: int,
    progress: Progress,
) -> FormEffect:
    used = found.workbook.settings.get(TABLE_KINDS[kind].setting, "")
    try:
        renewed = with_table(found, kind, name, text)
        old, new = (
            compile_form(
                each.workbook,
                channel="training",
                route_vocabulary=vocabulary,
                resources=each.resources,
                run_cases=False,
            )
            for each in (found, renewed)
        )
    except FormError as error:
        return FormEffect(form, used, tuple(error.problems))
    told = compare_outcomes(old, new, own=cases_by_name(renewed.workbook), count=count, progress=progress)
    return FormEffect(form, used, (), tuple(form_changes(old, new)), told)


def _part(progress: Progress | None, number: int, of: int) -> Progress:
    def say(done: int, total: int) -> None:
        if progress:
            progress(number * total + done, of * total)

    return say
