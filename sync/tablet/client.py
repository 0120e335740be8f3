"""The reference tablet: enrols, pulls what it may trust, screens without a network, and syncs in one request.

Called by `chaski device` and by tests. Answers and results live in memory only; what reaches the disk is sealed.
"""

import re
import time
from collections.abc import Callable, Mapping, Set
from contextlib import closing
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import Answer, Engine, FilledForm
from screening_forms.errors import AnswerError
from sync.documents import enrolment, registry, trust
from sync.documents.enrolment import Invitation
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.route import Route
from sync.envelope.verify import ChainPosition
from sync.errors import SyncError
from sync.exchange.messages import Response
from sync.exchange.transport import ENGLISH_HEADERS, Transport
from sync.keys.key_files import load_secret, save_secret
from sync.keys.key_pairs import SigningKey
from sync.tablet import orders
from sync.tablet.drafts import Drafts
from sync.tablet.form_cache import FormCache, check_usable
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_records import StatusUpdate
from sync.tablet.recordings import Recordings
from sync.tablet.status import (
    REVOKED,
    WIPED,
    WIPING,
    PullResult,
    ScreeningReceipt,
    ScreeningResult,
    SuggestedResult,
    SyncReport,
    TabletStatus,
)
from sync.tablet.sync_client import SyncContext, deliver
from sync.tablet.trusted_documents import (
    DocumentSource,
    TrustedDocuments,
    fetch_documents,
    load_documents,
    update_documents,
    verify_all,
)

DISTRICT = re.compile(r"[0-9]{6}")


def now_ms() -> int:
    """Read the clock."""
    return time.time_ns() // 1_000_000


