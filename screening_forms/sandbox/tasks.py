"""Contains the sandbox's tasks: a frozen dataclass for each request, one for each answer, and what each task may cost.

Client and worker read and write the same classes, so that no key is misspelt between them. They import nothing heavy:
the worker alone loads the functions that do the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

A = TypeVar("A")
JsonObject = dict[str, Any]
Progress = Callable[[int, int], None]
"""Receives the number of finished steps and the number of all steps."""


class Request(Generic[A]):
    """Base of all requests; `A` is the class of the answer. Every request has `content: bytes`."""

    content: bytes


@dataclass(frozen=True)
class KnownTables:
    """The tables that authors published on a server, name -> CSV, and the year in which a new one is checked."""

    indicator_sets: Mapping[str, str]
    policies: Mapping[str, str]
    year: int


@dataclass(frozen=True)
class NodeRows:
    """The sheet and the row number behind each node of a compiled form."""

    rows: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class FindNodeRows(Request[NodeRows]):
    """Find the rows behind the nodes of the source package in `content`."""

    content: bytes


@dataclass(frozen=True)
class CompiledDraft:
    """The problems as JSON objects; the compiled form and its whole source, None if a problem blocks."""

    problems: list[JsonObject]
    compiled: bytes | None = None
    source: bytes | None = None


@dataclass(frozen=True)
class CompileDraft(Request[CompiledDraft]):
    """Compile the source package in `content` with the tables that a server knows."""

    content: bytes
    channel: str
    route_vocabulary: Mapping[str, Sequence[str]]
    known: KnownTables


@dataclass(frozen=True)
class RecompileSource(Request[CompiledDraft]):
    """Compile a source package that a server keeps, on a signer's machine, which does not know the server's tables."""

    content: bytes
    channel: str
    route_vocabulary: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class UnpublishedTables:
    """Tables as objects with `kind` (indicator_set or policy), `name` and `text` (CSV)."""

    tables: list[dict[str, str]]


@dataclass(frozen=True)
class FindUnpublishedTables(Request[UnpublishedTables]):
    """Find the tables in the source package in `content` that the server does not know yet."""

    content: bytes
    known: KnownTables


@dataclass(frozen=True)
class FormChanges:
    """The changes between two forms as JSON objects, empty if both have the same bytes."""

    changes: list[JsonObject]


@dataclass(frozen=True)
class CompareForms(Request[FormChanges]):
    """Compare the compiled form in `content` with the older one in `old`."""

    content: bytes
    old: bytes


@dataclass(frozen=True)
class OutcomeChanges:
    """The changed outcomes between two versions, as `Impact.as_dict` writes them."""

    impact: JsonObject


@dataclass(frozen=True)
class CompareOutcomes(Request[OutcomeChanges]):
    """Compare the outcomes of the compiled form in `content` and of `old`, over `count` synthetic interviews.

    `source`: the source package of the new form, whose cases are compared too; None if there is none.
    """

    content: bytes
    old: bytes
    source: bytes | None
    count: int


@dataclass(frozen=True)
class CheckedTable:
    """A table as CSV with its problems; the table before it (empty if none) and the changes since, as JSON objects."""

    text: str
    problems: list[JsonObject]
    former: str
    changes: list[JsonObject]


@dataclass(frozen=True)
class CheckTable(Request[CheckedTable]):
    """Check the table in `content`, CSV or .xlsx by its `filename`. `kind`: set or policy."""

    content: bytes
    kind: str
    name: str
    filename: str
    known: KnownTables


@dataclass(frozen=True)
class TableEffects:
    """The effect of a table on each form, as `FormEffect.as_dict` writes it."""

    effects: list[JsonObject]


@dataclass(frozen=True)
class FindTableEffects(Request[TableEffects]):
    """Compile each form of `sources` (name -> source package) with the table in `content` (CSV), and compare.

    `count`: the number of synthetic interviews for each form.
    """

    content: bytes
    kind: str
    name: str
    sources: Mapping[str, bytes]
    count: int
    route_vocabulary: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class PackedSource:
    """A source package."""

    source: bytes


@dataclass(frozen=True)
class ReplaceTable(Request[PackedSource]):
    """Put the table `text` (CSV) into the source package in `content`, and give the form a new `version`."""

    content: bytes
    kind: str
    name: str
    text: str
    version: str


@dataclass(frozen=True)
class Task:
    """The function for a request as `module:name`, with its limits in CPU seconds and megabytes of memory.

    If the client stops the task, the problem contains the request's name, else this `name`.
    """

    name: str
    function: str
    seconds: int
    megabytes: int = 1024


TASKS: dict[type[Request[Any]], Task] = {
    FindNodeRows: Task("rows", "screening_forms.sandbox.form_tasks:find_node_rows", 20),
    CompileDraft: Task("draft", "screening_forms.sandbox.form_tasks:compile_draft", 20),
    RecompileSource: Task("again", "screening_forms.sandbox.form_tasks:recompile_source", 20),
    FindUnpublishedTables: Task("carried", "screening_forms.sandbox.form_tasks:find_unpublished_tables", 20),
    CompareForms: Task("difference", "screening_forms.sandbox.form_tasks:compare_forms", 20),
    CompareOutcomes: Task("impact", "screening_forms.sandbox.form_tasks:compare_outcomes_of_forms", 60),
    CheckTable: Task("table", "screening_forms.sandbox.table_tasks:check_table", 20),
    FindTableEffects: Task("effect", "screening_forms.sandbox.table_tasks:find_table_effects", 300),
    ReplaceTable: Task("renewed", "screening_forms.sandbox.table_tasks:replace_table", 20),
}
