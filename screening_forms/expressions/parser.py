"""The parser and writer of the XPath subset of forms, with Kleene's three-valued logic.

The compiler writes the parsed conditions into calculates, and the engine generates Python from them. It must not
evaluate an expression, nor accept a symbol outside `FUNCTIONS` and `OPERATORS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from elementpath import ElementPathError, XPath1Parser, XPathToken

from screening_forms.errors import FormError, FormProblem
from screening_forms.workbook.reader import Row

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
OPERATORS = ("and", "or", "+", "-", *COMPARISONS)
FUNCTIONS = ("not", "true", "false", "concat", "if", "selected", "count-selected")
LITERALS = ("(string)", "(integer)", "(decimal)")
NO_ANSWERS = ("no_answer", "does_not_know")
"""Choices that leave a question open. A blank leaves it open too."""

_SYMBOLS = ("(start)", "(end)", "(name)", "(invalid)", "(unknown)", "(float)", "(", ")", ",", ".", "$", *LITERALS)
_REFERENCE = re.compile(
    r"""('[^']*'|"[^"]*")|\s*(?:\$\{\s*([^\d\W][\w.-]*)\s*\}|/[\w.-]+(?:/[\w.-]+)*/([^\d\W][\w.-]*))\s*"""
)
_CHAINED = ("and", "or", "+")
_DEEPEST = 80
"""The deepest nesting of an expression. Python compiles at most about 200 nested parentheses."""


@dataclass(frozen=True, slots=True)
class Token:
    """A node of the syntax tree of an expression.

    `symbol` is an operator, a function, `(`, `.`, `$` (a question; `value` is its name), `(name)` (a column) or one of
    `LITERALS`. A chain of the same `and`, `or` or `+` is one token with two or more parts.
    """

    symbol: str
    value: str = ""
    parts: tuple[Token, ...] = ()

    def __iter__(self) -> Iterator[Token]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> Token:
        return self.parts[number]


class FormsParser(XPath1Parser):
    """elementpath's XPath 1.0 parser, limited to our symbols and extended by three functions of XForms."""

    symbol_table = {  # noqa: RUF012 (elementpath looks the symbols up in this class attribute)
        symbol: token
        for symbol, token in XPath1Parser.symbol_table.items()
        if symbol in (*_SYMBOLS, *OPERATORS, *FUNCTIONS)
    }


# Only new symbols may be registered. A known symbol would change elementpath's own parser for the whole process.
FormsParser.function("if", nargs=3, sequence_types=("item()?",) * 4)
FormsParser.function("selected", nargs=2, sequence_types=("item()?",) * 3)
FormsParser.function("count-selected", nargs=1, sequence_types=("item()?",) * 2)
FormsParser.build()


class ExpressionError(ValueError):
    """The expression is outside the subset. It has a stable code and advice in Spanish and English."""

    def __init__(self, code: str, advice_es: str, advice_en: str) -> None:
        self.code, self.advice_es, self.advice_en = code, advice_es, advice_en
        super().__init__(advice_en)

    def at(self, row: Row, column: str) -> FormProblem:
        """Return the problem for the cell that contains the expression."""
        return FormProblem(row.sheet, row.number, column, self.code, self.advice_es, self.advice_en)


def parse_expression(text: str) -> Token:
    """Parse an expression; raises ExpressionError.

    `${name}` of a workbook and `/data/group/name` of a compiled form are the same reference.
    """
    try:
        return parse_plain(_REFERENCE.sub(lambda found: found[1] or f" $ {found[2] or found[3]} ", text))
    except (ElementPathError, SyntaxError, ValueError, RecursionError) as error:
        raise ExpressionError(
            "expression.syntax",
            f"no se entiende «{text}»; se puede usar: {' '.join(OPERATORS)} y {' '.join(FUNCTIONS)}",
            f"'{text}' is not understood ({error}); allowed: {' '.join(OPERATORS)} and {' '.join(FUNCTIONS)}",
        ) from error


@lru_cache(maxsize=4096)
def parse_plain(plain: str) -> Token:
    """Parse an expression in which each reference is written `$ name`; raises elementpath's errors and ValueError."""
    parser = FormsParser()
    return _token(super(XPath1Parser, parser).parse(plain))  # XPath1Parser.parse would also evaluate it.


def _token(read: XPathToken, depth: int = 1) -> Token:
    """Copy elementpath's tokens into frozen ones. The cache shares the result, and elementpath's tokens can change."""
    symbol: str = read.symbol
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if symbol == "(float)" or (symbol == "+" and len(read) == 1):
        raise ValueError("numbers are written like 12, 12.5 or -12")
    if symbol == "$":
        return Token(symbol, str(read.value))
    if symbol not in _CHAINED:
        value = str(read.value) if symbol in (*LITERALS, "(name)") else ""
        return Token(symbol, value, tuple([_token(part, depth + 1) for part in read[:]]))
    parts = []
    while read.symbol == symbol and len(read) == 2:
        parts.append(_token(read[1], depth + 1))
        read = read[0]
    return Token(symbol, parts=(_token(read, depth + 1), *reversed(parts)))


def subexpressions(token: Token) -> Iterator[Token]:
    """Yield the expression and all its parts, in order of appearance."""
    waiting = [token]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(part.parts))


