"""What a server does with a draft's source package: compile it whole, with the tables that authors published there.
Only called apart (apart.py); what it hands back is kept, fetched by author and reviewer, and compiled again by each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from screening_forms.checks import odk_validate
from screening_forms.checks.run import blocking_problems
from screening_forms.checks.table_versions import unpublished_tables
from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import check_and_compile
from screening_forms.diff.forms import form_changes
from screening_forms.impact.comparison import cases_by_name, compare_outcomes
from screening_forms.sandbox.client import Progress
from screening_forms.workbook.package import Package, pack_package, parse_package
from screening_forms.workbook.resources import BUILT_IN, Resources


def draft(content: bytes, options: Mapping[str, Any], _: Progress) -> dict[str, Any]:
    """Name every problem and, if none blocks, give the compiled bytes and the source with all that it was compiled of.

    `options`: `channel`, `route_vocabulary`, the server's own `indicator_sets` and `policies` (name -> CSV), `year`.
    A table that the package brings along is held to what a published one is held to.
    """
    given = parse_package(content)
    kept = Resources(options["indicator_sets"], options["policies"])
    unpublished_tables(given.included, kept.with_fallback(BUILT_IN), year=options["year"])
    return compiled(replace(given, included=given.included.with_fallback(kept)), options)


def again(content: bytes, options: Mapping[str, Any], _: Progress) -> dict[str, Any]:
    """Answer as `draft` does, on a signer's machine, for a source that a server keeps.

    Which tables were published there is not known here; those that came with this version stay what they are.
    """
    found = parse_package(content)
    ours = Resources(
        {name: text for name, text in found.included.indicator_sets.items() if name in BUILT_IN.indicator_sets},
        {name: text for name, text in found.included.policies.items() if name in BUILT_IN.policies},
    )
    unpublished_tables(ours, BUILT_IN, year=0)
    return compiled(found, options)


def compiled(found: Package, options: Mapping[str, Any]) -> dict[str, Any]:
    """Answer as `draft` does, for a package that is read already."""
    channel, vocabulary = options["channel"], options["route_vocabulary"]
    problems, form = check_and_compile(
        found.workbook, channel=channel, route_vocabulary=vocabulary, resources=found.resources
    )
    stops = blocking_problems(problems, channel)
    answer = {
        "problems": [{**asdict(each), "blocking": each in stops} for each in problems],
    }
    if form is None:
        return answer
    return {**answer, "compiled": form.to_bytes(), "source": pack_package(found)}


def carried(content: bytes, options: Mapping[str, Any], _: Progress) -> list[dict[str, str]]:
    """The tables in a source package that nobody published yet; `options` as for `draft`."""
    known = Resources(options["indicator_sets"], options["policies"]).with_fallback(BUILT_IN)
    found = unpublished_tables(parse_package(content).included, known, year=options["year"])
    return [{"kind": setting, "name": name, "text": text} for setting, name, text in found]


def difference(content: bytes, options: Mapping[str, Any], _: Progress) -> list[dict[str, Any]]:
    """Tell what is different in the compiled form `content` from the one in `old`."""
    changes = form_changes(CompiledForm.from_bytes(options["old"]), CompiledForm.from_bytes(content))
    return [each.as_dict() for each in changes]


def weigh(content: bytes, options: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Compare two compiled forms over `count` made-up people, and the cases in the new one's `source`."""
    old, new = CompiledForm.from_bytes(options["old"]), CompiledForm.from_bytes(content)
    own = cases_by_name(parse_package(options["source"]).workbook) if options["source"] else {}
    return compare_outcomes(old, new, own=own, count=options["count"], progress=progress).as_dict()


def rows(content: bytes, _: Mapping[str, Any], __: Progress) -> dict[str, list[Any]]:
    """Return the author's row behind each node of the form that a source package compiles to."""
    return {name: [*place] for name, place in odk_validate.node_rows(parse_package(content).workbook).items()}
