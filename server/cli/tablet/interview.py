"""The interview in the terminal: shows one question at a time and ends with a sealed screening, a draft or nothing.

`chaski device screen` calls it. It reads and checks typed lines, and saves an encrypted draft after each answer. It
must not decide which question comes next: `screening_forms.engine.interview` does.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Literal

import click

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.interview import Interview
from screening_forms.engine.xform_reader import Node
from screening_forms.errors import AnswerError
from server.cli.private_terminal import STOP_KEY, PrivateTerminal
from server.cli.tablet import interview_pages as pages
from sync.envelope.seal import new_screening_id
from sync.errors import SyncError
from sync.tablet.client import Tablet
from sync.tablet.drafts import Draft
from sync.tablet.status import ScreeningResult
from sync.wire.encoding import natural

BACK_COMMAND = re.compile(r"<(?:(<*)|([0-9]{1,3}))")
NUMBER_LIST = re.compile(r"[0-9]{1,4}(?:[ ,;]+[0-9]{1,4})*")
INTEGER_TEXT = re.compile(r"-?[0-9]{1,9}")
DATE_TEXT = re.compile(r"([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})")
REFUSAL = "-"
YES = ("si", "sí")


class UnreadableAnswerError(ValueError):
    """The typed line does not answer this question. The message says in Spanish what to type."""


@dataclass(frozen=True)
class InterviewEnding:
    """How an interview ended: `sealed`, `kept` as a draft, `destroyed`, or `none` was started."""

    how: Literal["sealed", "kept", "destroyed", "none"]
    draft: str = ""
    screened: ScreeningResult | None = None


def choose_draft(
    tablet: Tablet, terminal: PrivateTerminal, form: str, language: str | None, clock: Callable[[], int]
) -> Draft | None:
    """Let the inspector choose a draft or start a new interview. Returns None when she leaves."""
    message = ""
    while found := [(draft, _form_title(tablet, draft)) for draft in tablet.drafts.list_all()]:
        with suppress(OSError):  # If the disk is full, the next start warns again.
            tablet.drafts.record_warning([draft for draft, _ in found if draft.is_ending(clock())], clock())
        line = terminal.ask(pages.drafts_page(found, clock(), message))
        if line in ("", STOP_KEY):
            return None
        if line == "nueva":
            break
        if not 0 < (number := _chosen_number(line)) <= len(found):
            message = f"Escriba un número del 1 al {len(found)}, o nueva."
            continue
        draft = found[number - 1][0]
        if _is_on_board(tablet, draft):
            return draft
        message = "La versión de su formulario ya no está en la tableta. El borrador se conserva: avise a su jefatura."
    return _begin_draft(tablet, terminal, form, language, clock())


def _begin_draft(tablet: Tablet, terminal: PrivateTerminal, form: str, language: str | None, now: int) -> Draft | None:
    sha = tablet.version(form)
    compiled = tablet.form(sha)[0]
    if language is not None and language not in compiled.languages:
        raise click.UsageError(f"{form} no está en {language} en esta tableta.")
    if language is None:
        language = choose_language(terminal, compiled)
    return Draft(new_screening_id(), sha, now, now, language, {}) if language else None


def choose_language(terminal: PrivateTerminal, form: CompiledForm) -> str:
    """Ask for one of the form's languages. Returns "" when the inspector leaves."""
    message = ""
    while len(form.languages) > 1:
        line = terminal.ask(pages.languages_page(form, message))
        if line in ("", STOP_KEY):
            return ""
        if 0 < (number := _chosen_number(line)) <= len(form.languages):
            return form.languages[number - 1]
        message = f"Escriba un número del 1 al {len(form.languages)}."
    return form.languages[0]


def _chosen_number(line: str) -> int:
    """Read a typed number. Returns 0 for any other line; 0 is never a valid choice."""
    try:
        return natural(line)
    except ValueError:
        return 0


def _form_title(tablet: Tablet, draft: Draft) -> str:
    return tablet.form(draft.sha)[0].title if _is_on_board(tablet, draft) else "Formulario que ya no está aquí"


def _is_on_board(tablet: Tablet, draft: Draft) -> bool:
    return f"bundle/{draft.sha}" in tablet.outbox.documents.list_names()


