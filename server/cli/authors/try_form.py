"""`chaski forms try`: an interview with a draft on the author's own machine, sealed with keys made for the moment.

Nothing of it is kept; what it suggests, to whom it would go and what a server would learn is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from resource import RLIMIT_CORE, setrlimit
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine import evaluator as engine
from screening_forms.engine.evaluator import SEALED, Answer, Engine, Filled
from screening_forms.errors import AnswerError
from screening_forms.scoring import assessment as scoring
from screening_forms.scoring.assessment import Assessment
from screening_forms.workbook import editor as pen
from screening_forms.workbook.package import WORKBOOKS
from server.cli.authors.compare_inputs import Side, compiled_here
from server.cli.authors.forms import channel_option
from server.cli.private_terminal import PrivateTerminal
from server.cli.staff_session import Who, staff_options_for
from server.cli.tablet import interview
from server.cli.terminal import json_option, now_ms, read_object, show
from sync.documents import registry
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.route import Route
from sync.keys.key_pairs import RouteKey, SealKey, SigningKey
from sync.tablet.client import Tablet, route_of
from sync.tablet.drafts import Draft, Drafts
from sync.tablet.status import Result, Screened

_STAMPS = ("start", "end", "acknowledge")


@dataclass(frozen=True)
class Trial:
    """What came out: the score and its reasons, what a server would read, the desk that it would be sealed to, and the
    size of the sealed envelope in bytes."""

    filled: Filled
    found: Assessment
    route: Route
    desk: str
    size: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; no answer is among them."""
        sealed = {"server_learns": self.route.to_content(), "desk": self.desk, "envelope_bytes": self.size}
        return {**self.found.as_dict(), **sealed}


def hold(form: CompiledForm, scorer: Engine, answers: Mapping[str, Answer], taken: date) -> Trial:
    """Score, prune and seal as a tablet would; AnswerError where a tablet would not seal."""
    filled = scorer.run(answers)
    if filled.missing:
        raise AnswerError(", ".join(filled.missing), "falta una respuesta obligatoria")
    read = route_of(form, Document(form.to_bytes()).sha256, filled, taken)
    sealed = seal.seal(
        scorer.instance(filled),
        to=SealKey.generate().public,
        route=read,
        route_key=RouteKey.generate().public,
        device=SigningKey.generate(),
        jti=seal.new_jti(),
        chain=seal.new_chain(),
        seq=1,
        kseq=1,
        prev="",
        bucket=form.bucket,
    )
    desk = registry.sealed_to(filled.values.get("queue_kinds", "").split())
    return Trial(filled, scoring.explain(form, filled), read, desk, len(sealed))


class _NoDrafts(Drafts):
    """Keeps nothing."""

    def __init__(self) -> None:
        """There is no folder and no key."""

    def save(self, draft: Draft) -> None:
        """Let it go."""

    def destroy(self, id_: str) -> None:
        """There is none."""


class _TrialTablet(Tablet):
    """A tablet without a store, for one form: what an interview seals there is only measured."""

    def __init__(self, form: CompiledForm) -> None:
        self._form, self._scorer = form, engine.load(form.xform)
        self.trial: Trial | None = None

    @property
    def drafts(self) -> Drafts:
        return _NoDrafts()

    def form(self, sha: str) -> tuple[CompiledForm, Engine]:
        return self._form, self._scorer

    def complete(self, sha: str, answers: Mapping[str, Answer], taken: date, jti: str) -> Screened:
        self.trial = hold(self._form, self._scorer, answers, taken)
        values = self.trial.filled.values
        note = self._scorer.nodes.get(values.get("guidance", ""))
        result = Result(values.get("outcome", ""), values.get("tier", ""), note.label if note else {})
        return Screened(jti, self._form.form_id, sha, self.trial.desk, 1, result)


