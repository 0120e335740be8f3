"""Writes a translator's note for each text: its place in the form, its choices and its condition, in Spanish.

`po_files.py` stores the notes in `.po` files as extracted comments, so that a translator sees the context. No program
may read them back.
"""

from __future__ import annotations

from collections.abc import Iterator

from screening_forms.expressions.condition_words import SPANISH_NOTES, describe_expression
from screening_forms.expressions.parser import ExpressionError, Token, parse_expression, write_expression
from screening_forms.languages import SOURCE
from screening_forms.texts.translations import TranslatableText
from screening_forms.workbook.columns import PART_WORDS, SELECT_TYPE, cell_text
from screening_forms.workbook.reader import Row, Workbook

_MOST_ANSWERS = 12


class TranslatorNotes:
    """Writes the notes for the texts of one form."""

    def __init__(self, workbook: Workbook) -> None:
        self._questions = {row.get("name"): row for row in workbook.survey if row.get("name")}
        self._choices: dict[str, list[Row]] = {}
        for row in workbook.choices:
            self._choices.setdefault(row.get("list_name"), []).append(row)
        self._groups = dict(_groups(workbook))
        self._askers: dict[str, list[str]] = {}
        for row in workbook.survey:
            if found := SELECT_TYPE.match(row.get("type")):
                self._askers.setdefault(found[1], []).append(row.get("name"))

    def note_for(self, entry: TranslatableText) -> str:
        """Return the note of one text, one fact per line."""
        place = f"{PART_WORDS[entry.part].use_es}; hoja {entry.sheet}, fila {entry.row}"
        item = entry.context.split("/")[1]
        facts = self._choice(item) if entry.sheet == "choices" else self._question(self._questions[item])
        return "\n".join([place, *facts])

    def _question(self, row: Row) -> Iterator[str]:
        yield f"pregunta {row.get('name')}, tipo {row.get('type')}"
        group = self._groups.get(row.number)
        if group is not None:
            yield f"grupo {group.get('name')}: {_quoted(cell_text(group, 'label', SOURCE))}"
        if answers := self._answers(row):
            yield f"respuestas: {answers}"
        if relevant := row.get("relevant"):
            yield f"solo si {self._condition(relevant)}"

    def _choice(self, item: str) -> Iterator[str]:
        name = item.partition(".")[0]
        yield f"respuesta {item}"
        if askers := self._askers.get(name):
            shown = ", ".join(
                f"{asker} {_quoted(cell_text(self._questions[asker], 'label', SOURCE))}" for asker in askers[:3]
            )
            yield f"de: {shown}" + (f" y {len(askers) - 3} preguntas más" if len(askers) > 3 else "")

    def _answers(self, row: Row) -> str:
        found = SELECT_TYPE.match(row.get("type"))
        choices = self._choices.get(found[1], []) if found else []
        shown = [f"{each.get('name')} {_quoted(cell_text(each, 'label', SOURCE))}" for each in choices[:_MOST_ANSWERS]]
        more = len(choices) - _MOST_ANSWERS
        return ", ".join(shown) + (f" y {more} más" if more > 0 else "")

    def _condition(self, text: str) -> str:
        try:
            return describe_expression(parse_expression(text), SPANISH_NOTES, self._operand_words, self._value_words)
        except ExpressionError:
            return text  # The checks report the error; a translator sees the author's text.

    def _operand_words(self, token: Token) -> str:
        if token.symbol != "$":
            return ""
        row = self._questions.get(token.value)
        return (_quoted(cell_text(row, "label", SOURCE)) if row else "") or token.value

    def _value_words(self, question: Token, token: Token) -> str:
        row = self._questions.get(question.value)
        found = SELECT_TYPE.match(row.get("type")) if row else None
        choices = self._choices.get(found[1], []) if found else []
        labels = (cell_text(each, "label", SOURCE) for each in choices if each.get("name") == token.value)
        return next((_quoted(label) for label in labels if label), write_expression(token))


def _groups(workbook: Workbook) -> Iterator[tuple[int, Row]]:
    """Yield row number and innermost group of each row inside a group."""
    opened: list[Row] = []
    for row in workbook.survey:
        kind = row.get("type").replace(" ", "_")
        if kind == "end_group":
            opened = opened[:-1]
        elif opened:
            yield row.number, opened[-1]
        if kind == "begin_group":
            opened.append(row)


def _quoted(text: str) -> str:
    return f"«{text}»" if text else ""
