"""The small XPath that our forms may use: parsing it, writing it back, and Kleene's three values in it.

Conditions over answers are read here for the compiler (which writes them into calculates) and for the engine (which
turns them into Python). Nothing is evaluated here, and nothing beyond `FUNCTIONS` and `OPERATORS` is understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from screening_forms.errors import FormError, FormProblem
from screening_forms.workbook import Row

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
OPERATORS = ("and", "or", "+", "-", *COMPARISONS)
FUNCTIONS = ("not", "true", "false", "concat", "if", "selected", "count-selected")
LITERALS = ("(string)", "(integer)", "(decimal)")
NO_ANSWERS = ("no_answer", "does_not_know")
"""Choices that leave the question open; blank is the third way of not answering."""

_NAME = r"[^\d\W][\w.-]*"
_WORD = re.compile(
    r"""(?P<string>'[^']*'|"[^"]*")"""
    rf"|\$\{{\s*(?P<asked>{_NAME})\s*\}}|/(?:[\w.-]+/)+(?P<node>{_NAME})(?![\w./-])"
    rf"|(?P<decimal>\d{{1,9}}\.\d{{1,9}})(?![\w.])|(?P<integer>\d{{1,9}})(?![\w.])|(?P<name>{_NAME})"
    r"|(?P<mark><=|>=|!=|[=<>+(),.-])|(?P<strange>\S)"
)
_BINDING = {"or": 1, "and": 2, **dict.fromkeys(COMPARISONS, 3), "+": 4, "-": 4}
_SIGN = 5
_ARGUMENTS = {"not": 1, "true": 0, "false": 0, "if": 3, "selected": 2, "count-selected": 1}
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


class ExpressionError(ValueError):
    """An expression outside our language: a stable code, and the advice in both languages."""

    def __init__(self, code: str, advice_es: str, advice_en: str) -> None:
        self.code, self.advice_es, self.advice_en = code, advice_es, advice_en
        super().__init__(advice_en)

    def at(self, row: Row, column: str) -> FormProblem:
        """Name the cell that holds the expression."""
        return FormProblem(row.sheet, row.number, column, self.code, self.advice_es, self.advice_en)


@lru_cache(maxsize=4096)
def parse(text: str) -> Token:
    """Parse an expression; `${name}` of a workbook and `/data/group/name` of a compiled form are the same reference."""
    try:
        return _Reading(text).whole()
    except SyntaxError as error:
        raise ExpressionError(
            "expression.syntax",
            f"no se entiende «{text}»; se puede usar: {' '.join(OPERATORS)} y {' '.join(FUNCTIONS)}",
            f"'{text}' is not understood ({error}); allowed: {' '.join(OPERATORS)} and {' '.join(FUNCTIONS)}",
        ) from error


class _Reading:
    """One expression while it is read, word by word: operators bind as in XPath 1.0."""

    def __init__(self, text: str) -> None:
        found = ((match.lastgroup or "", match[match.lastgroup or 0]) for match in _WORD.finditer(text))
        self.words = [*found, ("end", "")][::-1]
        self.depth = 0

    def whole(self) -> Token:
        token = self._expression(0)
        self._take("")
        return token

    def _expression(self, binding: int) -> Token:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise SyntaxError("too much in one another")
        left = self._operand()
        while (stronger := _BINDING.get(self._operator(), 0)) > binding:
            symbol, right = self.words.pop()[1], self._expression(stronger)
            if left.symbol in COMPARISONS and symbol in COMPARISONS:
                raise SyntaxError("a comparison of comparisons")
            chained = left.parts if left.symbol == symbol and symbol in ("and", "or", "+") else (left,)
            left = Token(symbol, parts=(*chained, right))
        self.depth -= 1
        return left

    def _operator(self) -> str:
        kind, word = self.words[-1]
        return word if kind in ("mark", "name") else ""

    def _operand(self) -> Token:
        kind, word = self.words.pop()
        if kind == "string":
            return Token("(string)", word[1:-1])
        if kind in ("asked", "node"):
            return Token("$", word)
        if kind == "integer":
            return Token("(integer)", str(int(word)))
        if kind == "decimal":
            return Token("(decimal)", word)
        if kind == "name" and self.words[-1][1] == "(":
            return Token(word, parts=self._arguments(word))
        if kind == "name" and word not in OPERATORS:
            return Token("(name)", word)
        if word == ".":
            return Token(".")
        if word == "-":
            return Token("-", parts=(self._expression(_SIGN),))
        if word == "(":
            inside = self._expression(0)
            self._take(")")
            return Token("(", parts=(inside,))
        raise SyntaxError(f"unexpected {word!r}" if word else "it ends too early")

    def _arguments(self, function: str) -> tuple[Token, ...]:
        if function not in FUNCTIONS:
            raise SyntaxError(f"unknown function {function!r}")
        self._take("(")
        found: list[Token] = []
        while self.words[-1][1] != ")":
            if found:
                self._take(",")
            found.append(self._expression(0))
        self._take(")")
        if len(found) != _ARGUMENTS.get(function, max(len(found), 2)):
            raise SyntaxError(f"{function}() takes another number of arguments")
        return tuple(found)

    def _take(self, wanted: str) -> None:
        word = self.words.pop()[1]
        if word != wanted:
            raise SyntaxError(f"{wanted or 'its end'!r} expected, found {word or 'its end'!r}")


