"""Contains the tasks on new versions of an indicator set or a policy, as the sandbox's worker runs them.

A server runs them before it publishes a table. Nothing else calls these functions: they read untrusted bytes.
"""

from __future__ import annotations

from dataclasses import asdict

from screening_forms.checks.table_versions import TABLE_KINDS, previous_version, read_table_text, version_problems
from screening_forms.impact.table_effect import effect_on_forms, table_changes, with_table
from screening_forms.sandbox.tasks import (
    CheckedTable,
    CheckTable,
    FindTableEffects,
    PackedSource,
    Progress,
    ReplaceTable,
    TableEffects,
)
from screening_forms.workbook.package import pack_package, parse_package
from screening_forms.workbook.resources import BUILT_IN, Resources


def check_table(request: CheckTable, _: Progress) -> CheckedTable:
    """Check a table against all published ones, and return its problems and the changes since the version before it."""
    kind, name, known = request.kind, request.name, request.known
    earlier = Resources(known.indicator_sets, known.policies).with_fallback(BUILT_IN)
    text = read_table_text(request.content, request.filename, kind)
    problems = version_problems(kind, name, text, earlier, year=known.year)
    former = previous_version(kind, name, earlier)
    former_text = TABLE_KINDS[kind].tables_in(earlier).get(former, "")
    changes = table_changes(kind, former, former_text, name, text) if former and not problems else []
    return CheckedTable(text, [asdict(each) for each in problems], former, [each.as_dict() for each in changes])


def find_table_effects(request: FindTableEffects, progress: Progress) -> TableEffects:
    """Return the effect of a table on each form of its family, over the form's cases and synthetic interviews."""
    effects = effect_on_forms(
        request.kind,
        request.name,
        request.content.decode("utf-8-sig"),
        {form: parse_package(source) for form, source in request.sources.items()},
        route_vocabulary=request.route_vocabulary,
        count=request.count,
        progress=progress,
    )
    return TableEffects([each.as_dict() for each in effects])


def replace_table(request: ReplaceTable, _: Progress) -> PackedSource:
    """Return the source package with the table in its settings, and the form's new version."""
    package = with_table(parse_package(request.content), request.kind, request.name, request.text, request.version)
    return PackedSource(pack_package(package))
