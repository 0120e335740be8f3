"""Contains the tasks on source packages and compiled forms, as the sandbox's worker runs them.

A server compiles a draft whole, with the tables that authors published there. Author and reviewer fetch what it
returns, and compile it again. Nothing else calls these functions: they read untrusted bytes.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from screening_forms.checks import odk_rows
from screening_forms.checks.context import RouteVocabulary
from screening_forms.checks.run import blocking_problems
from screening_forms.checks.table_versions import unpublished_tables
from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import check_and_compile
from screening_forms.diff.forms import form_changes
from screening_forms.impact.comparison import cases_by_name, compare_outcomes
from screening_forms.sandbox.tasks import (
    CompareForms,
    CompareOutcomes,
    CompiledDraft,
    CompileDraft,
    FindNodeRows,
    FindUnpublishedTables,
    FormChanges,
    NodeRows,
    OutcomeChanges,
    Progress,
    RecompileSource,
    UnpublishedTables,
)
from screening_forms.workbook.package import Package, pack_package, parse_package
from screening_forms.workbook.resources import BUILT_IN, Resources


def compile_draft(request: CompileDraft, _: Progress) -> CompiledDraft:
    """Return every problem and, if none blocks, the compiled form and its source package with all its tables.

    Raises FormError if a table of the package breaks the rules for published tables.
    """
    package = parse_package(request.content)
    published = Resources(request.known.indicator_sets, request.known.policies)
    unpublished_tables(package.included, published.with_fallback(BUILT_IN), year=request.known.year)
    whole = replace(package, included=package.included.with_fallback(published))
    return _compile_package(whole, request.channel, request.route_vocabulary)


def recompile_source(request: RecompileSource, _: Progress) -> CompiledDraft:
    """Compile a source package of a server again on a signer's machine, and return what `compile_draft` returns.

    This machine does not know the server's tables. Raises FormError if a built-in table of the package was changed.
    """
    package = parse_package(request.content)
    included = package.included
    ours = Resources(
        {name: text for name, text in included.indicator_sets.items() if name in BUILT_IN.indicator_sets},
        {name: text for name, text in included.policies.items() if name in BUILT_IN.policies},
    )
    unpublished_tables(ours, BUILT_IN, year=0)
    return _compile_package(package, request.channel, request.route_vocabulary)


def _compile_package(package: Package, channel: str, vocabulary: RouteVocabulary) -> CompiledDraft:
    problems, form = check_and_compile(
        package.workbook, channel=channel, route_vocabulary=vocabulary, resources=package.resources
    )
    blocking = blocking_problems(problems, channel)
    described = [{**asdict(each), "blocking": each in blocking} for each in problems]
    if form is None:
        return CompiledDraft(described)
    return CompiledDraft(described, form.to_bytes(), pack_package(package))


def find_unpublished_tables(request: FindUnpublishedTables, _: Progress) -> UnpublishedTables:
    """Return the tables in a source package that the server does not know yet."""
    published = Resources(request.known.indicator_sets, request.known.policies).with_fallback(BUILT_IN)
    found = unpublished_tables(parse_package(request.content).included, published, year=request.known.year)
    return UnpublishedTables([{"kind": setting, "name": name, "text": text} for setting, name, text in found])


def compare_forms(request: CompareForms, _: Progress) -> FormChanges:
    """Return the changes from the compiled form in `old` to the one in `content`."""
    changes = form_changes(CompiledForm.from_bytes(request.old), CompiledForm.from_bytes(request.content))
    return FormChanges([each.as_dict() for each in changes])


def compare_outcomes_of_forms(request: CompareOutcomes, progress: Progress) -> OutcomeChanges:
    """Compare two compiled forms over synthetic interviews, and over the cases in the new form's source."""
    old, new = CompiledForm.from_bytes(request.old), CompiledForm.from_bytes(request.content)
    own = cases_by_name(parse_package(request.source).workbook) if request.source else {}
    return OutcomeChanges(compare_outcomes(old, new, own=own, count=request.count, progress=progress).as_dict())


def find_node_rows(request: FindNodeRows, _: Progress) -> NodeRows:
    """Return the author's row behind each node of a source package's compiled form."""
    return NodeRows(odk_rows.node_rows(parse_package(request.content).workbook))
