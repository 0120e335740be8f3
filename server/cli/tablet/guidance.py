"""Guidance in the terminal: shown after the sealing, and again at the next start until it was shown to its end.

`chaski device screen` and the interview call it. Guidance is deleted only after its page was shown to its end.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from screening_forms.engine.evaluator import Engine
from server.cli.private_terminal import STOP_KEY, PrivateTerminal
from server.cli.tablet import step_pages as pages
from server.cli.tablet.interview_start import show_danger
from sync.errors import SyncError
from sync.tablet.client import Tablet
from sync.tablet.unshown_guidance import Guidance, UnshownGuidance


def offer_unshown(tablet: Tablet, terminal: PrivateTerminal) -> None:
    """Offer the guidance that the inspector has not seen, after a power cut or a closed terminal."""
    for guidance in tablet.drafts.guidance.list_all():
        engine = _engine(tablet, guidance)
        terminal.on_danger = partial(show_danger, terminal, engine)
        while (line := terminal.ask(pages.unshown_guidance_page()).lower()) not in ("", "ver", STOP_KEY):
            continue
        if line == "ver":
            show(terminal, engine, guidance, tablet.drafts.guidance)


def show(terminal: PrivateTerminal, engine: Engine | None, guidance: Guidance, unshown: UnshownGuidance) -> None:
    """Show guidance to its end, then delete it. An inspector who leaves earlier sees it again at the next start."""
    note = engine.nodes.get(guidance.note) if engine else None
    page = pages.guidance_page(note, open_consent=guidance.open_consent, readable=engine is not None)
    while (line := terminal.ask(page)) != STOP_KEY:
        if not line:
            with suppress(OSError):  # It is shown once more: better than never.
                unshown.destroy(guidance.id)
            return


def _engine(tablet: Tablet, guidance: Guidance) -> Engine | None:
    """Return the form of the guidance; None if the file is damaged or the form is missing."""
    with suppress(SyncError):
        return tablet.form(guidance.sha)[1]
    return None
