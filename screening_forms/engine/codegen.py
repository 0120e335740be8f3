"""Generates Python functions from a compiled form: relevance, constraints, calculates and choice filters.

The engine calls it once for each form; the generated code is much faster than a tree walk. expression_codegen.py writes
the single expressions. Only text that the parser accepted may get into the code.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import groupby
from typing import Any, TypeVar

from screening_forms.engine.expression_codegen import Expression, Names
from screening_forms.engine.xform_reader import XForm, xform_error
from screening_forms.expressions.parser import ExpressionError, Token, parse_expression, subexpressions

Evaluate = Callable[[Mapping[str, str]], tuple[frozenset[str], dict[str, str], list[str], list[str], list[str]]]
"""Takes answers as text. Returns the relevant names, every node's value, and three lists of names in the form's order:
required but blank, with a broken constraint, with a filtered-out choice."""

Offers = Callable[[Mapping[str, str]], dict[str, tuple[str, ...]]]
"""Takes every node's value. Returns the codes that each question with a choice filter offers now."""

Written = TypeVar("Written")
Step = tuple[str, str]
"""`r` (computes the relevance) or `v` (computes the text), and the node's name."""
Rule = tuple[str, str]
"""A node's name and one of `_RULES`."""

_NUMBER = re.compile(r"\s*-?(\d+\.?\d*|\.\d+)\s*", re.ASCII)
_COUNTING = ("<", "<=", ">", ">=", "+", "-")
_RULES = ("relevant", "constraint", "required", "calculate", "filter")


def generate_functions(form: XForm) -> tuple[Evaluate, Offers]:
    """Generate `evaluate` and `offers` of a form; raises FormError on a cycle or a forbidden expression."""
    writer = _FormWriter(form)
    evaluate = ["def evaluate(answers):", *writer.evaluate_lines()]
    offers = ["def offers(values):", *writer.offers_lines()]
    source = "\n".join("\n    ".join(function) for function in (evaluate, offers))
    scope: dict[str, Any] = {"number": _number, "number_text": _number_text, "nan": math.nan, **writer.scope()}
    exec(compile(source, f"<form {form.form_id}>", "exec"), scope)
    return scope["evaluate"], scope["offers"]


