"""Shows decrypted screenings to a coordinator: page by page in the terminal's second screen, or as plain text.

`chaski desk open` and `examine` call it. Answers in a terminal's history can put a person in danger, so the second
screen is the rule and plain text needs a flag. Each value stands on one line that it cannot leave: an answer must not
look like a verdict of this program.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from screening_forms.languages import LANGUAGES
from screening_forms.scoring.reasons import OUTCOME_WORDS, URGENCY_WORDS
from screening_forms.ubigeo import place_name
from server.cli.page_layout import Page
from server.cli.private_terminal import HIDE_KEY, STOP_KEY, PrivateTerminal
from server.cli.safe_console import HangingLine, safe_text
from server.cli.terminal import print_result
from sync.desk.client import VerifiedScreening
from sync.desk.opened_screening import Answer

BACK_KEY = "<"
_STATES = {"draft": "borrador sin revisar", "fallback": "sin traducción", "reviewed": "revisado"}
_ALARM = "bold red"

plain_option = click.option(
    "--plain",
    is_flag=True,
    help="Print text on standard output. The answers then stay in the terminal's history, or in the file.",
)


@dataclass(frozen=True)
class ScreenReader:
    """How one command shows screenings: in `terminal`, or on standard output if it is None, as JSON or text."""

    terminal: PrivateTerminal | None
    as_json: bool

    @classmethod
    def choose(cls, *, plain: bool, as_json: bool) -> ScreenReader:
        """Choose before the sign-in. Raises UsageError if answers would leave the second screen without a flag."""
        if plain or as_json:
            return cls(None, as_json)
        if not sys.stdout.isatty():
            raise click.UsageError(
                "Las respuestas se leen en una terminal, que las borra al salir. Para escribirlas fuera de ella, donde"
                " quedan a la vista, use --plain o --json."
            )
        return cls(PrivateTerminal("la lectura", "--plain"), as_json)

    def show(self, opened: Sequence[VerifiedScreening], data: Any) -> None:
        """Show screenings; `data` is what `--json` prints. Standard output gets none of them in a terminal."""
        if self.terminal is None:
            print_result(data, self.as_json, lambda console: print_screenings(console, opened))
            return
        with self.terminal, suppress(EOFError):  # The connection is cut: there is nothing more to show.
            _turn_pages(self.terminal.ask, [*_pages(opened)])


def print_screenings(console: Console, opened: Sequence[VerifiedScreening]) -> None:
    """Print screenings as text, in the order of the pages."""
    for each in opened:
        for title, lines in _sections(each):
            console.print()
            console.print(title, style="bold")
            for line in lines:
                console.print(line)
    if not opened:
        console.print("Aquí no hay ninguna entrevista que usted pueda abrir.")


def _turn_pages(ask: Callable[[Page], str], pages: Sequence[Page]) -> None:
    """Show pages until the reader leaves or passes the last one."""
    at = 0
    while at < len(pages) and (line := ask(pages[at])) != STOP_KEY:
        if line in ("", BACK_KEY):
            at = at + 1 if not line else max(at - 1, 0)


def _pages(opened: Sequence[VerifiedScreening]) -> Iterator[Page]:
    if not opened:
        yield Page([], [Text("Aquí no hay ninguna entrevista que usted pueda abrir.")], [Text("Enter, para salir.")])
    for number, each in enumerate(opened, 1):
        sections = [*_sections(each)]
        for place, (title, lines) in enumerate(sections, 1):
            parts = [f"Entrevista {number} de {len(opened)}"] if len(opened) > 1 else []
            head = " · ".join([*parts, title, *(["ENTRENAMIENTO"] if each.mode == "training" else [])])
            last = number == len(opened) and place == len(sections)
            keys = Text(f"{HIDE_KEY} ocultar  {BACK_KEY} atrás  {STOP_KEY} salir", "dim")
            foot = "Enter, para salir." if last else "Enter, para seguir."
            yield Page([Text(head, "bold"), keys], lines, [Text(foot)])


def _sections(opened: VerifiedScreening) -> Iterator[tuple[str, list[RenderableType]]]:
    """Yield the titled parts of a screening, the most urgent first."""
    yield "Resultado", [*_summary(opened), *_warnings(opened), *_origin(opened)]
    yield "Por qué", [_line(sentence) for sentence in opened.assessment.why]
    yield (
        "Respuestas",
        [
            line
            for number, answer in enumerate(opened.answers, 1)
            for line in _answer_lines(number, answer, opened.lang)
        ],
    )


def _summary(opened: VerifiedScreening) -> Iterator[RenderableType]:
    suggested = OUTCOME_WORDS.get(opened.outcome, opened.outcome)
    yield _line(f"Sugerencia: {suggested} ({opened.outcome}, {opened.tier})", "bold")
    yield _line(f"Urgencia: {URGENCY_WORDS.get(opened.urgency, opened.urgency) or 'ninguna'}", "bold")
    yield _line(f"Lugar: {_place(opened.place)}")
    yield _line(f"Fecha: {_taken(opened.referral.get('route') or {})}")


def _place(code: str) -> str:
    """Return the names of a district (6 digits), its province and region, or what is known of them."""
    names = [place_name(code[:digits]) for digits in (6, 4, 2) if len(code) >= digits]
    return ", ".join(dict.fromkeys(filter(None, names))) or code or "no consta"


def _taken(route: dict[str, Any]) -> str:
    """Return the day of the interview as the server's route has it. The sealed part holds no day."""
    day = str(route.get("taken") or "")
    with suppress(ValueError):
        day = f"{date.fromisoformat(day):%d/%m/%Y}"
    return f"{day}, según el servidor" if day else "no consta"


