"""Generates Python for one expression of a form, with the meaning that JavaRosa gives to XPath 1.0.

codegen.py uses it. A screening must score the same on every engine. So it must reject an expression that JavaRosa,
web-forms and Python could evaluate differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from screening_forms.engine.xform_reader import Node
from screening_forms.expressions.parser import COMPARISONS, ExpressionError, Token, write_expression

_CONDITIONS = (*COMPARISONS, "and", "or", "not", "true", "false", "selected")
_PYTHON = {"=": "==", "true": "True", "false": "False"}


@dataclass(frozen=True)
class Names:
    """The nodes of a form and their numbers n in the generated code.

    v<n> is a node's text, s<n> the text between blanks (to find a choice in it). n<n> is the number of a node in
    `counted`.
    """

    nodes: Mapping[str, Node]
    numbers: Mapping[str, int]
    counted: set[str]


class Expression:
    """Writes the expressions of one node as a condition, a number or a text."""

    def __init__(self, names: Names, node: Node, *, filtering: bool = False) -> None:
        self.names, self.node, self.filtering = names, node, filtering

    def kind(self, token: Token) -> str:
        """Return condition, number or text; also integer or date, which JavaRosa compares differently."""
        symbol = token.symbol
        if symbol in ("$", "."):
            node = self.names.nodes[self._name(token)]
            return node.type if node.type in ("integer", "date") else "text"
        if symbol == "(":
            return self.kind(token[0])
        if symbol == "if":
            kinds = {self.kind(token[1]), self.kind(token[2])}
            return kinds.pop() if len(kinds) == 1 else "condition" if "condition" in kinds else "text"
        if symbol in _CONDITIONS:
            return "condition"
        return "text" if symbol in ("(string)", "concat", "(name)") else "number"

    def condition(self, token: Token) -> str:
        """Write a condition. A value alone raises ExpressionError: engines differ on which values are true."""
        symbol = token.symbol
        if symbol in ("and", "or"):
            return f"({f' {symbol} '.join(map(self.condition, token))})"
        if symbol == "(":
            return self.condition(token[0])
        if symbol == "not":
            return f"(not {self.condition(token[0])})"
        if symbol in ("true", "false"):
            return _PYTHON[symbol]
        if symbol == "selected":
            return self._selected(token)
        if symbol in COMPARISONS:
            return self._comparison(token)
        raise _not_allowed(token, "no es una comparación", "is not a comparison")

    def number(self, token: Token) -> str:
        """Write a number; a condition is 1 or 0. Raises ExpressionError on a date."""
        symbol, kind = token.symbol, self.kind(token)
        if kind == "condition":
            return self.condition(token)
        if symbol == "(":
            return self.number(token[0])
        if symbol in ("(integer)", "(decimal)"):
            return token.value
        if symbol == "count-selected":
            return f"len({self.text(token[0])}.split())"
        if symbol in ("+", "-"):
            parts = [self.number(part) for part in token]
            return f"({symbol}{parts[0]})" if len(parts) == 1 else f"({f' {symbol} '.join(parts)})"
        if kind == "date":
            raise _not_allowed(token, "una fecha no es un número", "a date is not a number")
        if symbol == "if" and self.whole(token):
            return f"({self.number(token[1])} if {self.condition(token[0])} else {self.number(token[2])})"
        if symbol in ("$", ".") and self._name(token) in self.names.counted:
            return f"n{self.names.numbers[self._name(token)]}"
        return f"number({self.text(token)})"

    def text(self, token: Token) -> str:
        """Write a text. A condition raises ExpressionError: Collect writes 1 and web-forms writes true."""
        symbol = token.symbol
        if symbol in ("$", "."):
            return f"v{self.names.numbers[self._name(token)]}"
        if symbol == "(":
            return self.text(token[0])
        if symbol in ("(string)", "(integer)"):
            return repr(token.value)
        if symbol == "(name)" and self.filtering:
            return f"columns.get({token.value!r}, '')"
        if symbol == "if":
            return f"({self.text(token[1])} if {self.condition(token[0])} else {self.text(token[2])})"
        if symbol == "concat" and not {"number", "condition"} & {self.kind(part) for part in token}:
            return f"''.join(({', '.join(map(self.text, token))}))"
        if symbol in ("+", "-", "count-selected"):
            return f"{'str' if self.whole(token) else 'number_text'}({self.number(token)})"
        raise _not_allowed(token, "no es un texto ni un número entero", "is neither a text nor a whole number")

    def whole(self, token: Token) -> bool:
        """True if the number is always an integer. False for another node, because it may be blank."""
        if token.symbol in ("(", "+", "-"):
            return all(map(self.whole, token))
        if token.symbol == "if":
            return self.whole(token[1]) and self.whole(token[2])
        return token.symbol in ("(integer)", "count-selected") or self.kind(token) == "condition"

    def _name(self, token: Token) -> str:
        """Return the name of the node that `$` or `.` refers to."""
        return token.value or self.node.name

    def _selected(self, token: Token) -> str:
        """Write the test that a text contains a given word."""
        words, word = token
        wanted = repr(f" {word.value} ") if word.symbol == "(string)" else f"' ' + {self.text(word)} + ' '"
        if words.symbol in ("$", "."):
            return f"({wanted} in s{self.names.numbers[self._name(words)]})"
        return f"({wanted} in ' ' + {self.text(words)} + ' ')"

    def _comparison(self, token: Token) -> str:
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


def _not_allowed(token: Token, why_es: str, why_en: str) -> ExpressionError:
    text = write_expression(token)
    return ExpressionError("expression.not_allowed", f"«{text}» {why_es}", f"'{text}' {why_en}")
