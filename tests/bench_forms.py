"""What `make bench` measures of forms and sealing, in this process: compiling, scoring, sealing, verifying, opening.

Everything is done to the real questionnaire and the catalogue's answer files, with keys drawn for the run.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from agreement import JAR
from bench_figure import Figure, median_ms
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyxform.xls2xform import convert

from screening_forms import engine
from screening_forms.compile import OURS, compile_form
from screening_forms.compiled import CompiledForm
from screening_forms.engine import RESULTS, Engine, Filled
from screening_forms.workbook import Workbook
from server.cli.forms import read_package
from server.cli.story import FORM, PEOPLE, answers
from sync import bundle, envelope, opened, seal, trust
from sync.envelope import Envelope
from sync.keys import RouteKey, SealKey, SigningKey
from sync.route import AUTHOR_FIELDS, Route
from sync.signed import Document
from sync.tablet import route_of
from sync.trust import Signer, Trust

WRAPPED_FOR: dict[str, Any] = {"keyring": "17-protection", "epoch": 1, "member_id": "coordinator"}
TAKEN = date(2026, 11, 20)


@dataclass(frozen=True)
class Material:
    """The questionnaire, loaded, and the story's interviews, filled."""

    form: CompiledForm
    sha: str
    scorer: Engine
    given: Sequence[Mapping[str, Any]]
    filled: Sequence[Filled]

    def route(self, filled: Filled) -> Route:
        """What the server may read of an interview."""
        return route_of(self.form, self.sha, filled, TAKEN)


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
        return seal.wrap(self.desk.seed, self.member.public, **WRAPPED_FOR)

    def seal(self, material: Material, filled: Filled) -> bytes:
        """Seal an interview as the first of a chain."""
        return seal.seal(
            material.scorer.instance(filled),
            to=self.desk.public,
            route=material.route(filled),
            route_key=self.route.public,
            device=self.device,
            jti=seal.new_jti(),
            chain=seal.new_chain(),
            seq=1,
            kseq=1,
            prev="",
            bucket=material.form.bucket,
        )


def prepare() -> Material:
    """Compile and load the questionnaire and fill it with the story's answers."""
    form = compile_book(read_package(FORM).workbook)
    scorer = engine.load(form.xform)
    given = [answers(person) for person in PEOPLE]
    return Material(form, Document(form.to_bytes()).sha256, scorer, given, [scorer.run(each) for each in given])


def compile_book(book: Workbook) -> CompiledForm:
    """Compile for training, without ODK Validate."""
    return compile_form(book, channel="training", route_vocabulary=AUTHOR_FIELDS)


def compiling(material: Material, quick: bool) -> Figure:
    """Milliseconds from the workbook as read to the compiled form; the limit is pyxform's conversion of the survey."""
    book = read_package(FORM).workbook
    value = median_ms(compile_book, [book], 1 if quick else 4)
    tables: dict[str, Any] = {
        "settings": [{name: book.settings[name] for name in ("form_id", "form_title", "version", "default_language")}],
        "survey": [{name: text for name, text in row.cells.items() if name not in OURS} for row in book.survey],
        "choices": [row.cells for row in book.choices],
    }
    # The survey's conditions mention these, which the compiler writes.
    written = ("consent_policy", *RESULTS)
    tables["survey"] += [{"type": "calculate", "name": name, "calculation": "'x'"} for name in written]
    headers = {f"{name}_header": [dict.fromkeys(key for row in rows for key in row)] for name, rows in tables.items()}
    limit = median_ms(lambda given: convert(given), [tables | headers], 1 if quick else 4)
    return Figure("compile", "compile the questionnaire", value, "ms", None, limit, "pyxform alone, one language")


def scoring(material: Material, java: Path | None, quick: bool) -> list[Figure]:
    """Milliseconds of scoring one screening with the form loaded, and JavaRosa's on the same form and answers."""
    value = median_ms(material.scorer.run, material.given, 50 if quick else 1000)
    loading = median_ms(engine.load, [material.form.xform], 1 if quick else 5)
    theirs = javarosa(material, java, 1 if quick else 40) if java else {}
    limits = ("JavaRosa, answers all there", "JavaRosa, question by question") if theirs else ("no JDK", "no JDK")
    return [
        Figure("score", "score one screening, form loaded", value, "ms", 5, theirs.get("recompute"), limits[0]),
        Figure("score_walk", "the same, beside Collect's way", value, "ms", None, theirs.get("fill"), limits[1]),
        Figure("load", "load the form into the engine", loading, "ms"),
    ]


