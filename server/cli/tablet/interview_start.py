"""How an interview in the terminal starts: a draft that goes on, or a new interview in a chosen language.

`chaski device screen` calls it before `server.cli.tablet.interview`. It must not show an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import click

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import Engine
from server.cli.private_terminal import STOP_KEY, PrivateTerminal
from server.cli.tablet import step_pages as pages
from sync.envelope.seal import new_screening_id
from sync.errors import SyncError
from sync.tablet.client import Tablet
from sync.tablet.drafts import Draft
from sync.wire.encoding import natural


def choose_draft(
    tablet: Tablet, terminal: PrivateTerminal, form: str, language: str | None, clock: Callable[[], int]
) -> Draft | None:
    """Let the inspector choose a draft or start a new interview. Returns None when she leaves."""
    terminal.on_danger = partial(show_danger, terminal, _danger_engine(tablet, form))
    message = ""
    while found := [(draft, _form_title(tablet, draft)) for draft in tablet.drafts.list_all()]:
        with suppress(OSError):  # If the disk is full, the next start warns again.
            tablet.drafts.record_warning([draft for draft, _ in found if draft.is_ending(clock())], clock())
        line = terminal.ask(pages.drafts_page(found, clock(), message))
        if line in ("", STOP_KEY):
            return None
        if line == "nueva":
            break
        if not 0 < (number := chosen_number(line)) <= len(found):
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
        if 0 < (number := chosen_number(line)) <= len(form.languages):
            return form.languages[number - 1]
        message = f"Escriba un número del 1 al {len(form.languages)}."
    return form.languages[0]


def chosen_number(line: str) -> int:
    """Read a typed number. Returns 0 for any other line; 0 is never a valid choice."""
    try:
        return natural(line)
    except ValueError:
        return 0


def _form_title(tablet: Tablet, draft: Draft) -> str:
    return tablet.form(draft.sha)[0].title if _is_on_board(tablet, draft) else "Formulario que ya no está aquí"


def _is_on_board(tablet: Tablet, draft: Draft) -> bool:
    return f"bundle/{draft.sha}" in tablet.outbox.documents.list_names()


def show_danger(terminal: PrivateTerminal, engine: Engine | None) -> None:
    """Tell whom to call in danger, while no interview can note it. `engine`: any form on the tablet."""
    while terminal.ask(pages.danger_page(engine)) not in ("", STOP_KEY):
        continue


def _danger_engine(tablet: Tablet, form: str) -> Engine | None:
    """Return the form that tells whom to call: the one of a new interview, or of a draft; None if there is none."""
    with suppress(SyncError):
        return tablet.form(tablet.version(form))[1]
    on_board = (draft.sha for draft in tablet.drafts.list_all() if _is_on_board(tablet, draft))
    return next((tablet.form(sha)[1] for sha in on_board), None)
