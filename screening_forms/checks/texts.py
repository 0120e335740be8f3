"""Checks the Spanish texts of a form: present, short, and without markup, links or references.

Interviewers read them aloud to tired persons. Called by `run.py`; translations are checked in `translations.py`.
"""

import re
from collections.abc import Iterator

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormProblem
from screening_forms.languages import LANGUAGES, SOURCE
from screening_forms.problems import problem
from screening_forms.ubigeo import place_name
from screening_forms.workbook.columns import PLACEHOLDER, cell_text, heading_language
from screening_forms.workbook.xlsform_subset import TYPES_WITH_LABEL

MAX_WORDS = 20
MAX_SIGNS = 400

_LINK = re.compile(r"https?:|www\.", re.IGNORECASE)
_MARKUP = re.compile(r"</?[a-zA-Z]|&#?\w+;|\*\*|__|^#|\]\(|`", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?…](?:\s+|$)|\n+")
_WORD = re.compile(r"[^\W_]+(?:[’'.,-][^\W_]+)*")


def check_spanish(context: CheckContext) -> Iterator[FormProblem]:
    """Every visible row has a Spanish label, the source of all translations. For places INEI's name is enough."""
    named_by_inei = context.workbook.settings.get("ubigeo_lists", "").split()
    asked = [row for row in context.workbook.survey if row.get("type").partition(" ")[0] in TYPES_WITH_LABEL]
    for row in (*asked, *context.workbook.choices):
        headings = [h for h in context.workbook.headings[row.sheet] if h.partition("::")[0] == "label"]
        if not headings or cell_text(row, "label", SOURCE):
            continue  # `check_columns` reports a missing column once, not in every row
        if row.get("list_name") not in named_by_inei:
            column = next(
                (heading for heading in headings if heading_language(heading) == SOURCE), f"label::{LANGUAGES[SOURCE]}"
            )
            yield problem("label.missing", row, column)
        elif not place_name(row.get("name")):
            yield problem("choice.unknown_place", row, "name", row.get("name"))


def check_sentences(context: CheckContext) -> Iterator[FormProblem]:
    """No Spanish sentence has more than 20 words, because a tired person hears it read aloud."""
    for row, column, text in context.texts():
        if heading_language(column) == SOURCE:
            counts = (len(_WORD.findall(PLACEHOLDER.sub("x", s))) for s in _SENTENCE_END.split(text))
            if (longest := max(counts)) > MAX_WORDS:
                yield problem("text.long_sentence", row, column, longest)


def check_signs(context: CheckContext) -> Iterator[FormProblem]:
    """No text is longer than MAX_SIGNS characters, and none has markup: some programs show it, others read it aloud."""
    for row, column, text in context.texts():
        if len(text) > MAX_SIGNS:
            yield problem("text.too_long", row, column, len(text), MAX_SIGNS)
        if found := _MARKUP.search(text):
            yield problem("text.markup", row, column, found[0])


def check_links(context: CheckContext) -> Iterator[FormProblem]:
    """No text has a link, which could tell another server about the person, or a reference to an answer."""
    for row, column, text in context.texts():
        if _LINK.search(text):
            yield problem("text.link", row, column)
        if PLACEHOLDER.search(text):
            yield problem("text.reference", row, column)