def _warnings(opened: VerifiedScreening) -> Iterator[RenderableType]:
    if opened.agrees and not opened.dropped:
        yield _line("Recalculado aquí: el mismo resultado.", "green")
    for each in opened.differences:
        yield _line(f"{each.name}: la tableta anotó «{each.recorded}»; recalculado, «{each.computed}».", _ALARM)
    if opened.route_agrees is False:
        yield _line("El servidor usó otros datos que los sellados. El caso está en la lista de pendientes.", _ALARM)
    if opened.sealed_sha not in ("", opened.sha):
        yield _line(
            "La tableta selló otra versión del formulario, que no se conoce, se rechaza o no corresponde. Revise la"
            " tableta.",
            _ALARM,
        )
    if opened.revoked:
        yield _line("Esta tableta está revocada. Revise con cuidado lo que envió.", _ALARM)
    if not opened.vouched:
        yield _line(
            "Una de las dos personas que firmaron esta versión ya no puede firmar. Solo una responde por sus textos.",
            "red",
        )
    if opened.missing:
        numbers = ", ".join(map(str, opened.missing))
        yield _line(f"De la misma tableta no se abrieron en esta sesión: {numbers}.")


def _origin(opened: VerifiedScreening) -> Iterator[RenderableType]:
    yield _line(f"Formulario: {opened.title}, versión {opened.version} ({opened.mode})", "dim")
    yield _line(f"Tableta: {opened.device}, región {place_name(opened.region) or opened.region}", "dim")


def _answer_lines(number: int, answer: Answer, lang: str) -> Iterator[RenderableType]:
    yield _line(f"{number}. {answer.text_es}", "bold")
    if lang != "es":
        state = _STATES.get(answer.text_state, answer.text_state)
        yield _line(f"{answer.text}  [{LANGUAGES.get(lang, lang)}, {state}]", "dim", indent=2)
    yield _line(answer.answer_es, indent=4)


def _line(value: str, style: str = "", indent: int = 0) -> RenderableType:
    return Padding(HangingLine(safe_text(Text(value, style))), (0, 0, 0, indent), expand=False)