def referenced_questions(token: Token) -> Iterator[str]:
    """Yield the name of every referenced question, in order of appearance."""
    return (part.value for part in subexpressions(token) if part.symbol == "$")


def compared_values(token: Token) -> Iterator[tuple[str, str]]:
    """Yield each question with the text of its comparison, as in `${q} = 'yes'` or `selected(${q}, 'yes')`."""
    for part in subexpressions(token):
        if part.symbol in ("=", "!=", "selected"):
            sides = {side.symbol: side.value for side in part}
            if sides.keys() == {"$", "(string)"}:
                yield sides["$"], sides["(string)"]


def write_expression(token: Token, atom: Callable[[Token], str] | None = None) -> str:
    """Return an expression as XLSForm text. `atom`, if given, writes every part but `and`, `or` and parentheses."""
    symbol = token.symbol
    if symbol in ("and", "or"):
        return f" {symbol} ".join(write_expression(part, atom) for part in token)
    if symbol == "(":
        return f"({write_expression(token[0], atom)})"
    if atom is not None:
        return atom(token)
    if symbol == "$":
        return f"${{{token.value}}}"
    if symbol == "(string)":
        return f'"{token.value}"' if "'" in token.value else f"'{token.value}'"
    if symbol in FUNCTIONS:
        return f"{symbol}({', '.join(write_expression(part) for part in token)})"
    if len(token) > 1:
        return f" {symbol} ".join(map(write_expression, token))
    return symbol + write_expression(token[0]) if len(token) else token.value or symbol


def write_possible(token: Token, unknown: Callable[[str], str | None]) -> str:
    """Return the XLSForm text of an expression in which each open question counts as a yes.

    A comparison also holds while its question is open. `unknown` returns the node that is '1' while a question is
    open, or None for a question that is never open. A `not` also holds while any question inside it is open.
    """

    def atom(part: Token) -> str:
        nodes = filter(None, map(unknown, dict.fromkeys(referenced_questions(part))))
        terms = [write_expression(part), *(f"${{{node}}} = '1'" for node in nodes)]
        return f"({' or '.join(terms)})" if len(terms) > 1 else terms[0]

    return write_expression(token, atom)


@dataclass(frozen=True)
class Comparison:
    """One comparison of a `when`: `${question} operator value`. The operator is one of `COMPARISONS` or `selected`."""

    question: str
    operator: str
    value: str


@dataclass(frozen=True)
class When:
    """The parsed `when` of a row of the sheet `indicators`: its tree and its comparisons."""

    token: Token
    atoms: tuple[Comparison, ...]

    @property
    def certain(self) -> str:
        """The condition in which an open question counts as a no, as XPath evaluates it."""
        return write_expression(self.token)

    def possible(self, unknown: Callable[[str], str | None]) -> str:
        """Return the condition in which an open question counts as a yes."""
        return write_possible(self.token, unknown)

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions of the condition, each once, in order."""
        return tuple(dict.fromkeys(atom.question for atom in self.atoms))


def parse_when(row: Row, *, fact: bool = False) -> When:
    """Parse the `when` of an indicator or a fact. Only a fact may compare with `no_answer` or a blank.

    Raises FormError with every problem of the cell.
    """
    problems: list[FormProblem] = []
    atoms: list[Comparison] = []

    def check(part: Token) -> str:
        try:
            atoms.append(_parse_comparison(part, fact))
        except ExpressionError as error:
            problems.append(error.at(row, "when"))
        return write_expression(part)

    try:
        token = parse_expression(row.get("when"))
    except ExpressionError as error:
        raise FormError([error.at(row, "when")]) from error
    write_expression(token, check)
    if problems:
        raise FormError(problems)
    return When(token, tuple(atoms))


def _parse_comparison(token: Token, fact: bool) -> Comparison:
    symbol, written = token.symbol, write_expression(token)
    if symbol in ("not", "!="):
        raise ExpressionError(
            "when.negation",
            f"«{written}»: «not» y «!=» también son ciertos en blanco; escriba por ejemplo ${{pregunta}} = 'no'",
            f"'{written}': 'not' and '!=' hold for a blank too; write for example ${{question}} = 'no'",
        )
    if symbol not in (*COMPARISONS, "selected"):
        raise ExpressionError(
            "when.bare_condition",
            f"«{written}» no es una comparación; escriba por ejemplo ${{pregunta}} = 'yes'",
            f"'{written}' is not a comparison; write for example ${{question}} = 'yes'",
        )
    if token[0].symbol != "$" or token[1].symbol not in LITERALS:
        raise ExpressionError(
            "when.operands",
            f"«{written}»: compare una pregunta ${{...}} (a la izquierda) con un valor fijo (a la derecha)",
            f"'{written}': compare one question ${{...}} (left) with one fixed value (right)",
        )
    atom = Comparison(token[0].value, symbol, token[1].value)
    if not fact and atom.value in ("", *NO_ANSWERS):
        raise ExpressionError(
            "when.open_answer",
            f"«{written}»: no responder no es un indicador; queda sin saber por sí solo",
            f"'{written}': a missing answer is not an indicator; it already counts as unknown",
        )
    return atom
