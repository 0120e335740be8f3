"""Writes a compiled form as one Python function: every relevance, constraint and calculate, in an order that works.

Called once per form by the engine. XPath 1.0 is written as JavaRosa reads it; an expression that JavaRosa, web-forms
and Python could read in different ways is refused, so that a screening scores the same wherever it is filled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from elementpath import XPathToken

from screening_forms import expressions
from screening_forms.expressions import COMPARISONS, ExpressionError
from screening_forms.xform import Node, XForm, refusal

Evaluate = Callable[
    [Mapping[str, str]], tuple[frozenset[str], dict[str, str], frozenset[str], frozenset[str], frozenset[str]]
]
"""Answers as text -> names that are relevant, every node's value, names whose constraint is broken, names whose choice
is filtered out, names that are required and relevant."""

Offers = Callable[[Mapping[str, str]], dict[str, tuple[str, ...]]]
"""Every node's value -> the codes that each question with a choice filter offers now."""

Written = TypeVar("Written")

_NUMBER = re.compile(r"\s*-?(\d+\.?\d*|\.\d+)\s*")
_CONDITIONS = (*COMPARISONS, "and", "or", "not", "true", "false", "selected")
_PYTHON = {"=": "==", "true": "True", "false": "False"}


def functions(form: XForm) -> tuple[Evaluate, Offers]:
    """Generate the form's functions; raises FormError on a cycle or on an expression that is not allowed."""
    writer = _Form(form)
    lines = [writer.line(step, name) for step, name in writer.order()]
    evaluate = ["def evaluate(answers):", *lines, f"return {writer.result()}"]
    offers = ["def offers(values):", *writer.given(), f"return {writer.offered()}"]
    source = "\n".join("\n    ".join(function) for function in (evaluate, offers))
    scope: dict[str, Any] = {"number": _number, "number_text": _number_text, "choices": writer.choices}
    exec(compile(source, f"<form {form.form_id}>", "exec"), scope)
    return scope["evaluate"], scope["offers"]


