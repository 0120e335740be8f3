"""What `make bench` measures of forms and sealing, in this process: compiling, checking, comparing, sealing,
verifying, opening.

Everything is done to the real questionnaires and the catalogue's answer files, with keys drawn for the run.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyxform.xls2xform import convert

from bench.figure import Figure, limit_ms, median_ms
from screening_forms.checks.run import check_form
from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import OWN_COLUMNS, compile_form
from screening_forms.engine.evaluator import RESULT_NODES, Engine, FilledForm, load_engine
from screening_forms.expressions.parser import parse_plain
from screening_forms.impact.comparison import compare_outcomes
from screening_forms.workbook.reader import Workbook
from server.cli.demo.story import FORM, INTERVIEWEES, read_answers
from support.forms import compiled, workbook
from support.read_aloud import interview_length
from sync.desk.opened_screening import read_screening
from sync.documents import bundle, trust
from sync.documents.signed import Document
from sync.documents.trust import Signer, Trust
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import AUTHOR_FIELDS, Route
from sync.envelope.verify import ChainPosition, Envelope, parse_envelope, verify_envelope
from sync.keys.key_pairs import RouteKey, SealKey, SigningKey
from sync.tablet.screening_route import build_route

LEFT_OUT = "D5.02"
WRAPPED_FOR: dict[str, Any] = {"keyring": "17-protection", "epoch": 1, "member_id": "coordinator"}
TAKEN = date(2026, 11, 20)


@dataclass(frozen=True)
class SampleInterviews:
    """The questionnaire, loaded, and the story's interviews, filled."""

    form: CompiledForm
    sha: str
    scorer: Engine
    given: Sequence[Mapping[str, Any]]
    filled: Sequence[FilledForm]

    def route(self, filled: FilledForm) -> Route:
        """What the server may read of an interview."""
        return build_route(self.form, self.sha, filled, TAKEN)


@dataclass(frozen=True)
class Keys:
    """Everybody's keys along one screening's way."""

    device: SigningKey
    desk: SealKey
    route: RouteKey
    member: SealKey

    @cached_property
    def wrapped(self) -> str:
        """The desk's keyring, wrapped to one coordinator."""
        return seal.wrap_seed(self.desk.seed, self.member.public, **WRAPPED_FOR)

    def seal(self, samples: SampleInterviews, filled: FilledForm) -> bytes:
        """Seal an interview as the first of a chain."""
        return seal.seal_envelope(
            Content(samples.scorer.write_instance(filled), Context(samples.sha)),
            to=self.desk.public,
            route=samples.route(filled),
            route_key=self.route.public,
            device=self.device,
            jti=seal.new_screening_id(),
            position=ChainPosition(chain=seal.new_chain_id(), seq=1, kseq=1, prev=""),
            bucket=samples.form.bucket,
        )


def prepare() -> SampleInterviews:
    """Compile and load the questionnaire and fill it with the story's answers."""
    form = compiled(FORM)
    scorer = load_engine(form.xform)
    given = [read_answers(person) for person in INTERVIEWEES]
    return SampleInterviews(form, Document(form.to_bytes()).sha256, scorer, given, [scorer.run(each) for each in given])


def compiling(forms: Sequence[str], quick: bool) -> Iterator[Figure]:
    """Milliseconds of compiling each form, of checking and of loading the largest.

    As in a process of its own: expressions are parsed anew, and what the bench itself holds is not looked through for
    garbage. Each limit is what pyxform needs to convert the same survey in one language.
    """
    gc.collect()
    gc.freeze()
    rounds = 1 if quick else 5
    for name in forms:
        book = workbook(name)
        value = median_ms(_compile, [book], rounds, time.process_time)
        limit = limit_ms(convert, [_tables(book)], rounds, time.process_time)
        yield Figure(f"compile.{name}", f"compile {name}", value, "ms", 200, limit, "pyxform alone, one language")
    largest = max(forms, key=lambda name: len(compiled(name).xform))
    value = median_ms(_check, [workbook(largest)], rounds, time.process_time)
    yield Figure("check", f"check the largest form, {largest}", value, "ms", 300)
    value = median_ms(load_engine, [compiled(largest).xform], rounds, time.process_time)
    yield Figure("load", f"load {largest} into the engine", value, "ms")
    gc.unfreeze()


def impacts(samples: SampleInterviews, quick: bool) -> Figure:
    """Seconds of telling what a version that no longer looks for one indicator changes for made-up people."""
    book, count = workbook(FORM), 100 if quick else 10_000
    less = replace(book, indicators=tuple(row for row in book.indicators if row.get("code") != LEFT_OUT))
    new = compile_form(less, channel="training", route_vocabulary=AUTHOR_FIELDS, run_cases=False)
    start = time.perf_counter()
    found = compare_outcomes(samples.form, new, count=count)
    taken = time.perf_counter() - start
    return Figure("impact", f"impact of a version on {found.made_up:,} made-up interviews", taken, "s", 30)


def _compile(book: Workbook) -> CompiledForm:
    parse_plain.cache_clear()
    return compile_form(book, channel="training", route_vocabulary=AUTHOR_FIELDS)


def _check(book: Workbook) -> None:
    parse_plain.cache_clear()
    check_form(book, AUTHOR_FIELDS)


