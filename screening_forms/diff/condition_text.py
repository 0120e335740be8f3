"""Contains the words for a compiled form's conditions, in Spanish and in English.

Authors and reviewers read them in the list of changes. Choices appear with their Spanish labels, questions with their
names. The words for operators are in `expressions/condition_words.py`.
"""

from __future__ import annotations

from functools import partial

from screening_forms.diff.form_model import FormModel
from screening_forms.expressions.condition_words import ENGLISH, SPANISH, ConditionVocabulary, describe_expression
from screening_forms.expressions.parser import ExpressionError, Token, parse_expression, write_expression
from screening_forms.languages import Bilingual

_QUOTES = {"es": "«{}»", "en": "'{}'"}
_BLANK = {"es": "blanco", "en": "blank"}
_NUMBER_OF_ANSWERS = {"es": "el número de respuestas de {}", "en": "the number of answers to {}"}


def condition_words(condition: str, form: FormModel, asked: str = "") -> Bilingual:
    """Return a condition in words; `asked` is the question that a dot stands for.

    A condition that does not parse is returned as written.
    """
    if not condition:
        return Bilingual(SPANISH.functions["true"], ENGLISH.functions["true"])
    try:
        token = parse_expression(condition)
    except ExpressionError:
        return Bilingual(condition, condition)
    return Bilingual(_describe(token, form, asked, "es", SPANISH), _describe(token, form, asked, "en", ENGLISH))


def quoted(text: str) -> Bilingual:
    """Return a text between the quotes of each language."""
    return Bilingual(_QUOTES["es"].format(text), _QUOTES["en"].format(text))


def _describe(token: Token, form: FormModel, asked: str, language: str, vocabulary: ConditionVocabulary) -> str:
    operand = partial(_operand_words, asked=asked, language=language)

    def value(left: Token, right: Token) -> str:
        if right.symbol == "(string)":
            return _choice_words(left, str(right.value), form, asked, language)
        return operand(right)

    return describe_expression(token, vocabulary, operand, value)


def _operand_words(token: Token, asked: str, language: str) -> str:
    if token.symbol in ("$", ".") and (name := str(token.value) if token.symbol == "$" else asked):
        return _QUOTES[language].format(name)
    if token.symbol == "count-selected":
        return _NUMBER_OF_ANSWERS[language].format(_operand_words(token[0], asked, language))
    return write_expression(token)


def _choice_words(question: Token, code: str, form: FormModel, asked: str, language: str) -> str:
    if not code:
        return _BLANK[language]
    item = form.items.get(str(question.value) if question.symbol == "$" else asked)
    found = form.lists.get(item.rules.get("choices", ""), {}).get(code) if item else None
    return _QUOTES[language].format(found.label if found else code)
