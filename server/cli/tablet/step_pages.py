"""The pages around the questions of a terminal interview: drafts, language, stop, danger, end, sealing and guidance.

All of them are in Spanish, for the inspector. Only the page of guidance may tell what the answers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.text import Text

from screening_forms.compiled_form import CompiledForm, left_out_sentences
from screening_forms.engine.evaluator import Engine
from screening_forms.engine.interview import Interview
from screening_forms.engine.xform_reader import Node
from screening_forms.languages import LANGUAGES, SOURCE
from server.cli.page_layout import Page
from server.cli.tablet.interview_pages import DIM, OPEN_CONSENT, ShownText, numbered_list, page, page_header
from sync.tablet.drafts import Draft

HELP_LINES = (
    "Escriba y termine con Enter. Estas señas valen en toda pregunta:",
    "<   volver a la pregunta anterior; <<< o <3, tres atrás",
    "-   la persona prefiere no responder",
    ".   parar: guardar, terminar aquí o borrar todo",
    "/   cambiar de idioma",
    "?   esta ayuda",
    "Estas valen en toda pantalla:",
    "*   peligro ahora: a quién llamar",
    "!   ocultar la pantalla, sin Enter; otra vez ! para volver",
    "+   la parte que sigue de un texto largo; Enter también",
    "Lo que no salió en la pantalla no se puede responder.",
    "Después de corregir una respuesta, la conversación sigue donde estaba.",
    "Cada respuesta queda guardada y cifrada en esta tableta hasta sellar.",
)
_NO_GUIDANCE = "Para esta conversación no hay orientación."
_UNREADABLE_GUIDANCE = "La orientación no se puede leer aquí. Llame a la mesa de su región."
_UNKNOWN_DANGER = "Vayan a un lugar seguro, si pueden. Llame ya a la policía y a la mesa de su región."


def stop_page(interview: Interview, message: str) -> Page:
    """Show the three ways to stop: keep, seal, delete."""
    ways = (
        "Guardar como borrador, cifrado en esta tableta, y salir.",
        f"Terminar aquí y sellar lo respondido. {_asked_after_stop(interview)}".strip(),
        "Borrar todo. No queda nada, y no se puede deshacer.",
    )
    return page([Text("Parar la conversación"), numbered_list(ways)], "Escriba un número. Enter, para seguir.", message)


def _asked_after_stop(interview: Interview) -> str:
    """Say how many questions a stop leads to. They depend on the answers, so more may follow."""
    closed = interview.close()
    asked = [node for node in closed.due if node.type not in ("note", "acknowledge")]
    needed = sum(node.name in closed.filled.missing for node in asked)
    parts = []
    if needed:
        parts.append(f"{needed} preguntas necesarias" if needed > 1 else "una pregunta necesaria")
    if free := len(asked) - needed:
        parts.append(f"{free} que la persona puede saltar" if free > 1 else "una que la persona puede saltar")
    return f"Antes: {' y '.join(parts)}." if parts else ""


def destroy_page() -> Page:
    """Ask for confirmation before all answers are deleted."""
    return page(
        [Text("Se borran todas las respuestas de esta conversación.")],
        "La palabra borrar las borra. Enter, para volver.",
    )


def danger_page(engine: Engine | None, interview: Interview | None = None) -> Page:
    """Tell the inspector whom to call now, and offer the short way to a referral without a score.

    `engine` is None while no form is known, `interview` while no danger can be noted.
    """
    node = engine.nodes.get("guidance_danger") if engine else None
    said = [ShownText.of(texts, SOURCE).text for texts in (node.label, node.hint)] if node else [_UNKNOWN_DANGER]
    return page(
        [Text("Peligro ahora"), *(Text(text) for text in said if text)],
        f"{_noting_hint(interview)} Enter, para volver.".strip(),
        keys=("! ocultar",),
    )


def _noting_hint(interview: Interview | None) -> str:
    """Say what `1` notes: an answer at once, which the hint quotes, or a question that it opens."""
    if interview is None:
        return ""
    if interview.is_in_danger:
        return "El peligro ya está anotado. 1 termina con lo necesario."
    if choice := interview.danger_choice:
        label = interview.engine.nodes[interview.danger_question].label
        asked, answer = ShownText.of(label, SOURCE).text, ShownText.of(choice.label, SOURCE).text
        return f"1 anota «{answer}» en «{asked}» y termina con lo necesario."
    return "1 abre la pregunta del peligro; responda ahí. Después, solo lo necesario."


def help_page() -> Page:
    """Show the commands."""
    return page([Text(line) for line in HELP_LINES], "Enter, para volver.")


def languages_page(form: CompiledForm, message: str) -> Page:
    """Ask for the language of the interview, and say which languages are not ready."""
    drafts = form.channel == "training"
    marks = {language: " (borrador sin revisar)" for language in form.languages if drafts and language != SOURCE}
    names = [LANGUAGES[language] + marks.get(language, "") for language in form.languages]
    body: list[RenderableType] = [Text("¿En qué idioma van a conversar?"), numbered_list(names)]
    return page([*body, *left_out_sentences(form.left_out)], "Escriba el número.", message)


def drafts_page(found: Sequence[tuple[Draft, str]], now: int, message: str) -> Page:
    """List the unfinished interviews: form and time, without any answer."""
    lines = [
        f"{title}, empezada el {format_spanish_time(draft.begun)}{_expiry_notice(draft, now)}" for draft, title in found
    ]
    return page(
        [Text("Hay conversaciones sin terminar en esta tableta"), numbered_list(lines)],
        "Un número la continúa. La palabra nueva empieza otra. Enter, para salir.",
        message,
    )


def _expiry_notice(draft: Draft, now: int) -> str:
    return f"; se borrará después del {format_spanish_time(draft.destroyed_from(now))}" if draft.is_ending(now) else ""


def format_spanish_time(time: int) -> str:
    """Format a time (milliseconds since 1970) as day/month/year, local time."""
    return datetime.fromtimestamp(time / 1000, UTC).astimezone().strftime("%d/%m/%Y %H:%M")


def end_page(form: CompiledForm, interview: Interview, language: str, message: str) -> Page:
    """Say that every question had its turn. No answer is shown."""
    words = [
        "sellar    termina; después nada se puede cambiar ni leer aquí",
        "revisar   muestra todas las respuestas; antes mire quién está cerca",
    ]
    can_go_on = interview.closing and interview.is_skipping
    if can_go_on:
        words.append("seguir    hace las demás preguntas")
    words.append("<         vuelve a la última pregunta")
    return page(
        [Text("Terminó la conversación."), *(Text(word, DIM) for word in words)],
        "Escriba sellar, revisar o seguir." if can_go_on else "Escriba sellar o revisar.",
        message,
        head=page_header(form, language, drafts=False),
    )


def sealed_page(seq: int) -> Page:
    """Confirm the sealing. The guidance is shown only when the inspector types `ver`."""
    body = [Text(f"Sellada con el número {seq}."), Text("Sus respuestas ya no se pueden leer en esta tableta.")]
    return page(body, "Cuando solo usted vea la pantalla, la palabra ver muestra la orientación. Enter, para salir.")


def unshown_guidance_page() -> Page:
    """Offer the guidance of a sealed interview that the inspector has not seen to its end."""
    return page(
        [Text("Hay una orientación sin leer, de una conversación ya sellada.")],
        "Cuando solo usted vea la pantalla, la palabra ver la muestra. Enter, para leerla después.",
    )


def guidance_page(note: Node | None, *, open_consent: bool, readable: bool = True) -> Page:
    """Show the form's guidance for the inspector, in Spanish. `open_consent`: the person did not refuse a referral."""
    texts = [ShownText.of(each, SOURCE).text for each in (note.label, note.hint)] if note else []
    shown = [Text(text) for text in texts if text] or [Text(_NO_GUIDANCE if readable else _UNREADABLE_GUIDANCE)]
    said = [Text(OPEN_CONSENT)] if open_consent else []
    return page([Text("Orientación"), *said, *shown], "Enter, para salir.")
