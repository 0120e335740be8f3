"""The interview in the terminal: shows one question at a time and ends with a sealed screening, a draft or nothing.

`chaski device screen` calls it. It checks typed lines, and saves an encrypted draft after each answer. It must not
decide which question comes next (`screening_forms.engine.interview` does), nor show an error that is not in Spanish.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

from screening_forms.engine.interview import Interview
from screening_forms.engine.xform_reader import Node
from screening_forms.errors import AnswerError
from server.cli.private_terminal import STOP_KEY, PrivateTerminal
from server.cli.tablet import guidance, interview_pages, step_pages
from server.cli.tablet.interview_start import choose_language, chosen_number
from server.cli.tablet.spanish_errors import reason_in_spanish
from sync.documents.bundle import Recording
from sync.errors import SyncError
from sync.tablet.client import Tablet
from sync.tablet.drafts import Draft
from sync.tablet.status import ScreeningResult
from sync.tablet.unshown_guidance import Guidance

BACK_COMMAND = re.compile(r"<(?:(<*)|([0-9]{1,3}))")
NUMBER_LIST = re.compile(r"[0-9]{1,4}(?:[ ,;]+[0-9]{1,4})*")
INTEGER_TEXT = re.compile(r"-?[0-9]{1,10}")
DATE_TEXT = re.compile(r"([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})")
REFUSAL = "-"
YES = ("si", "sí")


class UnreadableAnswerError(ValueError):
    """The typed line does not answer this question. The message says in Spanish what to type."""


class DangerNotedError(Exception):
    """The inspector noted danger, on any page. The page is left, and the interview takes the short way."""


@dataclass(frozen=True)
class InterviewEnding:
    """How an interview ended: `sealed`, `kept` as a draft, `destroyed`, or `none` was started."""

    how: Literal["sealed", "kept", "destroyed", "none"]
    draft: str = ""
    screened: ScreeningResult | None = None


class TerminalInterview:
    """One interview at one terminal. It saves each answer, encrypted, before it shows the next question."""

    def __init__(self, tablet: Tablet, terminal: PrivateTerminal, draft: Draft, clock: Callable[[], int]) -> None:
        self._tablet, self._terminal, self._draft, self._clock = tablet, terminal, draft, clock
        self._form, engine = tablet.form(draft.sha)
        self._interview = Interview.resume(engine, draft.content) if draft.content else Interview(engine)
        self._message = ""
        self._sealed: InterviewEnding | None = None
        self._before_danger: Interview | None = None  # While danger is being noted: the state before the stop.
        self._recorded = _find_recorded(tablet, self._form.audio)

    def run(self, taken: date | None) -> InterviewEnding:
        """Ask until the interview ends. A cut connection keeps the draft."""
        self._terminal.on_danger = self._show_danger
        try:
            while True:
                with suppress(DangerNotedError):
                    if ending := self._step(taken):
                        return ending
        except EOFError:
            return self._sealed or self._kept()

    def _step(self, taken: date | None) -> InterviewEnding | None:
        node, message = self._interview.question, self._take_message()
        return self._ask(node, message) if node else self._end(message, taken)

    def _take_message(self) -> str:
        message, self._message = self._message, ""
        return message

    def _ask(self, node: Node, message: str) -> InterviewEnding | None:
        language = self._draft.language
        line = self._terminal.ask(
            interview_pages.question_page(self._form, self._interview, node, language, message, self._recorded)
        )
        if BACK_COMMAND.fullmatch(line):
            self._go_back(line)
        elif line in self._commands:
            return self._commands[line]()
        else:
            self._answer(node, line)
        return None

    @property
    def _commands(self) -> dict[str, Callable[[], InterviewEnding | None]]:
        return {STOP_KEY: self._stop, "?": self._help, "/": self._change_language}

    # Answers

    def _answer(self, node: Node, line: str) -> None:
        try:
            later = self._interview.answer(self._read(node, line))
        except UnreadableAnswerError as unclear:
            self._message = str(unclear)
        except AnswerError as refused:
            constraint = {} if line == REFUSAL else node.constraint_message
            text = interview_pages.ShownText.of(constraint, self._draft.language)
            self._message = text.marked(all_drafts=False) or f"{refused.why[:1].upper()}{refused.why[1:]}."
        else:
            self._confirm(later)

    def _confirm(self, later: Interview) -> None:
        """Go on with the state after an answer. If that loses other answers, the inspector must agree.

        Danger is noted at once: a confirmation that she misses would discard it.
        """
        lost = self._interview.lost_answers(later)
        notes_danger = later.is_in_danger and not self._interview.is_in_danger
        page = interview_pages.lost_answers_page(lost, self._draft.language)
        if lost and not notes_danger and self._terminal.ask(page).lower() not in YES:
            self._leave_unchanged()
            return
        self._move(later)
        if lost and notes_danger and not self._message:
            self._message = f"Quedó anotado. Respuestas que ya no corresponden y se borraron: {len(lost)}."

    def _leave_unchanged(self) -> None:
        """Drop a change that was not confirmed, and the stop of a danger that was not noted."""
        before = self._before_danger
        self._move(replace(before or self._interview, at=""))
        if before and not self._message:
            self._message = "No quedó anotado. Para anotarlo: * y 1."

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
        self._interview, self._before_danger = later, None
        self._draft = replace(self._draft, saved=self._clock(), warned=0, content=later.saved_state())
        self._message = self._save()

    def _save(self) -> str:
        """Save a draft that has answers. Returns the message to show when that fails, else ""."""
        try:
            if self._draft.content:
                self._tablet.drafts.save(self._draft)
        except (OSError, SyncError, sqlite3.Error) as error:
            return f"No se pudo guardar el borrador: {reason_in_spanish(error)}. Siga, y selle antes de apagar."
        return ""

    # Commands

    def _go_back(self, line: str) -> None:
        found = BACK_COMMAND.fullmatch(line)
        steps = int(found[2]) if found and found[2] else len(line)
        if not self._interview.turns:
            self._message = "Esta es la primera pregunta."
        self._interview = self._interview.go_back(steps)

    def _help(self) -> None:
        self._terminal.ask(step_pages.help_page())

    def _change_language(self) -> None:
        if language := choose_language(self._terminal, self._form):
            self._draft = replace(self._draft, language=language)

    def _show_danger(self) -> None:
        """Show whom to call. Raises DangerNotedError if the inspector notes the danger."""
        shown = self._interview
        can_note = self._sealed is None and bool(shown.danger_question)
        page = step_pages.danger_page(shown.engine, shown if can_note else None)
        while (line := self._terminal.ask(page)) not in ("", STOP_KEY):
            if line == "1" and can_note:
                before = self._before_danger or shown
                self._move(shown.note_danger())
                if shown.danger_choice and not self._message:
                    self._message = "Quedó anotado. Ahora solo lo necesario."
                self._before_danger = None if self._interview.is_in_danger else before
                raise DangerNotedError

    def _stop(self) -> InterviewEnding | None:
        message = ""
        while line := self._terminal.ask(step_pages.stop_page(self._interview, message)):
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
        if self._terminal.ask(step_pages.destroy_page()).lower() != "borrar":
            return None
        self._tablet.drafts.destroy(self._draft.id)
        return InterviewEnding("destroyed")

    def _end(self, message: str, taken: date | None) -> InterviewEnding | None:
        line = self._terminal.ask(
            step_pages.end_page(self._form, self._interview, self._draft.language, message)
        ).lower()
        if BACK_COMMAND.fullmatch(line):
            self._go_back(line)
        elif line in self._commands:
            return self._commands[line]()
        elif line == "revisar":
            self._review()
        elif line == "seguir":
            self._move(self._interview.reopen())
        elif line == "sellar":
            return self._seal(taken)
        else:
            self._message = "Escriba una de esas palabras."
        return None

    def _review(self) -> None:
        """Show all answers, and open the one that the inspector corrects."""
        reviewed, message = self._interview.reviewed, ""
        while line := self._terminal.ask(
            interview_pages.review_page(self._form, self._interview, self._draft.language, message)
        ):
            if 0 < (number := chosen_number(line)) <= len(reviewed):
                self._interview = self._interview.go_to(reviewed[number - 1].name)
                return
            if line in (STOP_KEY, "<"):
                return
            message = "Escriba el número de una respuesta."

    def _seal(self, taken: date | None) -> InterviewEnding | None:
        """Seal with the draft's id as jti. After a power cut before the draft is deleted, it cannot be sealed twice."""
        engine, begun = self._interview.engine, _local_datetime(self._draft.begun)
        times = {"start": begun.isoformat(), "end": _local_datetime(self._clock()).isoformat()}
        stamps = {node.name: times[node.type] for node in engine.form.nodes if node.type in times}
        answers = {**self._interview.answers, **stamps}
        told = self._prepare_guidance()
        try:
            screened = self._tablet.complete(self._draft.sha, answers, taken or begun.date(), self._draft.id)
        except (AnswerError, SyncError, OSError, sqlite3.Error) as error:
            self._discard_guidance()
            self._message = f"No se pudo sellar, y nada se perdió: {reason_in_spanish(error, engine.nodes)}."
            return None
        self._sealed = InterviewEnding("sealed", self._draft.id, screened)
        with suppress(OSError):  # The outbox has its id; the next start deletes it.
            self._tablet.drafts.destroy(self._draft.id)
        while (line := self._terminal.ask(step_pages.sealed_page(screened.seq)).lower()) not in ("", "ver", STOP_KEY):
            continue
        if line == "ver":
            guidance.show(self._terminal, engine, told, self._tablet.drafts.guidance)
        return self._sealed

    def _prepare_guidance(self) -> Guidance:
        """Store the guidance before the sealing: a power cut may come right after it.

        A cut or failed sealing may have left the guidance of former answers, so that one goes first.
        """
        self._discard_guidance()
        note = self._interview.guidance
        is_open = interview_pages.is_no_refusal(self._interview)
        told = Guidance(self._draft.id, self._draft.sha, note.name if note else "", is_open)
        if note and note.name not in self._interview.turns:
            with suppress(OSError, SyncError, sqlite3.Error):  # A full disk must not stop the sealing.
                self._tablet.drafts.guidance.save(told)
        return told

    def _discard_guidance(self) -> None:
        """Delete the guidance of an earlier sealing of this interview that did not happen."""
        with suppress(OSError, sqlite3.Error):  # A disk error must not stop the sealing.
            self._tablet.drafts.guidance.destroy_unsealed(self._draft.id)


def _find_recorded(tablet: Tablet, audio: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> frozenset[str]:
    """Return the SHA-256 of the form's recordings that are on the tablet; `audio` as in CompiledForm."""
    entries = [entry for texts in audio.values() for entry in texts.values()]
    named = {entry["sha256"]: Recording(entry["sha256"], entry["size"], entry["type"]) for entry in entries}
    return frozenset(named.keys() - {each.sha256 for each in tablet.recordings.missing(named)})


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