@click.command(name="try")
@click.argument("form")
@click.option(
    "--answers", type=click.Path(path_type=Path, exists=True), help="Do not ask: JSON {question: value or [values]}."
)
@click.option("--case", help="Do not ask: take the answers of this case of the sheet `cases`.")
@click.option("--language", default="es", show_default=True, help="In which language to ask.")
@click.option("--keep-as", metavar="CASE", help="Write the answers and what came out into the sheet `cases` of FORM.")
@click.option("--report", type=int, metavar="ID", help="Tell this draft on the server what came out.")
@staff_options_for("for --report")
@channel_option
@json_option
def try_command(
    form: str,
    answers: Path | None,
    case: str | None,
    language: str,
    keep_as: str | None,
    report: int | None,
    who: Who | None,
    channel: str,
    as_json: bool,
) -> None:
    """Hold an interview with FORM here and show what comes out, why, where it would go, and what a server would learn.

    It asks in this terminal as a tablet does, or takes --answers or a --case. Nothing is kept: the keys are made for
    the moment. Never use it with a real person. --report sends only the outcome, never an answer.
    """
    if report is not None and not who:
        raise click.UsageError("--report needs --login.")
    place = _workbook_file(form) if keep_as else None
    side = compiled_here(form, channel)
    trial = _hold(side, answers, case, language)
    if trial is None:
        raise click.ClickException("the interview was not finished; nothing is left of it.")
    if keep_as and place:
        place.write_bytes(_with_case(place, keep_as, trial, side.form))
    if report is not None and who:
        _report(who, report, side.form, trial)
    show(trial.as_dict(), as_json, lambda console: _write(console, trial))


def _hold(side: Side, answers: Path | None, case: str | None, language: str) -> Trial | None:
    form = side.form
    today = datetime.now().astimezone().date()
    if case is not None:
        known = side.cases
        if case not in known:
            raise click.UsageError(f"no case {case}; there is: {', '.join(known) or 'none'}.")
        return hold(form, engine.load(form.xform), known[case], today)
    if answers is not None:
        return hold(form, engine.load(form.xform), read_object(answers), today)
    if language not in form.languages:
        raise click.UsageError(f"the form is not in {language}; it is in: {', '.join(form.languages)}.")
    setrlimit(RLIMIT_CORE, (0, 0))  # As on a tablet: a crash must not write the answers to the disk.
    tablet = _TrialTablet(form)
    draft = Draft(seal.new_jti(), "", now_ms(), now_ms(), language, {})
    with PrivateTerminal() as terminal:
        interview.Conversation(tablet, terminal, draft, now_ms).hold(today)
    return tablet.trial


def _workbook_file(form: str) -> Path:
    """The file that an author writes: FORM itself, or the one in a folder."""
    path = Path(form)
    inside = [path / name for name in WORKBOOKS if (path / name).is_file()] if path.is_dir() else []
    found = inside[0] if inside else path
    if not found.is_file() or found.suffix.lower() not in (".xlsx", ".md"):
        raise click.UsageError(f"--keep-as writes into a workbook (.xlsx or .md); {form} is none.")
    return found


def _with_case(place: Path, case: str, trial: Trial, form: CompiledForm) -> bytes:
    nodes = engine.load(form.xform).nodes
    given = {name: text for name, text in trial.filled.answers.items() if nodes[name].type not in _STAMPS}
    values = {"outcome": trial.found.outcome, "tier": trial.found.tier}
    kinds = {"queue_kinds": " ".join(trial.found.queue_kinds)}
    return pen.add_row(place.read_bytes(), place.name, "cases", {"case": case, **values, **kinds, **given})


def _report(who: Who, version: int, form: CompiledForm, trial: Trial) -> None:
    told = {name: trial.filled.values.get(name, "") for name in SEALED if name != "urgency"}
    data = {
        "sha": Document(form.to_bytes()).sha256,
        "outcome": told["outcome"] or "not_scored",
        "tier": told["tier"] or "none",
        "queue_kinds": told["queue_kinds"].split(),
        "fired": len(trial.found.fired),
    }
    with who.sign_in() as staff:
        staff.post(f"/v1/versions/{version}/trials", json=data)


def _write(console: Console, trial: Trial) -> None:
    found, kinds = trial.found, ", ".join(trial.found.queue_kinds) or "no queue: counted only"
    console.print(f"[bold]{found.outcome}[/] (tier {found.tier}), urgency {found.urgency}, to: {kinds}")
    for sentence in found.why:
        console.print(Text(f"  {sentence}"))
    console.print(f"Sealed to the {trial.desk} desk: {trial.size:,} bytes, whatever the answers are.")
    table = Table("the server would learn", "", box=None, padding=(0, 2, 0, 0))
    for name, value in trial.route.to_content().items():
        table.add_row(name, " ".join(value) if isinstance(value, list) else str(value))
    console.print(table)
    console.print("Nothing of this interview was kept.", style="dim")
