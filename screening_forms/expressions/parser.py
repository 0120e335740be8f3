"""The small XPath that our forms may use: parsing it, writing it back, and Kleene's three values in it.

Conditions over answers are read here for the compiler (which writes them into calculates) and for the engine (which
turns them into Python). Nothing is evaluated here, and nothing beyond `FUNCTIONS` and `OPERATORS` is understood.
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
"""Choices that leave the question open; blank is the third way of not answering."""

_SYMBOLS = ("(start)", "(end)", "(name)", "(invalid)", "(unknown)", "(float)", "(", ")", ",", ".", "$", *LITERALS)
_REFERENCE = re.compile(
    r"""('[^']*'|"[^"]*")|\s*(?:\$\{\s*([^\d\W][\w.-]*)\s*\}|/[\w.-]+(?:/[\w.-]+)*/([^\d\W][\w.-]*))\s*"""
)
_CHAINED = ("and", "or", "+")
_DEEPEST = 80
"""Python, which an expression becomes, gives up at some two hundred parentheses in one another."""


@dataclass(frozen=True, slots=True)
class Token:
    """An expression, or a part of one, with its own parts.

    `symbol` is an operator, a function, `(`, `.`, `$` (a question, which `value` names), `(name)` (a column) or one of
    `LITERALS`. A chain of one and the same `and`, `or` or `+` is one token, however many parts it has.
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
    """XPath 1.0 cut down to what we understand, plus XForms' own functions."""

    symbol_table = {  # noqa: RUF012 (elementpath's own way of saying what a parser knows)
        symbol: token
        for symbol, token in XPath1Parser.symbol_table.items()
        if symbol in (*_SYMBOLS, *OPERATORS, *FUNCTIONS)
    }


# Only new symbols may be registered: registering a known one would change elementpath's own parser for everybody.
FormsParser.function("if", nargs=3, sequence_types=("item()?",) * 4)
FormsParser.function("selected", nargs=2, sequence_types=("item()?",) * 3)
FormsParser.function("count-selected", nargs=1, sequence_types=("item()?",) * 2)
FormsParser.build()


class ExpressionError(ValueError):
    """An expression outside our language: a stable code, and the advice in both languages."""

    def __init__(self, code: str, advice_es: str, advice_en: str) -> None:
        self.code, self.advice_es, self.advice_en = code, advice_es, advice_en
        super().__init__(advice_en)

    def at(self, row: Row, column: str) -> FormProblem:
        """Name the cell that holds the expression."""
        return FormProblem(row.sheet, row.number, column, self.code, self.advice_es, self.advice_en)


def parse_expression(text: str) -> Token:
    """Parse an expression; `${name}` of a workbook and `/data/group/name` of a compiled form are the same reference."""
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
    """Read an expression in which each reference is written `$ name`."""
    parser = FormsParser()
    return _token(super(XPath1Parser, parser).parse(plain))  # not XPath1Parser.parse: it would evaluate as well


def _token(read: XPathToken, depth: int = 1) -> Token:
    """Copy what elementpath read, so that it can be kept: its own tokens can be changed by whoever holds them."""
    symbol: str = read.symbol
    if depth > _DEEPEST:
        raise ValueError("too much in one another")
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
    """Yield the expression and every part of it, in order of appearance."""
    waiting = [token]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(part.parts))


def referenced_questions(token: Token) -> Iterator[str]:
    """Yield every question that is referred to, in order of appearance."""
    return (part.value for part in subexpressions(token) if part.symbol == "$")


def compared_values(token: Token) -> Iterator[tuple[str, str]]:
    """Yield every question and the text that it is held against, as in `${q} = 'yes'` or `selected(${q}, 'yes')`."""
    for part in subexpressions(token):
        if part.symbol in ("=", "!=", "selected"):
            sides = {side.symbol: side.value for side in part}
            if sides.keys() == {"$", "(string)"}:
                yield sides["$"], sides["(string)"]


def write_expression(token: Token, atom: Callable[[Token], str] | None = None) -> str:
    """Write an expression as XLSForm text. With `atom`, whatever is not `and`, `or` or parentheses is written by it."""
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
    """Write an expression with every open question counted as a yes: each comparison may also hold by not knowing.

    `unknown` names the node that is '1' while a question is open, or None if it never is. Whatever is under a `not`
    is one comparison: it may hold as soon as any question in it is open.
    """

    def atom(part: Token) -> str:
        nodes = filter(None, map(unknown, dict.fromkeys(referenced_questions(part))))
        terms = [write_expression(part), *(f"${{{node}}} = '1'" for node in nodes)]
        return f"({' or '.join(terms)})" if len(terms) > 1 else terms[0]

    return write_expression(token, atom)


@dataclass(frozen=True)
class Comparison:
    """One comparison of a `when`: `${question} operator value`, operator being `selected` or a comparison."""

    question: str
    operator: str
    value: str


@dataclass(frozen=True)
class When:
    """A row's condition in the sheet `indicators`, as a tree and as the comparisons in it."""

    token: Token
    atoms: tuple[Comparison, ...]

    @property
    def certain(self) -> str:
        """The condition with an open question counted as a no, which is how XPath reads it."""
        return write_expression(self.token)

    def possible(self, unknown: Callable[[str], str | None]) -> str:
        """The condition with an open question counted as a yes."""
        return write_possible(self.token, unknown)

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions it rests on, each once, in order."""
        return tuple(dict.fromkeys(atom.question for atom in self.atoms))


def parse_when(row: Row, *, fact: bool = False) -> When:
    """Parse the `when` of an indicator, or of a fact, which alone may ask for `no_answer` or a blank.

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
            f"'{written}' is no comparison; write for example ${{question}} = 'yes'",
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
            f"'{written}': not answering is no indicator; it counts as unknown by itself",
        )
    return atom