class Tablet:
    """One tablet, kept in `folder`; one process at a time (SyncError outbox.in_use). Only enrolling makes one."""

    def __init__(self, folder: Path, *, clock: Callable[[], int] = now_ms) -> None:
        self._store = folder / "outbox.db"
        self._drafts, self.recordings = folder / "drafts", Recordings(folder / "recordings")
        self._folders = self._drafts, folder / "recordings"
        if self._store.exists():
            self.outbox = Outbox(self._store)
            orders.finish_wipe(self.outbox, *self._folders)
        self._key_file = folder / "device.key"
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store and the connection."""
        for opened in vars(self).keys() & {"transport", "outbox"}:
            getattr(self, opened).close()

    @cached_property
    def outbox(self) -> Outbox:
        """The tablet's durable store; SyncError tablet.not_enrolled where there is none."""
        if not self._store.exists():
            raise SyncError("tablet.not_enrolled", f"{self._store.parent} holds no tablet; enrolling makes one")
        return Outbox(self._store)

    @property
    def is_made(self) -> bool:
        """Whether this folder holds a tablet, enrolled or about to be."""
        return self._store.exists() and self._key_file.exists()

    @cached_property
    def drafts(self) -> Drafts:
        """The interviews that are not finished."""
        return Drafts(self._drafts, self.outbox)

    @cached_property
    def _library(self) -> FormCache:
        return FormCache(self.outbox)

    @cached_property
    def transport(self) -> Transport:
        """The way to the server, with its count of requests and bytes."""
        return Transport(self._invited().url)

    # Joining

    def enrol(self, invitation: str) -> tuple[str, ...]:
        """Check the roots against the invitation's pin, ask to be enrolled, return the six words to compare.

        Asking again with another invitation keeps the device key, until a registrar has certified it.
        """
        invited = Invitation.parse(invitation)
        if self._store.exists() and self.outbox.documents.get("certificate"):
            raise SyncError("tablet.certified", "a registrar has certified this tablet already")
        with closing(Transport(invited.url)) as transport:
            trust.accept(Document.parse(transport.get("/v1/trust")), None, invited.pin)
            self._make()
            transport.send(
                "POST",
                "/v1/enrolments",
                enrolment.write_enrolment_request(invited.code, self._key).to_bytes(),
                ENGLISH_HEADERS,
            )
        vars(self).pop("transport", None)
        self.outbox.documents.update({"invitation": invitation.strip().encode()})
        return self._key.public.words()

    def _make(self) -> None:
        self._store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._store.exists():
            self.outbox = Outbox(self._store)
        if not self._key_file.exists():
            save_secret(self._key_file, SigningKey.generate())

    def pull(self) -> PullResult:
        """Fetch and verify everything the tablet works by; what fails to verify raises and changes nothing.

        A form version that is refused is told instead, and costs the others nothing. A tablet that is being wiped
        takes nothing before that is complete: SyncError tablet.wiped.
        """
        if self.outbox.orders.tablet_state().wiping:
            raise SyncError("tablet.wiped", WIPING)
        pin = self._invited().pin
        offered = fetch_documents(self.transport, self._key.kid)
        if offered is None:
            return PullResult(certified=False)
        board = replace(verify_all(offered, self._board(), pin=pin, dev=self._key.kid), wiped=False)
        updated = update_documents(board, self._supply(self.drafts.bundles(), again=True))
        self.outbox.orders.allow_forms_again()
        board, missing = self._certified(), self._hear()
        numbers = board.trust.number, board.registry.number, board.manifest.number
        refused = self._library.refused(board.named, board.versions)
        return PullResult(True, *numbers, self._library.in_use(board.versions), updated, refused, missing)

    # Working without a network

    def may_screen(self) -> None:
        """Raise SyncError, with what to tell the person, if this tablet was ordered to begin no screening any more.

        One that was begun before may be completed: somebody has told her story, and the server keeps it for a decision.
        """
        standing = self.outbox.orders.tablet_state()
        if standing.revoked:
            raise SyncError("tablet.revoked", REVOKED)
        if standing.wiping:
            raise SyncError("tablet.wiped", WIPING)
        if standing.wiped:
            raise SyncError("tablet.wiped", WIPED)

    def screen(self, form_id: str, answers: Mapping[str, Answer], taken: date) -> ScreeningResult:
        """Score, prune, seal and keep one interview. Raises AnswerError or SyncError, and then nothing was kept."""
        return self.complete(self.version(form_id), answers, taken, seal.new_screening_id())

    def version(self, form_id: str) -> str:
        """Return the SHA-256 of the version of a form that is in use here, for a new interview."""
        self.may_screen()
        if sha := self._certified().versions.get(form_id):
            return sha
        raise SyncError("tablet.no_form", f"{form_id} is not among this tablet's forms")

    def complete(self, sha: str, answers: Mapping[str, Answer], taken: date, jti: str) -> ScreeningResult:
        """Seal as `screen` does, an interview of a version that may be in use no more; a jti is sealed only once."""
        board = self._certified()
        form, scorer = self.form(sha)
        filled = scorer.run(answers)
        if filled.missing:  # Sealed like this, it would be in no queue, and nobody would ever look at it.
            raise AnswerError(", ".join(filled.missing), "falta una respuesta obligatoria")
        route = build_route(form, sha, filled, taken)
        kind = registry.sealed_to(filled.values.get("queue_kinds", "").split())
        keyring = board.registry.keyring_for(_district(form, filled), kind)
        recipient = keyring.public(self._held(f"key/{keyring.key_sha256}"))
        instance, device = scorer.write_instance(filled), self._key

        def sealed(position: ChainPosition) -> bytes:
            return seal.seal_envelope(
                instance,
                to=recipient,
                route=route,
                route_key=board.manifest.route_key(self._clock()),
                device=device,
                jti=jti,
                position=position,
                bucket=form.bucket,
            )

        kept = self.outbox.envelopes.append(keyring.kid, jti, sealed)
        return ScreeningResult(jti, form.form_id, sha, keyring.id, kept.seq, _suggested_result(scorer, filled))

    def status(self) -> TabletStatus:
        """Tell what is on board."""
        if not self._store.exists():
            return TabletStatus()
        key = self._key.public if self._key_file.exists() else None
        invited = self.outbox.documents.get("invitation") is not None
        board, counts = self._board() if invited else None, self.outbox.envelopes.count_by_state()
        standing = self.outbox.orders.tablet_state()
        return TabletStatus(
            dev=key.kid if key else "",
            words=key.words() if key else (),
            url=self._invited().url if invited else "",
            certified=board is not None,
            label=board.certificate.label if board else "",
            region=board.certificate.region if board else "",
            trust=board.trust.number if board else 0,
            registry=board.registry.number if board else 0,
            manifest=board.manifest.number if board else 0,
            forms=self._library.in_use(board.versions) if board else (),
            waiting=counts["waiting"],
            receipted=counts["receipted"],
            rejected=counts["rejected"],
            drafts=len(self.drafts.all()) if key else 0,
            events=self.outbox.sync_state.list_statuses(),
            old=board is not None and board.trust.is_expired(self._clock()),
            revoked=standing.revoked,
            wiping=bool(standing.wiping),
            wiped=standing.wiped,
            copied=standing.copied,
            refused=self._library.refused(board.named, board.versions) if board else (),
            recordings_missing=len(self.recordings.missing(self._library.recordings())),
        )

    # Syncing

    def sync(self) -> SyncReport:
        """Deliver what waits and learn what is new: one request, more only while there is more than one carries.

        Envelopes and receipts come first; a document that fails to verify raises after them and changes nothing. A form
        version that is refused costs nothing but itself, and recordings come last.
        """
        board, before, jtis = self._certified(), self.transport.traffic, self.outbox.envelopes.screening_ids()
        try:
            delivered = deliver(SyncContext(board, self.outbox, self.transport, self._key, self._clock))
        finally:  # However far the delivery came; what is not receipted stays.
            orders.finish_wipe(self.outbox, *self._folders)
        updated = self._take(self._certified(), delivered.response)
        # Once more, by the newest trust: an order may be of a registrar who was not known before.
        received, trusted = delivered.response.orders, self._certified().trust
        orders.execute(received, trusted, self._key.kid, self.outbox, *self._folders)
        board, missing = self._certified(), self._hear()
        traffic, standing = self.transport.traffic - before, self.outbox.orders.tablet_state()
        return SyncReport(
            requests=traffic.requests,
            sent=delivered.sent,
            receipts=tuple(
                ScreeningReceipt(jtis.get(item.id, ""), item.outcome, item.code) for item in delivered.receipts
            ),
            events=tuple(StatusUpdate(jtis.get(event.id, ""), event.status, event.at) for event in delivered.events),
            updated=updated,
            waiting=self.outbox.envelopes.count_by_state()["waiting"],
            purged=self.outbox.envelopes.purge(delivered.response.at, self._clock()),
            traffic=traffic,
            old=trusted.is_expired(self._clock()),
            revoked=standing.revoked,
            wiping=bool(standing.wiping),
            wiped=standing.wiped,
            copied=standing.copied,
            refused=self._library.refused(board.named, board.versions),
            recordings_missing=missing,
        )

    def _take(self, board: TrustedDocuments, response: Response) -> tuple[str, ...]:
        """Put an answer's documents on board; when they do not fit what is held, all are fetched anew.

        That happens when a registrar was replaced: then the certificate on board needs a new signature too.
        """
        offered = {"registry": response.registry, "manifest": response.manifest}
        newer = {name: document for name, document in offered.items() if document is not None}
        pin, dev = self._invited().pin, self._key.kid
        if newer or response.trust:
            try:
                board = verify_all(newer, board, trusts=response.trust, pin=pin, dev=dev)
            except SyncError:
                fetched = fetch_documents(self.transport, dev)
                if fetched is None:
                    raise
                board = verify_all(fetched, board, pin=pin, dev=dev)
        return update_documents(board, self._supply(frozenset() if board.wiped else self.drafts.bundles()))

    def _supply(self, keep: Set[str], *, again: bool = False) -> DocumentSource:
        return DocumentSource(self.outbox, self.transport, check_usable, keep, self._clock(), again)

    def _hear(self) -> int:
        """Fetch the recordings that the forms on board are heard with, and drop others; return how many are missing."""
        named = {} if self.outbox.orders.tablet_state().wiping else self._library.recordings()
        self.recordings.forget_others(named)
        self.recordings.fetch(named, self.transport)
        return len(self.recordings.missing(named))

    # What is on board

    @cached_property
    def _key(self) -> SigningKey:
        return load_secret(self._key_file, SigningKey)

    def _invited(self) -> Invitation:
        held = self.outbox.documents.get("invitation")
        if held is None:
            raise SyncError("tablet.not_enrolled", "this tablet has not been enrolled")
        return Invitation.parse(held.decode())

    def _board(self) -> TrustedDocuments | None:
        return load_documents(self.outbox, pin=self._invited().pin, dev=self._key.kid)

    def _certified(self) -> TrustedDocuments:
        board = self._board()
        if board is None:
            raise SyncError("tablet.not_certified", "no registrar has certified this tablet yet, or it has not pulled")
        return board

    def _held(self, name: str) -> bytes:
        body = self.outbox.documents.get(name)
        if body is None:
            raise SyncError("tablet.incomplete", f"{name} is missing on board: pull again")
        return body

    def form(self, sha: str) -> tuple[CompiledForm, Engine]:
        """Load a form version once; its bundle was verified before it was stored."""
        return self._library.form(sha)


