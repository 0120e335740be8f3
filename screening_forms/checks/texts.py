"""What can be wrong with the Spanish texts that are read aloud to a tired person. Called by checks.py, one function per
thing; the other languages are in language_checks.py."""

import re
from collections.abc import Iterator

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormProblem
from screening_forms.languages import LANGUAGES, SOURCE
from screening_forms.problems import problem
from screening_forms.ubigeo import district_name
from screening_forms.workbook.columns import PLACEHOLDER, cell_text, heading_language
from screening_forms.workbook.xlsform_subset import TYPES_WITH_LABEL

MAX_WORDS = 20
MAX_SIGNS = 400

_LINK = re.compile(r"https?:|www\.", re.IGNORECASE)
_MARKUP = re.compile(r"</?[a-zA-Z]|&#?\w+;|\*\*|__|^#|\]\(|`", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?…](?:\s+|$)|\n+")
_WORD = re.compile(r"[^\W_]+(?:[’'.,-][^\W_]+)*")


def check_spanish(context: CheckContext) -> Iterator[FormProblem]:
    """Whatever is shown has a Spanish text, the source of all others; INEI's names stand in for places."""
    named_by_inei = context.workbook.settings.get("ubigeo_lists", "").split()
    asked = [row for row in context.workbook.survey if row.get("type").partition(" ")[0] in TYPES_WITH_LABEL]
    for row in (*asked, *context.workbook.choices):
        headings = [h for h in context.workbook.headings[row.sheet] if h.partition("::")[0] == "label"]
        if not headings or cell_text(row, "label", SOURCE):
            continue  # `check_columns` speaks of a missing column once, not in every row
        if row.get("list_name") not in named_by_inei:
            column = next(
                (heading for heading in headings if heading_language(heading) == SOURCE), f"label::{LANGUAGES[SOURCE]}"
            )
            yield problem("label.missing", row, column)
        elif not district_name(row.get("name")):
            yield problem("choice.unknown_place", row, "name", row.get("name"))


def check_sentences(context: CheckContext) -> Iterator[FormProblem]:
    """Read aloud to a tired person: no Spanish sentence over 20 words."""
    for row, column, text in context.texts():
        if heading_language(column) == SOURCE:
            counts = (len(_WORD.findall(PLACEHOLDER.sub("x", s))) for s in _SENTENCE_END.split(text))
            if (longest := max(counts)) > MAX_WORDS:
                yield problem("text.long_sentence", row, column, longest)


def check_signs(context: CheckContext) -> Iterator[FormProblem]:
    """A text is short enough to be heard, and has no markup: some programs would show it, others read it out."""
    for row, column, text in context.texts():
        if len(text) > MAX_SIGNS:
            yield problem("text.too_long", row, column, len(text), MAX_SIGNS)
        if found := _MARKUP.search(text):
            yield problem("text.markup", row, column, found[0])


def check_links(context: CheckContext) -> Iterator[FormProblem]:
    """A link would take the person off the form, or tell another server about her; a text is the same for everybody."""
    for row, column, text in context.texts():
        if _LINK.search(text):
            yield problem("text.link", row, column)
        if PLACEHOLDER.search(text):
            yield problem("text.reference", row, column)
