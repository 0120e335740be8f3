"""`chaski forms try`: a trial interview on the author's own machine, sealed with temporary keys.

It shows the outcome, the desk, and what a server would learn. It must not send an answer; only --keep-as stores them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import SEALED_RESULTS, Answer, Engine, FilledForm, load_engine
from screening_forms.errors import AnswerError
from screening_forms.scoring.assessment import Assessment, explain_screening
from screening_forms.workbook.editor import add_row
from screening_forms.workbook.package import WORKBOOK_NAMES
from server.cli.authors.compare_inputs import ComparedVersion, compile_local
from server.cli.authors.forms import channel_option
from server.cli.private_terminal import PrivateTerminal
from server.cli.safe_console import make_table
from server.cli.staff_session import Account, optional_account_options
from server.cli.tablet.interview import TerminalInterview
from server.cli.terminal import json_option, now_ms, print_result, read_json_object
from sync.documents import registry
from sync.documents.bundle import Recording
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.dropped_answers import drop_answers
from sync.envelope.route import Route
from sync.envelope.verify import ChainPosition
from sync.keys.key_pairs import RouteKey, SealKey, SigningKey
from sync.tablet.client import Tablet
from sync.tablet.drafts import Draft, Drafts
from sync.tablet.recordings import Recordings
from sync.tablet.screening_route import build_route
from sync.tablet.status import ScreeningResult, SuggestedResult
from sync.tablet.unshown_guidance import Guidance, UnshownGuidance

_TIMESTAMP_TYPES = ("start", "end", "acknowledge")


@dataclass(frozen=True)
class TrialInterview:
    """Result of a trial: the assessment, the route a server would read, the desk, and the envelope's size in bytes."""

    filled: FilledForm
    found: Assessment
    route: Route
    desk: str
    size: int

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, without any answer."""
        sealed = {"server_learns": self.route.to_content(), "desk": self.desk, "envelope_bytes": self.size}
        return {**self.found.as_dict(), **sealed}


def run_trial(form: CompiledForm, scorer: Engine, answers: Mapping[str, Answer], taken: date) -> TrialInterview:
    """Score, prune and seal as a tablet does. Raises AnswerError when a tablet would not seal."""
    filled = scorer.run(answers)
    if filled.missing:
        raise AnswerError(", ".join(filled.missing), "falta una respuesta obligatoria")
    sha = Document(form.to_bytes()).sha256
    read = build_route(form, sha, filled, taken)
    sealed = seal.seal_envelope(
        Content(drop_answers(scorer.write_instance(filled), form.route, form.omit_route), Context(sha)),
        to=SealKey.generate().public,
        route=read,
        route_key=RouteKey.generate().public,
        device=SigningKey.generate(),
        jti=seal.new_screening_id(),
        position=ChainPosition(chain=seal.new_chain_id(), seq=1, kseq=1, prev=""),
        bucket=form.bucket,
    )
    desk = registry.sealed_to(filled.values.get("queue_kinds", "").split())
    return TrialInterview(filled, explain_screening(form, filled), read, desk, len(sealed))


class _DiscardedGuidance(UnshownGuidance):
    """A store of guidance that stores nothing."""

    def __init__(self) -> None:
        """Create it without a folder and a key."""

    def save(self, guidance: Guidance) -> None:
        """Discard the guidance."""

    def destroy(self, guidance_id: str) -> None:
        """Do nothing: no guidance was stored."""

    def destroy_unsealed(self, guidance_id: str) -> None:
        """Do nothing: no guidance was stored."""


class _NoRecordings(Recordings):
    """The recordings of a tablet without storage: all are missing."""

    def missing(self, named: Mapping[str, Recording]) -> tuple[Recording, ...]:
        """Return every recording."""
        return tuple(named.values())


class _DiscardedDrafts(Drafts):
    """A store of drafts that stores nothing."""

    def __init__(self) -> None:
        """Create it without a folder and a key."""
        self.guidance = _DiscardedGuidance()

    def save(self, draft: Draft) -> None:
        """Discard the draft."""

    def destroy(self, id_: str) -> None:
        """Do nothing: no draft was stored."""


class _TrialTablet(Tablet):
    """A tablet without storage, for one form. It seals an interview only to measure the envelope."""

    def __init__(self, form: CompiledForm) -> None:
        self._form, self._scorer = form, load_engine(form.xform)
        self.recordings = _NoRecordings(Path())
        self.trial: TrialInterview | None = None

    @property
    def drafts(self) -> Drafts:
        return _DiscardedDrafts()

    def form(self, sha: str) -> tuple[CompiledForm, Engine]:
        return self._form, self._scorer

    def complete(self, sha: str, answers: Mapping[str, Answer], taken: date, jti: str) -> ScreeningResult:
        self.trial = run_trial(self._form, self._scorer, answers, taken)
        values = self.trial.filled.values
        note = self._scorer.nodes.get(values.get("guidance", ""))
        result = SuggestedResult(values.get("outcome", ""), values.get("tier", ""), note.label if note else {})
        return ScreeningResult(jti, self._form.form_id, sha, self.trial.desk, 1, result)


@dataclass(frozen=True)
class AnswerSource:
    """Source of the answers: a JSON file, a case of the workbook, or an interview in `language`."""

    file: Path | None
    case: str | None
    language: str


def answer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--answers --case --language`. The command receives `source: AnswerSource`."""

    @click.option(
        "--answers",
        type=click.Path(path_type=Path, exists=True),
        help="Take the answers from this JSON file: {question: value or [values]}.",
    )
    @click.option("--case", help="Take the answers from this case of the sheet `cases`.")
    @click.option("--language", default="es", show_default=True, help="Language of the interview.")
    @functools.wraps(command)
    def with_source(*args: Any, answers: Path | None, case: str | None, language: str, **options: Any) -> Any:
        return command(*args, source=AnswerSource(answers, case, language), **options)

    return with_source