def build_route(form: CompiledForm, sha: str, filled: FilledForm, taken: date) -> Route:
    """Return what the server may read of a screening, by the form's own mapping (SPEC 7)."""
    values = filled.values
    fields = {name: values[question] for name, question in form.route.items() if values.get(question)}
    if "province" in fields:
        fields["province"] = fields["province"][:4]
    fields |= {name: values[name] for name in ("tier", "urgency") if values.get(name)}
    fields |= {"outcome": values.get("outcome") or "not_scored", "mode": form.channel, "taken": taken.isoformat()}
    content = {**fields, "queue_kinds": sorted(values.get("queue_kinds", "").split())}
    said = {
        name: value for name, value in content.items() if name not in form.omit_route and _is_in_vocabulary(name, value)
    }
    return Route.from_content({"form": form.form_id, "sha": sha, **said})


def _is_in_vocabulary(name: str, value: object) -> bool:
    """Say whether the vocabulary has a code for it; a route is an aid, and never a reason to lose a screening."""
    try:
        Route.from_content({name: value})
    except SyncError:
        return False
    return True


def _district(form: CompiledForm, filled: FilledForm) -> str:
    """Return the district code of the interview; without one the national desk reads the screening."""
    answer = filled.values.get(form.route.get("province", ""), "")
    return answer if DISTRICT.fullmatch(answer) else ""


def _suggested_result(scorer: Engine, filled: FilledForm) -> SuggestedResult:
    note = scorer.nodes.get(filled.values.get("guidance", ""))
    return SuggestedResult(filled.values.get("outcome", ""), filled.values.get("tier", ""), note.label if note else {})