def _number(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def _number_text(number: float) -> str:
    return "" if math.isnan(number) else str(int(number) if number % 1 == 0 else number)


class _FormWriter:
    """Writes the lines of the two functions of one form.

    Variables of node n: r<n> is its relevance, if it has a condition of its own. v<n> is its text, "" if not relevant.
    s<n> is the text between blanks, to find a choice in it. n<n> is its number. v, s and n exist only if a line uses
    them.
    """

    def __init__(self, form: XForm) -> None:
        self.nodes = {node.name: node for node in form.nodes}
        self.numbers = {name: number for number, name in enumerate(self.nodes)}
        self.parsed: dict[Rule, Token] = {}
        self.named: dict[Rule, list[str]] = defaultdict(list)
        self.used: set[str] = set()
        self.searched: set[str] = set()
        self.names = Names(self.nodes, self.numbers, set())
        self.guards = {"": ""}
        for node in form.nodes:
            self.guards[node.name] = node.name if node.relevant else self.guards[node.group]
            for rule in _RULES:
                if text := getattr(node, rule):
                    self._parse_rule(node.name, rule, text)

    def _parse_rule(self, name: str, rule: str, text: str) -> None:
        """Parse a rule, and note which variables of which nodes it needs."""
        token = self.parsed[name, rule] = self._with_form_error(name, lambda: parse_expression(text))
        if rule in ("constraint", "required", "filter"):
            self.used.add(name)
        for part in subexpressions(token):
            if part.symbol in ("$", "."):
                meant = self._referenced_node(part, name, rule)
                self.named[name, rule].append(meant)
                self.used.add(meant)
            elif part.symbol == "selected":
                self.searched.update(self._operand_nodes(part, name))
            elif part.symbol in _COUNTING:
                self.names.counted.update(self._operand_nodes(part, name))

    def _referenced_node(self, part: Token, name: str, rule: str) -> str:
        if part.symbol == "." and rule != "constraint":
            raise xform_error(name, "«.» solo vale en una condición", "'.' is allowed in a constraint only")
        meant = part.value or name
        if meant not in self.nodes or self.nodes[meant].type == "group":
            raise xform_error(
                name, f"menciona «{meant}», que no es una pregunta", f"refers to '{meant}', which is not a question"
            )
        return meant

    def _operand_nodes(self, part: Token, name: str) -> Iterator[str]:
        """Yield the nodes that are direct operands of an operator or a function."""
        for side in part:
            while side.symbol == "(":
                side = side[0]
            if side.symbol in ("$", "."):
                yield side.value or name

    def evaluate_lines(self) -> Iterator[str]:
        """Write the body of `evaluate`. Steps with the same guard share one `if` where their order allows it."""
        yield "get, values = answers.get, blank.copy()"
        for guard, block in groupby(self._ordered_steps(), self._guard):
            steps = list(block)
            if not guard:
                yield from (self._step_line(*step) for step in steps)
                continue
            yield f"if r{self.numbers[guard]}:"
            yield from (f"    {self._step_line(*step)}" for step in steps)
            if blank := [line for step in steps if (line := self._blank_line(*step))]:
                yield f"else: {'; '.join(blank)}"
        yield "missing, broken, filtered = [], [], []"
        for name, node in self.nodes.items():
            if node.type != "group":
                yield from self._rule_lines(name)
        shown = (
            f"shown{n} if r{n} else never" for n in (self.numbers[guard] for guard in self._nodes_by_guard() if guard)
        )
        yield f"return always.union({', '.join(shown)}), values, missing, broken, filtered"

    def offers_lines(self) -> Iterator[str]:
        """Write the body of `offers`: the codes that pass each choice filter, computed from all values."""
        for name in dict.fromkeys(used for asked in self.nodes for used in self.named[asked, "filter"]):
            yield self._assign_text(name, f"values[{name!r}]")
        filtered = [name for name in self.nodes if (name, "filter") in self.parsed]
        fits = ((name, self.numbers[name], self._condition(name, "filter")) for name in filtered)
        codes = (f"{name!r}: tuple([code for code, columns in columns{n}.items() if {test}])" for name, n, test in fits)
        yield f"return {{{', '.join(codes)}}}"

    def scope(self) -> dict[str, Any]:
        """Return the constants that the lines use."""
        shown = {f"shown{self.numbers[guard]}": names for guard, names in self._nodes_by_guard().items() if guard}
        columns = {
            f"columns{self.numbers[name]}": {code: choice.columns for code, choice in node.choices.items()}
            for name, node in self.nodes.items()
            if node.filter
        }
        blank = {name: "" for name, node in self.nodes.items() if node.type != "group"}
        return {
            "blank": blank,
            "always": self._nodes_by_guard().get("", frozenset()),
            "never": frozenset(),
            **shown,
            **columns,
        }

    def _nodes_by_guard(self) -> dict[str, frozenset[str]]:
        """Return, by guard, the names of the nodes with that guard."""
        guards = dict.fromkeys(self.guards[name] for name in self.nodes)
        return {guard: frozenset(name for name in self.nodes if self.guards[name] == guard) for guard in guards}

    def _ordered_steps(self) -> Iterator[Step]:
        """Yield every step after the steps that it needs. The order keeps steps of one guard together if possible."""
        needs: dict[Step, list[Step]] = {}
        for node in self.nodes.values():
            if node.relevant:
                needs["r", node.name] = self._needs(("r", node.name), "relevant")
            if node.type != "group":
                needs["v", node.name] = self._needs(("v", node.name), "calculate")
        sorter = TopologicalSorter(needs)
        try:
            sorter.prepare()
        except CycleError as error:
            names = ", ".join(dict.fromkeys(name for _, name in error.args[1]))
            raise xform_error(names, "dependen unas de otras en círculo", "depend on each other in a circle") from error
        guard, waiting = "", defaultdict[str, list[Step]](list)
        while sorter.is_active():
            for ready in sorter.get_ready():
                waiting[self._guard(ready)].append(ready)
            guard = guard if guard in waiting else next(iter(waiting))
            steps = waiting.pop(guard)
            sorter.done(*steps)
            yield from steps

    def _needs(self, step: Step, rule: str) -> list[Step]:
        guard = self._guard(step)
        return [*([("r", guard)] if guard else ()), *(("v", name) for name in self.named[step[1], rule])]

    def _guard(self, step: Step) -> str:
        """Return the node whose relevance guards a step, or "". The group's guard guards a node's own condition."""
        kind, name = step
        return self.guards[self.nodes[name].group if kind == "r" else name]

    def _step_line(self, step: str, name: str) -> str:
        """Write a step for the case that its guard is relevant."""
        number = self.numbers[name]
        if step == "r":
            return f"r{number} = {self._condition(name, 'relevant')}"
        if (name, "calculate") not in self.parsed:
            return f"values[{name!r}] = " + self._assign_text(name, f"get({name!r}, '')")
        token, code = self.parsed[name, "calculate"], Expression(self.names, self.nodes[name])
        text = self._with_form_error(name, lambda: code.text(token))
        if name in self.names.counted and code.whole(token):
            whole = self._with_form_error(name, lambda: code.number(token))
            return f"n{number} = {whole}; values[{name!r}] = " + self._assign_text(
                name, f"str(n{number})", f"n{number}"
            )
        return f"values[{name!r}] = {self._assign_text(name, text)}"

    def _blank_line(self, step: str, name: str) -> str:
        """Write a step for the case that its guard is not relevant."""
        if step == "r":
            return f"r{self.numbers[name]} = False"
        return self._assign_text(name, "''", "nan") if name in self.used else ""

    def _assign_text(self, name: str, text: str, count: str = "") -> str:
        """Write the assignment of a node's text to the variables that other lines use."""
        if name not in self.used:
            return text
        number = self.numbers[name]
        lines = [f"v{number} = {text}"]
        if name in self.searched:
            lines.append(f"s{number} = ' ' + v{number} + ' '")
        if name in self.names.counted:
            lines.append(f"n{number} = {count or f'number(v{number})'}")
        return "; ".join(lines)

    def _rule_lines(self, name: str) -> Iterator[str]:
        """Write the lines that add a node to `missing`, `broken` or `filtered`."""
        number, guard = self.numbers[name], self.guards[name]
        if (name, "required") in self.parsed:
            asked = f"r{self.numbers[guard]} and " if guard else ""
            yield f"if {asked}v{number} == '' and {self._condition(name, 'required')}: missing.append({name!r})"
        if (name, "constraint") in self.parsed:
            yield f"if v{number} != '' and not {self._condition(name, 'constraint')}: broken.append({name!r})"
        if (name, "filter") in self.parsed:
            yield f"for code in v{number}.split():"
            yield f"    columns = columns{number}[code]"
            yield f"    if not {self._condition(name, 'filter')}: filtered.append({name!r}); break"

    def _condition(self, name: str, rule: str) -> str:
        if (name, rule) not in self.parsed:
            return "True"
        write = Expression(self.names, self.nodes[name], filtering=rule == "filter").condition
        return self._with_form_error(name, lambda: f"({write(self.parsed[name, rule])})")

    def _with_form_error(self, name: str, write: Callable[[], Written]) -> Written:
        try:
            return write()
        except ExpressionError as error:
            raise xform_error(name, error.advice_es, error.advice_en) from error