@click.command(name="try")
@click.argument("form")
@answer_options
@click.option("--keep-as", metavar="CASE", help="Add the answers and the outcome to the sheet `cases` of FORM.")
@click.option("--report", type=int, metavar="ID", help="Send the outcome to this draft on the server.")
@optional_account_options("for --report")
@channel_option
@json_option
def try_command(
    form: str,
    source: AnswerSource,
    keep_as: str | None,
    report: int | None,
    account: Account | None,
    channel: str,
    as_json: bool,
) -> None:
    """Try FORM in an interview on this machine.

    It shows the outcome, the reasons, the desk, and what a server would learn. The questions appear in this
    terminal as on a tablet, unless --answers or --case gives the answers. Nothing is stored: the keys are temporary.
    Never use it with a real person. --report sends only the outcome, never an answer.
    """
    if report is not None and not account:
        raise click.UsageError("--report needs --login.")
    workbook_path = _workbook_file(form) if keep_as else None
    version = compile_local(form, channel)
    trial = _fill_form(version, source)
    if trial is None:
        raise click.ClickException("the interview was not finished; nothing of it was stored.")
    if keep_as and workbook_path:
        workbook_path.write_bytes(_add_case(workbook_path, keep_as, trial, version.form))
    if report is not None and account:
        _report_trial(account, report, version.form, trial)
    print_result(trial.as_dict(), as_json, lambda console: _print_trial(console, trial))


def _fill_form(version: ComparedVersion, source: AnswerSource) -> TrialInterview | None:
    form = version.form
    today = datetime.now().astimezone().date()
    if source.case is not None:
        known = version.cases
        if source.case not in known:
            raise click.UsageError(f"there is no case {source.case}; the cases are: {', '.join(known) or 'none'}.")
        return run_trial(form, load_engine(form.xform), known[source.case], today)
    if source.file is not None:
        return run_trial(form, load_engine(form.xform), read_json_object(source.file), today)
    if source.language not in form.languages:
        raise click.UsageError(
            f"the form has no language {source.language}; its languages are: {', '.join(form.languages)}."
        )
    tablet = _TrialTablet(form)
    draft = Draft(seal.new_screening_id(), "", now_ms(), now_ms(), source.language, {})
    with PrivateTerminal() as terminal:
        TerminalInterview(tablet, terminal, draft, now_ms).run(today)
    return tablet.trial


def _workbook_file(form: str) -> Path:
    """Return the workbook file: FORM itself, or the one in the folder FORM. Raises UsageError for other files."""
    path = Path(form)
    inside = [path / name for name in WORKBOOK_NAMES if (path / name).is_file()] if path.is_dir() else []
    found = inside[0] if inside else path
    if not found.is_file() or found.suffix.lower() not in (".xlsx", ".md"):
        raise click.UsageError(f"--keep-as writes into a workbook (.xlsx or .md); {form} is not a workbook.")
    return found


def _add_case(place: Path, case: str, trial: TrialInterview, form: CompiledForm) -> bytes:
    nodes = load_engine(form.xform).nodes
    given = {name: text for name, text in trial.filled.answers.items() if nodes[name].type not in _TIMESTAMP_TYPES}
    values = {"outcome": trial.found.outcome, "tier": trial.found.tier}
    kinds = {"queue_kinds": " ".join(trial.found.queue_kinds)}
    return add_row(place.read_bytes(), place.name, "cases", {"case": case, **values, **kinds, **given})


def _report_trial(account: Account, version: int, form: CompiledForm, trial: TrialInterview) -> None:
    told = {name: trial.filled.values.get(name, "") for name in SEALED_RESULTS if name != "urgency"}
    data = {
        "sha": Document(form.to_bytes()).sha256,
        "outcome": told["outcome"] or "not_scored",
        "tier": told["tier"] or "none",
        "queue_kinds": told["queue_kinds"].split(),
        "fired": len(trial.found.fired),
    }
    with account.sign_in() as staff:
        staff.post(f"/v1/versions/{version}/trials", json=data)


def _print_trial(console: Console, trial: TrialInterview) -> None:
    found, kinds = trial.found, ", ".join(trial.found.queue_kinds) or "no queue: counted only"
    decided = f" (tier {found.tier}), urgency {found.urgency}, to: {kinds}"
    console.print(Text.assemble((found.outcome, "bold"), decided))
    for sentence in found.why:
        console.print(Text(f"  {sentence}"))
    console.print(f"Sealed to the {trial.desk} desk: {trial.size:,} bytes, the same for all answers.")
    learnt = trial.route.to_content().items()
    rows = ([name, " ".join(value) if isinstance(value, list) else str(value)] for name, value in learnt)
    console.print(make_table(("the server would learn", ""), rows))
    console.print("Nothing of this interview was kept.", style="dim")
