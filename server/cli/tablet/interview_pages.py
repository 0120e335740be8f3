"""The pages that show the form in a terminal interview: questions in the person's language, all other text in Spanish.

The inspector reads Spanish; the person may not. A page must not show an unreviewed translation, or Spanish instead of a
missing translation, without a mark. Place and keys come first; the form's words stand lower and dim: a person who looks
over a shoulder must not read them at a glance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from screening_forms.compiled_form import CompiledForm, split_mark
from screening_forms.engine.interview import Interview
from screening_forms.engine.xform_reader import Choice, Node
from screening_forms.languages import FALLBACK, LANGUAGES, SOURCE
from server.cli.page_layout import Page

QUESTION_KEYS = ("< atrás", ". parar", "* peligro", "! ocultar", "? ayuda")
OTHER_KEYS = ("* peligro", "! ocultar")
ENOUGH = "Ya alcanza. Siga solo si la persona quiere; para terminar: ."
OPEN_CONSENT = "La persona no dijo ni sí ni no a pedir ayuda. Eso no es un no."
_TYPING_HINTS = {
    "select_one": "Escriba el número",
    "select_multiple": "Escriba los números, con espacios",
    "integer": "Escriba un número entero",
    "date": "Escriba la fecha, día/mes/año",
    "text": "Escriba la respuesta",
    "note": "Enter para seguir.",
    "acknowledge": "La palabra ok confirma. Enter, para dejarlo así.",
}
DIM, DIM_TITLE = "dim", "dim underline"
_COLUMNS_FROM = 12  # Lists with more choices are printed in columns.


@dataclass(frozen=True)
class ShownText:
    """A text and its `state`: "draft", "fallback" (Spanish, because the translation is missing), or ""."""

    text: str
    state: str = ""

    @classmethod
    def of(cls, texts: Mapping[str, str], language: str) -> ShownText:
        """Choose the text of a language, or Spanish when there is no translation."""
        spanish, own = texts.get(SOURCE) or texts.get("", ""), texts.get(language, "")
        text, state = split_mark(own)
        if language != SOURCE and state != "reviewed":
            return cls(text, state)
        if language == SOURCE or own not in ("", "-", spanish):
            return cls(own or spanish)
        return cls(spanish, "fallback" if spanish else "")

    def marked(self, *, all_drafts: bool) -> str:
        """Return the text with its mark. With `all_drafts` the page header marks drafts once for all texts."""
        if self.state == "draft" and not all_drafts:
            return f"{self.text} [borrador]"
        return f"{self.text} (es)" if self.state == "fallback" else self.text


def question_page(
    form: CompiledForm, interview: Interview, node: Node, language: str, message: str, recorded: frozenset[str]
) -> Page:
    """Show one question or note, and the message about a rejected answer; earlier answers are not shown.

    `recorded`: the SHA-256 of the recordings that are on the tablet.
    """
    nodes = interview.engine.nodes
    group, label, hint = (
        ShownText.of(texts, language)
        for texts in (nodes[node.group].label if node.group else {}, node.label, node.hint)
    )
    options = _choice_texts(interview.choices(node), language)
    own = [said for said in (group, label, hint, *options) if said.text and said.state != "fallback"]
    drafts = bool(own) and all(said.state == "draft" for said in own)
    body: list[RenderableType] = [Text(group.marked(all_drafts=drafts), DIM_TITLE)] if group.text else []
    if node == interview.guidance and is_no_refusal(interview):
        body.append(Text(OPEN_CONSENT))
    body.append(Text(label.marked(all_drafts=drafts), DIM))
    if hint.text:
        body.append(Padding(Text(f"({hint.marked(all_drafts=drafts)})", "dim italic"), (0, 0, 0, 2)))
    if heard := recorded_language(form, node, language, recorded):
        body.append(Text(f"Hay audio de este texto en {heard}. Esta pantalla no lo toca.", DIM))
    if options:
        body.append(numbered_list([said.marked(all_drafts=drafts) for said in options], DIM))
    told = [Text(ENOUGH, DIM)] if interview.has_enough else []
    head = [*page_header(form, language, drafts=drafts, place=place_in_interview(interview, node)), *told]
    return page(body, _typing_hint(node, interview), message, head=head, keys=QUESTION_KEYS)


def is_no_refusal(interview: Interview) -> bool:
    """True if the guidance must say that open consent is no refusal. In danger, consent is not needed."""
    return interview.has_open_consent and not interview.is_in_danger


def place_in_interview(interview: Interview, node: Node) -> str:
    """Return the place of a question among those that had a turn and those that are due."""
    turns = interview.turns
    place = turns.index(node.name) if node.name in turns else len(turns)
    total = len({*turns, *(due.name for due in interview.due)})
    return f"{place + 1} de {total}"


def recorded_language(form: CompiledForm, node: Node, language: str, recorded: frozenset[str]) -> str:
    """Return the language of the recording of a question's text, if the tablet has one; else "".

    A text that is shown in Spanish, for want of a translation, has the Spanish recording.
    """
    shown = ShownText.of(node.label, language)
    heard = FALLBACK.get(language, language) if shown.state == "fallback" else language
    entry = form.audio.get(heard, {}).get(f"{form.form_id}/{node.name}/label")
    return LANGUAGES[heard] if entry and entry["sha256"] in recorded else ""


def _typing_hint(node: Node, interview: Interview) -> str:
    if node.type in ("note", "acknowledge"):
        return _TYPING_HINTS[node.type]
    had = " Enter: dejarla como está." if node.name in interview.turns else ""
    may = " (respuesta necesaria)." if interview.is_required(node) else ", o - para no responder."
    return _TYPING_HINTS[node.type] + may + had


def answer_in_words(interview: Interview, node: Node, language: str) -> str:
    """Return an answer as text: the labels of the choices, or the typed text."""
    text = interview.answers.get(node.name, "")
    if not text:
        return "(sin respuesta)"
    if not node.choices:
        return text
    return "; ".join(ShownText.of(node.choices[code].label, language).marked(all_drafts=True) for code in text.split())


def _choice_texts(choices: Sequence[Choice], language: str) -> list[ShownText]:
    """The choices' texts. A list without any translation holds proper names and gets no mark."""
    options = [ShownText.of(choice.label, language) for choice in choices]
    names = all(said.state == "fallback" for said in options)
    return [ShownText(said.text) for said in options] if names else options