def parts(token: Token) -> Iterator[Token]:
    """Yield the expression and every part of it, in order of appearance."""
    waiting = [token]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(part.parts))


def references(token: Token) -> Iterator[str]:
    """Yield every question that is referred to, in order of appearance."""
    return (part.value for part in parts(token) if part.symbol == "$")


def comparisons(token: Token) -> Iterator[tuple[str, str]]:
    """Yield every question and the text that it is held against, as in `${q} = 'yes'` or `selected(${q}, 'yes')`."""
    for part in parts(token):
        if part.symbol in ("=", "!=", "selected"):
            sides = {side.symbol: side.value for side in part}
            if sides.keys() == {"$", "(string)"}:
                yield sides["$"], sides["(string)"]


def write(token: Token, atom: Callable[[Token], str] | None = None) -> str:
    """Write an expression as XLSForm text. With `atom`, whatever is not `and`, `or` or parentheses is written by it."""
    symbol = token.symbol
    if symbol in ("and", "or"):
        return f" {symbol} ".join(write(part, atom) for part in token)
    if symbol == "(":
        return f"({write(token[0], atom)})"
    if atom is not None:
        return atom(token)
    if symbol == "$":
        return f"${{{token.value}}}"
    if symbol == "(string)":
        return f'"{token.value}"' if "'" in token.value else f"'{token.value}'"
    if symbol in FUNCTIONS:
        return f"{symbol}({', '.join(write(part) for part in token)})"
    if len(token) > 1:
        return f" {symbol} ".join(map(write, token))
    return symbol + write(token[0]) if len(token) else token.value or symbol


def possible(token: Token, unknown: Callable[[str], str | None]) -> str:
    """Write an expression with every open question counted as a yes: each comparison may also hold by not knowing.

    `unknown` names the node that is '1' while a question is open, or None if it never is. Whatever is under a `not`
    is one comparison: it may hold as soon as any question in it is open.
    """

    def atom(part: Token) -> str:
        nodes = filter(None, map(unknown, dict.fromkeys(references(part))))
        terms = [write(part), *(f"${{{node}}} = '1'" for node in nodes)]
        return f"({' or '.join(terms)})" if len(terms) > 1 else terms[0]

    return write(token, atom)


@dataclass(frozen=True)
class Atom:
    """One comparison of a `when`: `${question} operator value`, operator being `selected` or a comparison."""

    question: str
    operator: str
    value: str


@dataclass(frozen=True)
class When:
    """A row's condition in the sheet `indicators`, as a tree and as the comparisons in it."""

    token: Token
    atoms: tuple[Atom, ...]

    @property
    def certain(self) -> str:
        """The condition with an open question counted as a no, which is how XPath reads it."""
        return write(self.token)

    def possible(self, unknown: Callable[[str], str | None]) -> str:
        """The condition with an open question counted as a yes."""
        return possible(self.token, unknown)

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions it rests on, each once, in order."""
        return tuple(dict.fromkeys(atom.question for atom in self.atoms))


def parse_when(row: Row, *, fact: bool = False, column: str = "when") -> When:
    """Parse the `when` of an indicator, or of a fact, which alone may ask for `no_answer` or a blank.

    Raises FormError with every problem of the cell.
    """
    problems: list[FormProblem] = []
    atoms: list[Atom] = []

    def check(part: Token) -> str:
        try:
            atoms.append(_atom(part, fact))
        except ExpressionError as error:
            problems.append(error.at(row, column))
        return write(part)

    try:
        token = parse(row.get(column))
    except ExpressionError as error:
        raise FormError([error.at(row, column)]) from error
    write(token, check)
    if problems:
        raise FormError(problems)
    return When(token, tuple(atoms))


def _atom(token: Token, fact: bool) -> Atom:
    symbol = token.symbol
    if symbol in ("not", "!="):
        raise ExpressionError(
            "when.negation",
            f"«{write(token)}»: «not» y «!=» también son ciertos en blanco; escriba por ejemplo ${{pregunta}} = 'no'",
            f"'{write(token)}': 'not' and '!=' hold for a blank too; write for example ${{question}} = 'no'",
        )
    if symbol not in (*COMPARISONS, "selected"):
        raise ExpressionError(
            "when.bare_condition",
            f"«{write(token)}» no es una comparación; escriba por ejemplo ${{pregunta}} = 'yes'",
            f"'{write(token)}' is no comparison; write for example ${{question}} = 'yes'",
        )
    if token[0].symbol != "$" or token[1].symbol not in LITERALS:
        raise ExpressionError(
            "when.operands",
            f"«{write(token)}»: compare una pregunta ${{...}} (a la izquierda) con un valor fijo (a la derecha)",
            f"'{write(token)}': compare one question ${{...}} (left) with one fixed value (right)",
        )
    atom = Atom(token[0].value, symbol, token[1].value)
    if not fact and atom.value in ("", *NO_ANSWERS):
        raise ExpressionError(
            "when.open_answer",
            f"«{write(token)}»: no responder no es un indicador; queda sin saber por sí solo",
            f"'{write(token)}': not answering is no indicator; it counts as unknown by itself",
        )
    return atom