class TerminalInterview:
    """One interview at one terminal. It saves each answer, encrypted, before it shows the next question."""

    def __init__(self, tablet: Tablet, terminal: PrivateTerminal, draft: Draft, clock: Callable[[], int]) -> None:
        self._tablet, self._terminal, self._draft, self._clock = tablet, terminal, draft, clock
        self._form, engine = tablet.form(draft.sha)
        self._interview = Interview.resume(engine, draft.content) if draft.content else Interview(engine)
        self._message = ""

    def run(self, taken: date | None) -> InterviewEnding:
        """Ask until the interview ends. A cut connection keeps the draft."""
        try:
            while True:
                node, message = self._interview.question, self._take_message()
                ending = self._ask(node, message) if node else self._review(message, taken)
                if ending:
                    return ending
        except EOFError:
            return self._kept()

    def _take_message(self) -> str:
        message, self._message = self._message, ""
        return message

    def _ask(self, node: Node, message: str) -> InterviewEnding | None:
        line = self._terminal.ask(pages.question_page(self._form, self._interview, node, self._draft.language, message))
        if BACK_COMMAND.fullmatch(line):
            self._go_back(line)
        elif line in self._commands:
            return self._commands[line]()
        else:
            self._answer(node, line)
        return None

    @property
    def _commands(self) -> dict[str, Callable[[], InterviewEnding | None]]:
        return {STOP_KEY: self._stop, "?": self._help, "/": self._change_language, "*": self._danger}

    # Answers

    def _answer(self, node: Node, line: str) -> None:
        try:
            later = self._interview.answer(self._read(node, line))
        except UnreadableAnswerError as unclear:
            self._message = str(unclear)
        except AnswerError as refused:
            constraint = {} if line == REFUSAL else node.constraint_message
            text = pages.ShownText.of(constraint, self._draft.language)
            self._message = text.marked(all_drafts=False) or f"{refused.why[:1].upper()}{refused.why[1:]}."
        else:
            lost = self._interview.lost_answers(later)
            if not lost or self._terminal.ask(pages.lost_answers_page(lost, self._draft.language)).lower() in YES:
                self._move(later)
            else:
                self._move(replace(self._interview, at=""))

    def _read(self, node: Node, line: str) -> str:
        """Convert a typed line to the engine's answer. Raises UnreadableAnswerError with what to type."""
        if node.type == "note":
            if line:
                raise UnreadableAnswerError("Aquí solo se lee. Enter, para seguir.")
            return ""
        if node.type == "acknowledge":
            if line.lower() not in ("", "ok"):
                raise UnreadableAnswerError("Escriba ok, o solo Enter.")
            return "OK" if line else ""
        if line == REFUSAL:
            return self._refusal(node)
        if not line:
            if node.name in self._interview.turns:
                return self._interview.answers.get(node.name, "")
            raise UnreadableAnswerError("Escriba una respuesta, o - si prefiere no responder.")
        return ANSWER_READERS[node.type](line) if node.type in ANSWER_READERS else self._chosen(node, line)

    def _refusal(self, node: Node) -> str:
        """Return the list's choice `no_answer`, or a blank. The engine rejects a blank for a required question."""
        return "no_answer" if "no_answer" in node.choices else ""

    def _chosen(self, node: Node, line: str) -> str:
        choices = self._interview.choices(node)
        numbers = [int(number) for number in re.findall(r"\d+", line)] if NUMBER_LIST.fullmatch(line) else []
        if not numbers or not all(0 < number <= len(choices) for number in numbers):
            raise UnreadableAnswerError(f"Escriba un número del 1 al {len(choices)}.")
        if node.type == "select_one" and len(numbers) > 1:
            raise UnreadableAnswerError("Aquí va una sola respuesta: escriba un solo número.")
        return " ".join(dict.fromkeys(choices[number - 1].code for number in numbers))

    def _move(self, later: Interview) -> None:
        """Save the draft and continue. A full disk shows a message and does not end the interview."""
        self._interview = later
        self._draft = replace(self._draft, saved=self._clock(), warned=0, content=later.saved_state())
        self._message = self._save()

    def _save(self) -> str:
        """Save a draft that has answers. Returns the message to show when that fails, else ""."""
        try:
            if self._draft.content:
                self._tablet.drafts.save(self._draft)
        except OSError as error:
            return f"No se pudo guardar el borrador ({error.strerror}). Siga, y selle antes de apagar."
        return ""

    # Commands

    def _go_back(self, line: str) -> None:
        found = BACK_COMMAND.fullmatch(line)
        steps = int(found[2]) if found and found[2] else len(line)
        if not self._interview.turns:
            self._message = "Esta es la primera pregunta."
        self._interview = self._interview.go_back(steps)

    def _help(self) -> None:
        self._terminal.ask(pages.help_page())

    def _change_language(self) -> None:
        if language := choose_language(self._terminal, self._form):
            self._draft = replace(self._draft, language=language)

    def _danger(self) -> None:
        if self._terminal.ask(pages.danger_page(self._interview)) == "1" and self._interview.danger_question:
            self._interview = self._interview.close().go_to(self._interview.danger_question)

    def _stop(self) -> InterviewEnding | None:
        message = ""
        while line := self._terminal.ask(pages.stop_page(self._interview, message)):
            if line == "2":
                self._move(self._interview.close())
                return None
            if line == "3":
                return self._destroy()
            message = self._save() if line == "1" else "Escriba 1, 2 o 3."
            if not message:
                return self._kept()
        return None

    # Endings

    def _kept(self) -> InterviewEnding:
        if self._draft.content:
            return InterviewEnding("kept", self._draft.id)
        return InterviewEnding("none")

    def _destroy(self) -> InterviewEnding | None:
        if self._terminal.ask(pages.destroy_page()).lower() != "borrar":
            return None
        self._tablet.drafts.destroy(self._draft.id)
        return InterviewEnding("destroyed")

    def _review(self, message: str, taken: date | None) -> InterviewEnding | None:
        line = self._terminal.ask(pages.review_page(self._form, self._interview, self._draft.language, message))
        reviewed = self._interview.reviewed
        if BACK_COMMAND.fullmatch(line):
            self._go_back(line)
        elif line in self._commands:
            return self._commands[line]()
        elif 0 < (number := _chosen_number(line)) <= len(reviewed):
            self._interview = self._interview.go_to(reviewed[number - 1].name)
        elif line.lower() == "seguir":
            self._move(self._interview.reopen())
        elif line.lower() == "sellar":
            return self._seal(taken)
        else:
            self._message = "Escriba sellar, o el número de una respuesta."
        return None

    def _seal(self, taken: date | None) -> InterviewEnding | None:
        """Seal with the draft's id as jti. After a power cut before the draft is deleted, it cannot be sealed twice."""
        engine, begun = self._interview.engine, _local_datetime(self._draft.begun)
        times = {"start": begun.isoformat(), "end": _local_datetime(self._clock()).isoformat()}
        stamps = {node.name: times[node.type] for node in engine.form.nodes if node.type in times}
        answers = {**self._interview.answers, **stamps}
        try:
            screened = self._tablet.complete(self._draft.sha, answers, taken or begun.date(), self._draft.id)
        except (AnswerError, SyncError, OSError, sqlite3.Error) as error:
            self._message = f"No se pudo sellar, y nada se perdió: {error}"
            return None
        with suppress(OSError):  # The outbox has its id; the next start deletes it.
            self._tablet.drafts.destroy(self._draft.id)
        if self._terminal.ask(pages.sealed_page(screened.seq)).lower() == "ver":
            self._terminal.ask(pages.guidance_page(self._interview))
        return InterviewEnding("sealed", self._draft.id, screened)


def _local_datetime(time: int) -> datetime:
    return datetime.fromtimestamp(time / 1000, UTC).astimezone()


def _read_integer(line: str) -> str:
    if not INTEGER_TEXT.fullmatch(line):
        raise UnreadableAnswerError("Escriba solo un número entero, sin puntos, comas ni letras.")
    return line


def _read_date(line: str) -> str:
    found = DATE_TEXT.fullmatch(line)
    try:
        if found:
            return date(int(found[3]), int(found[2]), int(found[1])).isoformat()
        return date.fromisoformat(line).isoformat()
    except ValueError as error:
        raise UnreadableAnswerError("Escriba una fecha que exista, como 31/12/2026.") from error


ANSWER_READERS: dict[str, Callable[[str], str]] = {"integer": _read_integer, "date": _read_date, "text": str}