def javarosa(material: Material, java: Path, rounds: int) -> dict[str, float]:
    """Median milliseconds of JavaRosa, timed inside a warm JVM; its outcomes must equal ours."""
    with tempfile.TemporaryDirectory(prefix="chaski-bench-") as folder:
        xform = Path(folder) / "form.xml"
        xform.write_text(material.form.xform, encoding="utf-8")
        command = ["java", "-cp", f"{JAR}{os.pathsep}{java}", "FillAsCollect", xform, str(rounds)]
        lines = "\n".join(
            "\t".join([str(number), *(f"{name}={text}" for name, text in filled.answers.items())])
            for number, filled in enumerate(material.filled)
        )
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    printed = (line.split("\t") for line in done.stdout.splitlines())
    theirs = [value for _, node, _, value in printed if node == "outcome"]
    if theirs != [filled.values["outcome"] for filled in material.filled]:
        raise RuntimeError(f"JavaRosa comes to other outcomes: {theirs}")
    timed = (line.split() for line in done.stderr.splitlines() if line.startswith(("fill ", "recompute ")))
    return {name: float(milliseconds) for name, milliseconds in timed}


def sealing(material: Material, quick: bool) -> list[Figure]:
    """Milliseconds of sealing, verifying and opening one screening; limits are the bare cryptographic operations."""
    times = 20 if quick else 300
    keys = Keys(SigningKey.generate(), SealKey.generate(), RouteKey.generate(), SealKey.generate())
    sealed = [envelope.parse(keys.seal(material, filled)) for filled in material.filled]
    return [
        _sealing(material, keys, times),
        _verifying(keys, sealed, times),
        _opening(material, keys, sealed, times),
        _first_opening(material, keys, sealed[0]),
    ]


def _sealing(material: Material, keys: Keys, times: int) -> Figure:
    value = median_ms(lambda filled: keys.seal(material, filled), material.filled, times)
    to, signer = keys.desk.public.hpke, Ed25519PrivateKey.generate()

    def bare(_: object) -> None:
        signer.sign(seal.SUITE.encrypt(bytes(32), to, b""))

    limit = median_ms(bare, [None], times)
    return Figure("seal", "prune, seal and sign one screening", value, "ms", None, limit, "HPKE seal + Ed25519 sign")


def _verifying(keys: Keys, sealed: Sequence[Envelope], times: int) -> Figure:
    raws = [each.raw for each in sealed]
    value = median_ms(lambda raw: envelope.verify(envelope.parse(raw), keys.device.public), raws, times)
    signed = [(keys.device.sign(raw), raw) for raw in raws]
    limit = median_ms(lambda pair: keys.device.public.verify(*pair), signed, times)
    return Figure("verify", "parse and verify one envelope", value, "ms", None, limit, "Ed25519 verify")


def _open(form: CompiledForm, scorer: Engine, keys: Keys, raw: bytes) -> None:
    """What sync.desk does to an envelope once it has the bytes, the unwrapping of the keyring among it."""
    sealed = envelope.parse(raw)
    envelope.verify(sealed, keys.device.public)
    keyring = seal.unwrap(keys.wrapped, keys.member, **WRAPPED_FOR)
    if not opened.read(form, scorer, seal.open_envelope(sealed, keyring)).agrees:
        raise RuntimeError("the desk came to another result than the tablet")


def _opening(material: Material, keys: Keys, sealed: Sequence[Envelope], times: int) -> Figure:
    raws = [each.raw for each in sealed]
    value = median_ms(lambda raw: _open(material.form, material.scorer, keys, raw), raws, times)
    key, wrapped = keys.desk.hpke, seal.SUITE.encrypt(bytes(32), keys.desk.public.hpke, b"")
    limit = median_ms(lambda each: seal.SUITE.decrypt(each, key, b""), [wrapped], times)
    return Figure("open", "open one at the desk, form loaded", value, "ms", 60, limit, "one HPKE open")


def _first_opening(material: Material, keys: Keys, sealed: Envelope) -> Figure:
    """The first one of a session too: author's and reviewer's signatures, the form read and loaded, then opened."""
    author, reviewer = SigningKey.generate(), SigningKey.generate()
    document = Document(material.form.to_bytes()).signed_by(author, bundle.TYP).signed_by(reviewer, bundle.TYP)
    start = time.perf_counter()
    form = CompiledForm.from_bytes(bundle.accept(Document.parse(document.to_bytes()), _trusting(author, reviewer)))
    _open(form, engine.load(form.xform), keys, sealed.raw)
    value = (time.perf_counter() - start) * 1000
    return Figure("open_first", "open the first one, form not loaded", value, "ms")


def _trusting(author: SigningKey, reviewer: SigningKey) -> Trust:
    payload = trust.make(
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
    )
    return trust.read(Document(payload).signed_by(author, trust.TYP))