def numbered_list(texts: Sequence[str], style: str = "") -> RenderableType:
    """Return texts with their numbers, one below the other; a long list in columns."""
    width = len(str(len(texts)))
    if len(texts) > _COLUMNS_FROM:
        lines = [_folded(f" {number:>{width}}  {text}", style) for number, text in enumerate(texts, 1)]
        return Columns(lines, column_first=True, padding=(0, 2))
    rows = Table.grid(padding=(0, 2, 0, 1))
    rows.add_column(justify="right", no_wrap=True, min_width=width)
    rows.add_column()
    for number, text in enumerate(texts, 1):
        rows.add_row(str(number), _folded(text, style))
    return rows


def _folded(text: str, style: str) -> Text:
    """Return a text for a table. A word that is longer than its column goes on below; the library would cut it off."""
    return Text(text, style, overflow="fold")


def page_header(form: CompiledForm, language: str, *, drafts: bool, place: str = "") -> list[RenderableType]:
    """Return one line: the place in the interview, the mark of a training form, and the language."""
    training = ["ENTRENAMIENTO"] if form.channel == "training" else []
    spoken = [] if language == SOURCE else [LANGUAGES[language] + (", borrador sin revisar" if drafts else "")]
    told = [place, *training, *spoken] if place else [*training, *spoken]
    return [Text(" · ".join(told), DIM)] if told else []


def page(
    body: Iterable[RenderableType],
    how: str,
    message: str = "",
    *,
    head: Sequence[RenderableType] = (),
    keys: Sequence[str] = OTHER_KEYS,
) -> Page:
    """Return a page: place and keys first, the body lower, then the message and what to type."""
    said: list[RenderableType] = [Text(message, "bold")] if message else []
    hints = Columns([_folded(each, DIM) for each in keys], (0, 2))
    return Page([*head, hints], ["", *body], [*said, Text(how)])


def review_page(form: CompiledForm, interview: Interview, language: str, message: str) -> Page:
    """Show every answer. Only the word `revisar` opens it."""
    width = len(str(len(interview.reviewed)))
    rows = Table.grid(padding=(0, 2, 0, 1))
    rows.add_column(justify="right", no_wrap=True, min_width=width)
    rows.add_column()
    for number, node in enumerate(interview.reviewed, 1):
        label = ShownText.of(node.label, language).marked(all_drafts=True)
        rows.add_row(str(number), _folded(f"{label} {answer_in_words(interview, node, language)}", DIM))
    head = page_header(form, language, drafts=language != SOURCE and form.channel == "training")
    return page([rows], "Un número corrige esa respuesta. Enter, para volver.", message, head=head)


def lost_answers_page(nodes: Iterable[Node], language: str) -> Page:
    """List the questions whose answers a change would delete."""
    labels = [Text(f"- {ShownText.of(node.label, language).marked(all_drafts=True)}", DIM) for node in nodes]
    title = Text("Con esa respuesta, ya no corresponden y se borran:")
    return page([title, *labels], "La palabra si la cambia. Enter, para dejar todo como está.")
