"""The Spanish and English words for conditions: `${edad}='14_17'` becomes "«edad» es «14 a 17 años»".

Authors, translators and reviewers read the conditions of forms and of policies in one wording. This module must read
no form: its callers return the words for questions and choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from screening_forms.expressions.parser import Token, write_expression
from screening_forms.rules.policy import Condition


@dataclass(frozen=True)
class ConditionVocabulary:
    """The words of one language. A condition keeps its XPath text where neither mapping has its symbol."""

    joins: Mapping[str, str]
    comparisons: Mapping[str, str]
    functions: Mapping[str, str]


SPANISH = ConditionVocabulary(
    joins={"and": " y ", "or": " o "},
    comparisons={
        "=": "es",
        "!=": "no es",
        "selected": "incluye",
        "<": "es menos de",
        "<=": "es a lo más",
        ">": "es más de",
        ">=": "es al menos",
    },
    functions={"not": "no ", "true": "siempre", "false": "nunca"},
)
ENGLISH = ConditionVocabulary(
    joins={"and": " and ", "or": " or "},
    comparisons={
        "=": "is",
        "!=": "is not",
        "selected": "includes",
        "<": "is less than",
        "<=": "is at most",
        ">": "is more than",
        ">=": "is at least",
    },
    functions={"not": "not ", "true": "always", "false": "never"},
)
SPANISH_NOTES = replace(
    SPANISH,
    comparisons={
        **SPANISH.comparisons,
        "<": "es menor que",
        "<=": "es como mucho",
        ">": "es mayor que",
        ">=": "es como poco",
    },
    functions={},
)
"""For the notes in `.po` files. Other words would change every catalogue that a translator holds."""


def describe_expression(
    token: Token,
    vocabulary: ConditionVocabulary,
    operand: Callable[[Token], str],
    value: Callable[[Token, Token], str],
) -> str:
    """Return a form's condition in words.

    `operand` returns the words for the left side of a comparison; if it returns "", the comparison keeps its XPath
    text. `value` receives both sides and returns the words for the right one.
    """

    def words(token: Token) -> str:
        symbol = token.symbol
        if symbol in vocabulary.joins:
            return vocabulary.joins[symbol].join(map(words, token))
        if symbol == "(":
            return f"({words(token[0])})"
        if symbol in vocabulary.functions:
            return vocabulary.functions[symbol] + (f"({words(token[0])})" if len(token) else "")
        if symbol in vocabulary.comparisons and len(token) == 2 and (left := operand(token[0])):
            return f"{left} {vocabulary.comparisons[symbol]} {value(*token)}"
        return write_expression(token)

    return words(token)


def describe_policy_condition(condition: Condition, vocabulary: ConditionVocabulary, name: Callable[[str], str]) -> str:
    """Return a policy's condition in words, without outer parentheses; `name` returns the words for a name."""

    def words(condition: Condition) -> str:
        if condition.op == "name":
            return name(condition.name)
        parts = (words(part) if part.op == "name" else f"({words(part)})" for part in condition.parts)
        return vocabulary.joins[condition.op].join(parts)

    return words(condition)