def _tables(book: Workbook) -> dict[str, Any]:
    """What pyxform is given to convert: the author's sheets, and names that the compiler writes and the survey uses."""
    tables: dict[str, Any] = {
        "settings": [{name: book.settings[name] for name in ("form_id", "form_title", "version", "default_language")}],
        "survey": [{name: text for name, text in row.cells.items() if name not in OWN_COLUMNS} for row in book.survey],
        "choices": [row.cells for row in book.choices],
    }
    written = ("consent_policy", *RESULT_NODES)
    tables["survey"] += [{"type": "calculate", "name": name, "calculation": "'x'"} for name in written]
    headers = {f"{name}_header": [dict.fromkeys(key for row in rows for key in row)] for name, rows in tables.items()}
    return tables | headers


def sealing(samples: SampleInterviews, quick: bool) -> list[Figure]:
    """Milliseconds of sealing, verifying and opening one screening; limits are the bare cryptographic operations."""
    times = 20 if quick else 300
    keys = Keys(SigningKey.generate(), SealKey.generate(), RouteKey.generate(), SealKey.generate())
    sealed = [parse_envelope(keys.seal(samples, filled)) for filled in samples.filled]
    return [
        _sealing(samples, keys, times),
        _verifying(keys, sealed, times),
        _opening(samples, keys, sealed, times),
        _first_opening(samples, keys, sealed[0]),
    ]


def _sealing(samples: SampleInterviews, keys: Keys, times: int) -> Figure:
    value = median_ms(lambda filled: keys.seal(samples, filled), samples.filled, times)
    to, signer = keys.desk.public.hpke, Ed25519PrivateKey.generate()

    def bare(_: object) -> None:
        signer.sign(seal.SUITE.encrypt(bytes(32), to, b""))

    limit = limit_ms(bare, [None], times)
    return Figure("seal", "prune, seal and sign one screening", value, "ms", None, limit, "HPKE seal + Ed25519 sign")


def _verifying(keys: Keys, sealed: Sequence[Envelope], times: int) -> Figure:
    raws = [each.raw for each in sealed]
    value = median_ms(lambda raw: verify_envelope(parse_envelope(raw), keys.device.public), raws, times)
    signed = [(keys.device.sign(raw), raw) for raw in raws]
    limit = limit_ms(lambda pair: keys.device.public.verify(*pair), signed, times)
    return Figure("verify", "parse and verify one envelope", value, "ms", None, limit, "Ed25519 verify")


def _open(form: CompiledForm, scorer: Engine, keys: Keys, raw: bytes) -> None:
    """What sync.desk does to an envelope once it has the bytes, the unwrapping of the keyring among it."""
    sealed = parse_envelope(raw)
    verify_envelope(sealed, keys.device.public)
    keyring = seal.unwrap_seed(keys.wrapped, keys.member, **WRAPPED_FOR)
    if not read_screening(form, scorer, seal.open_envelope(sealed, keyring).instance).agrees:
        raise RuntimeError("the desk came to another result than the tablet")


def _opening(samples: SampleInterviews, keys: Keys, sealed: Sequence[Envelope], times: int) -> Figure:
    raws = [each.raw for each in sealed]
    value = median_ms(lambda raw: _open(samples.form, samples.scorer, keys, raw), raws, times)
    key, wrapped = keys.desk.hpke, seal.SUITE.encrypt(bytes(32), keys.desk.public.hpke, b"")
    limit = limit_ms(lambda each: seal.SUITE.decrypt(each, key, b""), [wrapped], times)
    return Figure("open", "open one at the desk, form loaded", value, "ms", 60, limit, "one HPKE open")


def _first_opening(samples: SampleInterviews, keys: Keys, sealed: Envelope) -> Figure:
    """The first one of a session too: author's and reviewer's signatures, the form read and loaded, then opened."""
    author, reviewer = SigningKey.generate(), SigningKey.generate()
    document = Document(samples.form.to_bytes()).signed_by(author, bundle.TYP).signed_by(reviewer, bundle.TYP)
    start = time.perf_counter()
    form = CompiledForm.from_bytes(bundle.accept(Document.parse(document.to_bytes()), _trusting(author, reviewer)))
    _open(form, load_engine(form.xform), keys, sealed.raw)
    value = (time.perf_counter() - start) * 1000
    return Figure("open_first", "open the first one, form not loaded", value, "ms")


def _trusting(author: SigningKey, reviewer: SigningKey) -> Trust:
    payload = trust.TrustContent(
        number=1,
        demo=True,
        roots=[author.public],
        threshold=1,
        registrars=[author.public],
        authors=[Signer(author.public, "author")],
        reviewers=[Signer(reviewer.public, "reviewer")],
        servers=[author.public],
        issued=0,
        expires=1,
    ).to_payload()
    return trust.read(Document(payload).signed_by(author, trust.TYP))


def interview_lengths(names: Sequence[str]) -> Iterator[Figure]:
    """Count what a complete interview of an adult asks and reads aloud (medians of 300 synthetic ones)."""
    for name in names:
        engine = load_engine(compiled(name).xform)
        if "deriva" in engine.nodes:
            length = interview_length(engine, drawn=300, seed=1)
            about, of_choices = f"{name}: words read aloud in an interview", f"{length.words_of_choices:g} of choices"
            yield Figure(f"words.{name}", about, length.words, "words", 700, None, of_choices)
            settled = f"a positive adult's desk is settled after {length.settled:g}"
            yield Figure(f"questions.{name}", f"{name}: questions", length.questions, "questions", None, None, settled)
