"""Reads a form's conditions aloud: `${edad}='14_17'` becomes «edad» es «14 a 17 años», in Spanish and in English.

Called to tell authors and reviewers what changed; choices are said with their Spanish labels.
"""

from __future__ import annotations

from screening_forms.diff.changes import Said
from screening_forms.diff.form_model import Anatomy
from screening_forms.expressions import parser as expressions
from screening_forms.expressions.parser import ExpressionError, Token

_JOINS = {"and": Said(" y ", " and "), "or": Said(" o ", " or ")}
_COMPARED = {
    "=": Said("es", "is"),
    "!=": Said("no es", "is not"),
    "selected": Said("incluye", "includes"),
    "<": Said("es menos de", "is less than"),
    "<=": Said("es a lo más", "is at most"),
    ">": Said("es más de", "is more than"),
    ">=": Said("es al menos", "is at least"),
}
ALWAYS = Said("siempre", "always")
NEVER = Said("nunca", "never")


def say(condition: str, form: Anatomy, asked: str = "") -> Said:
    """Say a condition; `asked` is the question that a dot stands for. What cannot be read aloud is shown as written."""
    if not condition:
        return ALWAYS
    try:
        return _say(expressions.parse(condition), form, asked)
    except ExpressionError:
        return Said(condition, condition)


def _say(token: Token, form: Anatomy, asked: str) -> Said:
    if token.symbol in _JOINS:
        parts, join = [_say(part, form, asked) for part in token], _JOINS[token.symbol]
        return Said(join.es.join(part.es for part in parts), join.en.join(part.en for part in parts))
    if token.symbol in ("(", "not"):
        inside, before = _say(token[0], form, asked), token.symbol == "not"
        return Said(f"{'no ' * before}({inside.es})", f"{'not ' * before}({inside.en})")
    if token.symbol in ("true", "false"):
        return ALWAYS if token.symbol == "true" else NEVER
    if token.symbol in _COMPARED and len(token) == 2:
        word, (left, right) = _COMPARED[token.symbol], (_operand(part, asked) for part in token)
        if token[1].symbol == "(string)":
            right = _choice(token[0], str(token[1].value), form, asked)
        return Said(f"{left.es} {word.es} {right.es}", f"{left.en} {word.en} {right.en}")
    written = expressions.write(token)
    return Said(written, written)


def _operand(token: Token, asked: str) -> Said:
    if token.symbol in ("$", ".") and (name := str(token.value) if token.symbol == "$" else asked):
        return quoted(name)
    if token.symbol == "count-selected":
        inside = _operand(token[0], asked)
        return Said(f"el número de respuestas de {inside.es}", f"the number of answers to {inside.en}")
    written = expressions.write(token)
    return Said(written, written)


def _choice(question: Token, code: str, form: Anatomy, asked: str) -> Said:
    if not code:
        return Said("blanco", "blank")
    item = form.items.get(str(question.value) if question.symbol == "$" else asked)
    found = form.lists.get(item.rules.get("choices", ""), {}).get(code) if item else None
    return quoted(found.label if found else code)


def quoted(text: str) -> Said:
    """A text between the quotes of each language."""
    return Said(f"«{text}»", f"'{text}'")
