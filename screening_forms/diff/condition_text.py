"""Reads a form's conditions aloud: `${edad}='14_17'` becomes «edad» es «14 a 17 años», in Spanish and in English.

Called to tell authors and reviewers what changed; choices are said with their Spanish labels.
"""

from __future__ import annotations

from screening_forms.diff.form_model import FormModel
from screening_forms.expressions.parser import ExpressionError, Token, parse_expression, write_expression
from screening_forms.languages import Bilingual

_JOINS = {"and": Bilingual(" y ", " and "), "or": Bilingual(" o ", " or ")}
_COMPARED = {
    "=": Bilingual("es", "is"),
    "!=": Bilingual("no es", "is not"),
    "selected": Bilingual("incluye", "includes"),
    "<": Bilingual("es menos de", "is less than"),
    "<=": Bilingual("es a lo más", "is at most"),
    ">": Bilingual("es más de", "is more than"),
    ">=": Bilingual("es al menos", "is at least"),
}
ALWAYS = Bilingual("siempre", "always")
NEVER = Bilingual("nunca", "never")


def condition_words(condition: str, form: FormModel, asked: str = "") -> Bilingual:
    """Say a condition; `asked` is the question that a dot stands for. What cannot be read aloud is shown as written."""
    if not condition:
        return ALWAYS
    try:
        return _expression_words(parse_expression(condition), form, asked)
    except ExpressionError:
        return Bilingual(condition, condition)


def _expression_words(token: Token, form: FormModel, asked: str) -> Bilingual:
    if token.symbol in _JOINS:
        parts, join = [_expression_words(part, form, asked) for part in token], _JOINS[token.symbol]
        return Bilingual(join.es.join(part.es for part in parts), join.en.join(part.en for part in parts))
    if token.symbol in ("(", "not"):
        inside, before = _expression_words(token[0], form, asked), token.symbol == "not"
        return Bilingual(f"{'no ' * before}({inside.es})", f"{'not ' * before}({inside.en})")
    if token.symbol in ("true", "false"):
        return ALWAYS if token.symbol == "true" else NEVER
    if token.symbol in _COMPARED and len(token) == 2:
        word, (left, right) = _COMPARED[token.symbol], (_operand_words(part, asked) for part in token)
        if token[1].symbol == "(string)":
            right = _choice_words(token[0], str(token[1].value), form, asked)
        return Bilingual(f"{left.es} {word.es} {right.es}", f"{left.en} {word.en} {right.en}")
    written = write_expression(token)
    return Bilingual(written, written)


def _operand_words(token: Token, asked: str) -> Bilingual:
    if token.symbol in ("$", ".") and (name := str(token.value) if token.symbol == "$" else asked):
        return quoted(name)
    if token.symbol == "count-selected":
        inside = _operand_words(token[0], asked)
        return Bilingual(f"el número de respuestas de {inside.es}", f"the number of answers to {inside.en}")
    written = write_expression(token)
    return Bilingual(written, written)


def _choice_words(question: Token, code: str, form: FormModel, asked: str) -> Bilingual:
    if not code:
        return Bilingual("blanco", "blank")
    item = form.items.get(str(question.value) if question.symbol == "$" else asked)
    found = form.lists.get(item.rules.get("choices", ""), {}).get(code) if item else None
    return quoted(found.label if found else code)


def quoted(text: str) -> Bilingual:
    """A text between the quotes of each language."""
    return Bilingual(f"«{text}»", f"'{text}'")
