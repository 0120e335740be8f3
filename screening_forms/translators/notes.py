"""What a translator sees beside each text: where in the form it stands, its answers, and when it is asked, in Spanish.

Written into `.po` files as extracted comments; nothing reads them back.
"""

from __future__ import annotations

from collections.abc import Iterator

from screening_forms.expressions.parser import COMPARISONS, ExpressionError, Token, parse_expression, write_expression
from screening_forms.languages import SOURCE
from screening_forms.texts.translations import TranslatableText
from screening_forms.workbook.columns import SELECT_TYPE, cell_text
from screening_forms.workbook.reader import Row, Workbook

_MOST_ANSWERS = 12
_PARTS = {
    "label": "texto que se lee",
    "hint": "indicación para quien entrevista",
    "guidance_hint": "ayuda para quien entrevista",
    "constraint_message": "aviso si la respuesta no vale",
    "required_message": "aviso si falta la respuesta",
}
_WORDS = {"=": "es", "!=": "no es", "<": "es menor que", "<=": "es como mucho"}
_WORDS |= {">": "es mayor que", ">=": "es como poco", "selected": "incluye"}


class TranslatorNotes:
    """The notes of one form's texts."""

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
        """The note of one text, one fact a line."""
        place = f"{_PARTS[entry.part]}; hoja {entry.sheet}, fila {entry.row}"
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
            return self._words(parse_expression(text))
        except ExpressionError:
            return text  # The checks speak of it; a translator sees what the author wrote.

    def _words(self, token: Token) -> str:
        if token.symbol in ("and", "or"):
            return {"and": " y ", "or": " o "}[token.symbol].join(map(self._words, token))
        if token.symbol == "(":
            return f"({self._words(token[0])})"
        if token.symbol in (*COMPARISONS, "selected") and token[0].symbol == "$":
            return f"{self._asked(token[0].value)} {_WORDS[token.symbol]} {self._value(token[0].value, token[1])}"
        return write_expression(token)

    def _asked(self, name: str) -> str:
        row = self._questions.get(name)
        return (_quoted(cell_text(row, "label", SOURCE)) if row else "") or name

    def _value(self, question: str, token: Token) -> str:
        row = self._questions.get(question)
        found = SELECT_TYPE.match(row.get("type")) if row else None
        choices = self._choices.get(found[1], []) if found else []
        labels = (cell_text(each, "label", SOURCE) for each in choices if each.get("name") == token.value)
        return next((_quoted(label) for label in labels if label), write_expression(token))


def _groups(workbook: Workbook) -> Iterator[tuple[int, Row]]:
    """Each row's innermost group, by the row's number."""
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
