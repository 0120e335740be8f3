"""The pages of a terminal interview: questions in the person's language, all other text in Spanish.

The inspector reads Spanish; the person may not. A page must not show an unreviewed translation, or Spanish instead of a
missing translation, without a mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.columns import Columns
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from screening_forms.compiled_form import CompiledForm, left_out_sentences, split_mark
from screening_forms.engine.interview import Interview
from screening_forms.engine.xform_reader import Choice, Node
from screening_forms.languages import LANGUAGES, SOURCE
from server.cli.private_terminal import Page
from sync.tablet.drafts import Draft

COMMAND_HINTS = ("< atrás", ". parar", "* peligro", "! ocultar", "? ayuda")
HELP_LINES = (
    "Escriba y termine con Enter. Estas señas valen en toda pregunta:",
    "<   volver a la pregunta anterior; <<< o <3, tres atrás",
    "-   la persona prefiere no responder",
    ".   parar: guardar, terminar aquí o borrar todo",
    "*   peligro ahora: a quién llamar",
    "/   cambiar de idioma",
    "+   mostrar lo que no cabe en la pantalla",
    "!   ocultar la pantalla, sin Enter; otra vez ! para volver",
    "?   esta ayuda",
    "Después de corregir una respuesta, la conversación sigue donde estaba.",
    "Cada respuesta queda guardada y cifrada en esta tableta hasta sellar.",
)
_TYPING_HINTS = {
    "select_one": "Escriba el número",
    "select_multiple": "Escriba los números, separados por un espacio",
    "integer": "Escriba un número entero",
    "date": "Escriba la fecha, día/mes/año",
    "text": "Escriba la respuesta",
    "note": "Enter para seguir.",
    "acknowledge": "La palabra ok confirma. Enter, para dejarlo así.",
}
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


def question_page(form: CompiledForm, interview: Interview, node: Node, language: str, message: str) -> Page:
    """Show one question or note, with its present answer and the message about a rejected one."""
    nodes = interview.engine.nodes
    group, label, hint = (
        ShownText.of(texts, language)
        for texts in (nodes[node.group].label if node.group else {}, node.label, node.hint)
    )
    options = _choice_texts(interview.choices(node), language)
    own = [said for said in (group, label, hint, *options) if said.text and said.state != "fallback"]
    drafts = bool(own) and all(said.state == "draft" for said in own)
    body = _page_header(form, language, drafts=drafts)
    if group.text:
        body.append(Text(group.marked(all_drafts=drafts), "underline"))
    body += ["", Text(label.marked(all_drafts=drafts), "bold")]
    if hint.text:
        body.append(Padding(Text(f"({hint.marked(all_drafts=drafts)})", "italic"), (0, 0, 0, 2)))
    if options:
        body += ["", _numbered_list([said.marked(all_drafts=drafts) for said in options])]
    if node.name in interview.turns and node.type not in ("note", "acknowledge"):
        body += ["", Text(f"Respuesta actual: {answer_in_words(interview, node, language)}")]
    return Page(body, _page_footer(message, _typing_hint(node, interview)))


def _typing_hint(node: Node, interview: Interview) -> str:
    if node.type in ("note", "acknowledge"):
        return _TYPING_HINTS[node.type]
    had = " Enter: dejarla como está." if node.name in interview.turns else ""
    may = " (respuesta necesaria)." if interview.is_required(node) else ", o - si prefiere no responder."
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


def _numbered_list(texts: Sequence[str]) -> RenderableType:
    width = len(str(len(texts)))
    if len(texts) > _COLUMNS_FROM:
        lines = [Text(f" {number:>{width}}  {text}") for number, text in enumerate(texts, 1)]
        return Columns(lines, column_first=True, padding=(0, 2))
    rows = Table.grid(padding=(0, 2, 0, 1))
    rows.add_column(justify="right")
    rows.add_column()
    for number, text in enumerate(texts, 1):
        rows.add_row(str(number), Text(text))
    return rows


def _page_header(form: CompiledForm, language: str, *, drafts: bool) -> list[RenderableType]:
    training = ["ENTRENAMIENTO"] if form.channel == "training" else []
    spoken = [] if language == SOURCE else [LANGUAGES[language] + (", borrador sin revisar" if drafts else "")]
    return [Text(" · ".join([*training, *spoken]), "dim")] if training or spoken else []


def _page_footer(message: str, how: str, commands: Sequence[str] = COMMAND_HINTS) -> list[RenderableType]:
    said: list[RenderableType] = [Text(message, "bold")] if message else []
    return [*said, Text(how), *([Columns([Text(each, "dim") for each in commands], (0, 3))] if commands else [])]


def review_page(form: CompiledForm, interview: Interview, language: str, message: str) -> Page:
    """Show every answer before sealing."""
    rows = Table.grid(padding=(0, 2, 0, 1))
    rows.add_column(justify="right")
    rows.add_column()
    for number, node in enumerate(interview.reviewed, 1):
        label = ShownText.of(node.label, language).marked(all_drafts=True)
        rows.add_row(str(number), Text.assemble(f"{label} ", (answer_in_words(interview, node, language), "bold")))
    how = "Un número corrige esa respuesta. La palabra sellar termina: después nada se puede cambiar ni leer aquí."
    more = " La palabra seguir hace las demás preguntas." if interview.closing else ""
    head = _page_header(form, language, drafts=language != SOURCE and form.channel == "training")
    return Page([*head, Text("Revisar antes de sellar", "bold"), "", rows], _page_footer(message, how + more))


def lost_answers_page(nodes: Iterable[Node], language: str) -> Page:
    """List the answers that a change would delete."""
    labels = [Text(f"- {ShownText.of(node.label, language).marked(all_drafts=True)}") for node in nodes]
    head = Text("Con esa respuesta, ya no corresponden y se borran:", "bold")
    return Page([head, "", *labels], _page_footer("", "La palabra si la cambia. Enter, para dejar todo como está.", ()))


def stop_page(interview: Interview, message: str) -> Page:
    """Show the three ways to stop: keep, seal, delete."""
    missing = len(interview.filled.missing)
    asks = f"Antes se hacen {missing} preguntas necesarias." if missing > 1 else "Antes se hace una pregunta necesaria."
    ways = _numbered_list(
        [
            "Guardar como borrador, cifrado en esta tableta, y salir.",
            f"Terminar aquí y sellar lo respondido. {asks if missing else ''}".strip(),
            "Borrar todo. No queda nada, y no se puede deshacer.",
        ]
    )
    return Page(
        [Text("Parar la conversación", "bold"), "", ways],
        _page_footer(message, "Escriba un número. Enter, para seguir.", ()),
    )


def destroy_page() -> Page:
    """Ask for confirmation before all answers are deleted."""
    return Page(
        [Text("Se borran todas las respuestas de esta conversación.", "bold")],
        _page_footer("", "La palabra borrar las borra. Enter, para volver.", ()),
    )


def danger_page(interview: Interview) -> Page:
    """Tell the inspector whom to call now, and offer the short way to a referral without a score."""
    node = interview.engine.nodes.get("guidance_danger")
    said = (ShownText.of(texts, SOURCE).text for texts in (node.label, node.hint)) if node else ()
    noting = "1 anota el peligro y termina con lo necesario. " if interview.danger_question else ""
    return Page(
        [Text("Peligro ahora", "bold"), "", *(Text(text) for text in said if text)],
        _page_footer("", f"{noting}Enter, para volver.", ()),
    )


def help_page() -> Page:
    """Show the commands."""
    return Page([Text(line) for line in HELP_LINES], _page_footer("", "Enter, para volver.", ()))


def languages_page(form: CompiledForm, message: str) -> Page:
    """Ask for the language of the interview, and say which languages are not ready."""
    drafts = form.channel == "training"
    marks = {language: " (borrador sin revisar)" for language in form.languages if drafts and language != SOURCE}
    names = [LANGUAGES[language] + marks.get(language, "") for language in form.languages]
    body: list[RenderableType] = [Text("¿En qué idioma van a conversar?", "bold"), "", _numbered_list(names)]
    body += ["", *left_out_sentences(form.left_out)] if form.left_out else []
    return Page(body, _page_footer(message, "Escriba el número.", ()))


def drafts_page(found: Sequence[tuple[Draft, str]], now: int, message: str) -> Page:
    """List the unfinished interviews: form and time, without any answer."""
    lines = [
        f"{title}, empezada el {format_spanish_time(draft.begun)}{_expiry_notice(draft, now)}" for draft, title in found
    ]
    body: list[RenderableType] = [
        Text("Hay conversaciones sin terminar en esta tableta", "bold"),
        "",
        _numbered_list(lines),
    ]
    return Page(
        body, _page_footer(message, "Un número la continúa. La palabra nueva empieza otra. Enter, para salir.", ())
    )


def _expiry_notice(draft: Draft, now: int) -> str:
    return f"; se borrará después del {format_spanish_time(draft.destroyed_from(now))}" if draft.is_ending(now) else ""


def format_spanish_time(time: int) -> str:
    """Format a time (milliseconds since 1970) as day/month/year, local time."""
    return datetime.fromtimestamp(time / 1000, UTC).astimezone().strftime("%d/%m/%Y %H:%M")


def sealed_page(seq: int) -> Page:
    """Confirm the sealing. The outcome is shown only when the inspector types `ver`."""
    body: list[RenderableType] = [
        Text(f"Sellada con el número {seq}.", "bold"),
        "Sus respuestas ya no se pueden leer en esta tableta.",
    ]
    how = "Cuando solo usted vea la pantalla, la palabra ver muestra la orientación. Enter, para salir."
    return Page(body, _page_footer("", how, ()))


def guidance_page(interview: Interview) -> Page:
    """Show the form's guidance for the inspector, in Spanish."""
    node = interview.engine.nodes.get(interview.filled.values.get("guidance", ""))
    texts = [ShownText.of(each, SOURCE).text for each in (node.label, node.hint)] if node else []
    shown = [Text(text) for text in texts if text] or [Text("Para esta conversación no hay orientación.")]
    return Page([Text("Orientación", "bold"), "", *shown], _page_footer("", "Enter, para salir.", ()))