def _number(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def _number_text(number: float) -> str:
    return "" if math.isnan(number) else str(int(number))


class _Form:
    """Writes the lines of one form. Node n has r<n> (is it relevant) and v<n> (its text, blank if it is not)."""

    def __init__(self, form: XForm) -> None:
        self.nodes = {node.name: node for node in form.nodes}
        self.numbers = {name: number for number, name in enumerate(self.nodes)}
        self.choices = {
            node.name: [(choice.code, choice.columns) for choice in node.choices.values()] for node in form.nodes
        }
        self.parsed = {
            (node.name, rule): self._parse(node, text)
            for node in form.nodes
            for rule in ("relevant", "constraint", "required", "calculate", "filter")
            if (text := getattr(node, rule))
        }

    def order(self) -> list[tuple[str, str]]:
        """Return (r or v, name) so that each comes after what it needs."""
        needs: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for node in self.nodes.values():
            needs["r", node.name] = [("r", node.group)] if node.group else []
            needs["r", node.name] += [("v", name) for name in self._references(node.name, "relevant")]
            needs["v", node.name] = [("r", node.name)]
            needs["v", node.name] += [("v", name) for name in self._references(node.name, "calculate")]
        try:
            return [step for step in TopologicalSorter(needs).static_order() if step[1] in self.nodes]
        except CycleError as error:
            names = ", ".join(dict.fromkeys(name for _, name in error.args[1]))
            raise refusal(names, "dependen unas de otras en círculo", "depend on each other in a circle") from error

    def line(self, step: str, name: str) -> str:
        """Write the assignment of one step."""
        node, number = self.nodes[name], self.numbers[name]
        if step == "r":
            outer = f"r{self.numbers[node.group]}" if node.group else "True"
            return f"r{number} = {outer} and {self._condition(name, 'relevant')}"
        value = f"answers.get({name!r}, '')"
        if (name, "calculate") in self.parsed:
            value = self._checked(name, lambda: _Expression(self, node).text(self.parsed[name, "calculate"]))
        return f"v{number} = {value} if r{number} else ''"

    def result(self) -> str:
        """Write the tuple that the function returns."""
        relevant = {name: f"r{number}" for name, number in self.numbers.items()}
        leaves = {name: self.numbers[name] for name, node in self.nodes.items() if node.type != "group"}
        values = ", ".join(f"{name!r}: v{number}" for name, number in leaves.items())
        broken, filtered, required = {}, {}, {}
        for name, number in leaves.items():
            if (name, "constraint") in self.parsed:
                broken[name] = f"v{number} != '' and not {self._condition(name, 'constraint')}"
            if (name, "required") in self.parsed:
                required[name] = f"r{number} and {self._condition(name, 'required')}"
            if (name, "filter") in self.parsed:
                fits = f"code == chosen and {self._condition(name, 'filter')}"
                found = f"any({fits} for code, columns in choices[{name!r}])"
                filtered[name] = f"not all({found} for chosen in v{number}.split())"
        return f"{_names(relevant)}, {{{values}}}, {_names(broken)}, {_names(filtered)}, {_names(required)}"

    def given(self) -> list[str]:
        """Write the lines that take what choice filters look at from values that are known already."""
        names = {used for name in self.nodes for used in self._references(name, "filter")}
        return [f"v{number} = values[{name!r}]" for name, number in self.numbers.items() if name in names]

    def offered(self) -> str:
        """Write the codes that pass each choice filter."""
        filtered = [name for name in self.nodes if (name, "filter") in self.parsed]
        fits = ((name, self._condition(name, "filter")) for name in filtered)
        codes = (f"{name!r}: tuple([code for code, columns in choices[{name!r}] if {test}])" for name, test in fits)
        return f"{{{', '.join(codes)}}}"

    def _condition(self, name: str, rule: str) -> str:
        if (name, rule) not in self.parsed:
            return "True"
        write = _Expression(self, self.nodes[name], filtering=rule == "filter").condition
        return self._checked(name, lambda: f"({write(self.parsed[name, rule])})")

    def _references(self, name: str, rule: str) -> list[str]:
        return list(expressions.references(self.parsed[name, rule])) if (name, rule) in self.parsed else []

    def _parse(self, node: Node, text: str) -> XPathToken:
        token = self._checked(node.name, lambda: expressions.parse(text))
        for name in expressions.references(token):
            if name not in self.nodes or self.nodes[name].type == "group":
                raise refusal(node.name, f"menciona «{name}», que no es una pregunta", f"names '{name}', no question")
        return token

    def _checked(self, name: str, write: Callable[[], Written]) -> Written:
        try:
            return write()
        except ExpressionError as error:
            raise refusal(name, error.advice_es, error.advice_en) from error


class _Expression:
    """Writes one node's expressions. Each is wanted as a condition, a number or a text; kinds decide what is meant."""

    def __init__(self, form: _Form, node: Node, *, filtering: bool = False) -> None:
        self.form, self.node, self.filtering = form, node, filtering

    def kind(self, token: XPathToken) -> str:
        """Return condition, number or text; or a question's integer or date, which JavaRosa compares differently."""
        symbol = token.symbol
        if symbol in ("$", "."):
            node = self.node if symbol == "." else self.form.nodes[str(token.value)]
            return node.type if node.type in ("integer", "date") else "text"
        if symbol == "(":
            return self.kind(token[0])
        if symbol == "if":
            kinds = {self.kind(token[1]), self.kind(token[2])}
            return kinds.pop() if len(kinds) == 1 else "condition" if "condition" in kinds else "text"
        if symbol in _CONDITIONS:
            return "condition"
        return "text" if symbol in ("(string)", "concat", "(name)") else "number"

    def condition(self, token: XPathToken) -> str:
        """Write a condition; a bare value is none, since engines differ on which values are true."""
        symbol = token.symbol
        if symbol in ("and", "or"):
            return f"({self.condition(token[0])} {symbol} {self.condition(token[1])})"
        if symbol == "(":
            return self.condition(token[0])
        if symbol == "not":
            return f"(not {self.condition(token[0])})"
        if symbol in ("true", "false"):
            return _PYTHON[symbol]
        if symbol == "selected":
            return f"(' ' + {self.text(token[1])} + ' ' in ' ' + {self.text(token[0])} + ' ')"
        if symbol in COMPARISONS:
            return self._comparison(token)
        raise _not_allowed(token, "no es una comparación", "is no comparison")

    def number(self, token: XPathToken) -> str:
        """Write a number; a condition counts 1 or 0."""
        symbol, kind = token.symbol, self.kind(token)
        if kind == "condition":
            return self.condition(token)
        if symbol == "(":
            return self.number(token[0])
        if symbol in ("(integer)", "(decimal)"):
            return str(token.value)
        if symbol == "count-selected":
            return f"len({self.text(token[0])}.split())"
        if symbol in ("+", "-"):
            parts = [self.number(part) for part in token]
            return f"({symbol}{parts[0]})" if len(parts) == 1 else f"({parts[0]} {symbol} {parts[1]})"
        if kind == "date":
            raise _not_allowed(token, "una fecha no es un número", "a date is no number")
        return f"number({self.text(token)})"

    def text(self, token: XPathToken) -> str:
        """Write a text; a bare condition is refused, since Collect says 1 where web-forms says true."""
        symbol = token.symbol
        if symbol in ("$", "."):
            return f"v{self.form.numbers[self.node.name if symbol == '.' else str(token.value)]}"
        if symbol == "(":
            return self.text(token[0])
        if symbol in ("(string)", "(integer)"):
            return repr(str(token.value))
        if symbol == "(name)" and self.filtering:
            return f"columns.get({token.value!r}, '')"
        if symbol == "if":
            return f"({self.text(token[1])} if {self.condition(token[0])} else {self.text(token[2])})"
        if symbol == "concat" and not {"number", "condition"} & {self.kind(part) for part in token}:
            return f"({' + '.join(self.text(part) for part in token)})"
        if symbol in ("+", "-", "count-selected"):
            return f"number_text({self.number(token)})"
        raise _not_allowed(token, "no es un texto ni un número entero", "is neither a text nor a whole number")

    def _comparison(self, token: XPathToken) -> str:
        left, right = token
        kinds = {self.kind(left), self.kind(right)}
        if "condition" in kinds:
            raise _not_allowed(token, "compara una condición", "compares a condition")
        operator = _PYTHON.get(token.symbol, token.symbol)
        if "number" in kinds or token.symbol not in ("=", "!="):
            return f"({self.number(left)} {operator} {self.number(right)})"
        blank = any(side.symbol == "(string)" and side.value == "" for side in (left, right))
        if "integer" in kinds and not blank and len(kinds) > 1:
            raise _not_allowed(token, "compara un número con un texto", "compares a number with a text")
        return f"({self.text(left)} {operator} {self.text(right)})"


def _names(conditions: Mapping[str, str]) -> str:
    """Write the set of the names whose condition holds."""
    if not conditions:
        return "frozenset()"
    pairs = ", ".join(f"({name!r}, {condition})" for name, condition in conditions.items())
    return f"frozenset([name for name, holds in ({pairs},) if holds])"


def _not_allowed(token: XPathToken, why_es: str, why_en: str) -> ExpressionError:
    text = expressions.write(token)
    return ExpressionError("expression.not_allowed", f"«{text}» {why_es}", f"'{text}' {why_en}")
