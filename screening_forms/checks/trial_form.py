"""Builds engines for a few questions of a workbook, so that checks try answers with the engine of the tablets.

A compiled form does not exist yet while the checks run. A trial form has only the named questions and rules. It must
not decide on its own what a condition means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from screening_forms.checks.context import CheckContext
from screening_forms.engine.evaluator import Engine
from screening_forms.engine.xform_reader import Choice, Node, XForm
from screening_forms.errors import FormError
from screening_forms.workbook.columns import PLACEHOLDER, TEXT_PARTS
from screening_forms.workbook.reader import Row

_TRIED = "tried"


def filter_engine(context: CheckContext, name: str, *, beside: Collection[str] = ()) -> Engine | None:
    """Return an engine for a question with its choice filter, beside questions without rules.

    All questions are always asked. Return None if the engine rejects the filter, which other checks report.
    """
    others = [_node(context, context.questions[each]) for each in dict.fromkeys(beside) if each != name]
    return engine_of([*others, _node(context, context.questions[name], filtered=True)])


class TriedCondition:
    """The truth of conditions, joined by `or`, for given answers. `names` are their questions."""

    def __init__(self, context: CheckContext, conditions: Sequence[str]) -> None:
        self.names = tuple(dict.fromkeys(name for text in conditions for name in PLACEHOLDER.findall(text)))
        nodes = [_node(context, context.questions[name]) for name in self.names if name in context.questions]
        formula = f"if({' or '.join(f'({text})' for text in conditions) or 'false()'}, 1, 0)"
        self._engine = engine_of([*nodes, Node(_TRIED, "calculate", (), calculate=formula)])

    @property
    def is_known(self) -> bool:
        """True if the engine accepts the conditions."""
        return self._engine is not None

    def holds(self, answers: Mapping[str, str]) -> bool:
        """Return whether a condition holds; every question without an answer is blank."""
        return self._engine is not None and self._engine.evaluate(answers)[1][_TRIED] == "1"


def engine_of(nodes: Sequence[Node]) -> Engine | None:
    """Return an engine for nodes; None if it rejects a rule."""
    try:
        return Engine(XForm("data", "trial", "1", "", ("es",), tuple(nodes)))
    except FormError:
        return None


def _node(context: CheckContext, row: Row, *, filtered: bool = False) -> Node:
    return Node(
        name=row.get("name"),
        type=row.get("type").partition(" ")[0] or "text",
        groups=(),
        choices={choice.get("name"): _choice(choice) for choice in context.choices_of(row)},
        filter=row.get("choice_filter") if filtered else "",
    )


def _choice(row: Row) -> Choice:
    """Return a choice with its columns. A blank cell is an absent column, as in a compiled form."""
    columns = {column: text for column, text in row.cells.items() if column.partition("::")[0] not in TEXT_PARTS}
    return Choice(row.get("name"), {}, columns)
