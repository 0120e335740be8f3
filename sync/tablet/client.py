"""The reference tablet: enrols, pulls signed documents, screens without a network, and syncs in one request.

`chaski device` and the tests call it. Answers and results exist in memory only. Everything on disk is encrypted.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import closing, suppress
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import Answer, Engine, FilledForm
from screening_forms.errors import AnswerError
from sync.documents import registry, trust
from sync.documents.enrolment import Invitation
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.dropped_answers import drop_answers
from sync.envelope.verify import ChainPosition
from sync.errors import SyncError
from sync.exchange.transport import Transport
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey
from sync.tablet import courier, orders
from sync.tablet.courier import HandOver, TakenReceipts
from sync.tablet.drafts import Drafts
from sync.tablet.enrolling import request_enrolment
from sync.tablet.form_cache import FormCache, check_usable
from sync.tablet.keyring_keys import fetch_other_keys
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_records import StatusUpdate
from sync.tablet.received_documents import ReceivedDocuments
from sync.tablet.recordings import Recordings
from sync.tablet.screening_route import build_route, place_of
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
    accept_received,
    fetch_documents,
    load_documents,
    update_documents,
)


def now_ms() -> int:
    """Return the clock's time in milliseconds."""
    return time.time_ns() // 1_000_000


class Tablet:
    """One tablet, stored in `folder`.

    Only `enrol` creates it. One process may open it at a time; a second one gets SyncError `outbox.in_use`. `proxy`
    (http://host:port, or empty) is the way to the server.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], int] = now_ms, proxy: str = "") -> None:
        self._store_path = folder / "outbox.db"
        self._drafts, self.recordings = folder / "drafts", Recordings(folder / "recordings")
        self._wiped_folders = self._drafts, folder / "recordings"
        if self._store_path.exists():
            self.outbox = Outbox(self._store_path)
            orders.finish_wipe(self.outbox, *self._wiped_folders)
        self._key_file = folder / "device.key"
        self._clock, self._proxy = clock, proxy

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
        """The tablet's durable store. Raise SyncError `tablet.not_enrolled` if the folder has none."""
        if not self._store_path.exists():
            raise SyncError("tablet.not_enrolled", f"{self._store_path.parent} holds no tablet; enrolling makes one")
        return Outbox(self._store_path)

    @property
    def is_created(self) -> bool:
        """Whether this folder holds a tablet, enrolled or in enrolment."""
        return self._store_path.exists() and self._key_file.exists()

    @cached_property
    def drafts(self) -> Drafts:
        """The unfinished interviews."""
        return Drafts(self._drafts, self.outbox)

    @cached_property
    def _forms(self) -> FormCache:
        return FormCache(self.outbox)

    @cached_property
    def transport(self) -> Transport:
        """The HTTP client for the server; it counts requests and bytes."""
        return Transport(self._invitation().url, proxy=self._proxy)

    # Joining

    def enrol(self, invitation: str) -> tuple[str, ...]:
        """Verify the roots against the invitation's pin, request enrolment, and return the six words to compare.

        A new invitation keeps the device key, until a registrar has certified it.
        """
        accepted = Invitation.parse(invitation)
        if self._store_path.exists() and self.outbox.documents.get("certificate"):
            raise SyncError("tablet.certified", "a registrar has certified this tablet already")
        folder = self._store_path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with closing(Transport(accepted.url, proxy=self._proxy)) as transport:
                trusted = request_enrolment(transport, accepted, self._key_file)
        except SyncError:
            with suppress(OSError):  # Only if it is empty: then nothing of a tablet is in it.
                folder.rmdir()
            raise
        if not self._store_path.exists():
            self.outbox = Outbox(self._store_path)
        vars(self).pop("transport", None)
        self.outbox.documents.update({"invitation": invitation.strip().encode(), "trust": trusted})
        return self._key.public.words()

    def pull(self) -> PullResult:
        """Fetch and verify all documents that the tablet works with. A document that fails raises and changes nothing.

        A refused form version is reported in the result and does not affect other forms. Raise SyncError `tablet.wiped`
        while a wipe is unfinished.
        """
        if self.outbox.orders.tablet_state().wiping:
            raise SyncError("tablet.wiped", WIPING)
        if (fetched := self._fetch_documents()) is None:
            return PullResult(certified=False)
        documents, keys = fetched
        source = self._document_source(self.drafts.bundle_names(), again=True, keys=keys)
        updated = update_documents(replace(documents, wiped=False), source)
        self.outbox.orders.allow_forms_again()
        documents, missing = self._require_certified(), self._update_recordings()
        numbers = documents.trust.number, documents.registry.number, documents.manifest.number
        refused = self._forms.list_refused(documents.named, documents.versions)
        return PullResult(True, *numbers, self._forms.list_in_use(documents.versions), updated, refused, missing)

    # Working without a network

    def require_may_screen(self) -> None:
        """Raise SyncError, with a text for the person, if an order forbids new screenings on this tablet.

        An interview that began before the order may be completed. A person has told her story, and the server keeps it
        for a decision.
        """
        state = self.outbox.orders.tablet_state()
        if state.revoked:
            raise SyncError("tablet.revoked", REVOKED)
        if state.wiping:
            raise SyncError("tablet.wiped", WIPING)
        if state.wiped:
            raise SyncError("tablet.wiped", WIPED)

    def screen(self, form_id: str, answers: Mapping[str, Answer], taken: date) -> ScreeningResult:
        """Score, prune, seal and store one interview. If AnswerError or SyncError is raised, nothing was stored.

        The answers of a person who did not agree are dropped between pruning and sealing (SPEC 8.1 step 0).
        """
        return self.complete(self.version(form_id), answers, taken, seal.new_screening_id())

    def version(self, form_id: str) -> str:
        """Return the SHA-256 of the form version that a new interview uses."""
        self.require_may_screen()
        if sha := self._require_certified().versions.get(form_id):
            return sha
        raise SyncError("tablet.no_form", f"{form_id} is not among this tablet's forms")

    def complete(self, sha: str, answers: Mapping[str, Answer], taken: date, jti: str) -> ScreeningResult:
        """Seal an interview as `screen` does; `sha` may be out of use by now. A jti is sealed only once."""
        documents = self._require_certified()
        form, scorer = self.form(sha)
        filled = scorer.run(answers)
        # Sealed like this, the screening would be in no queue, and no coordinator would ever read it.
        if filled.missing:
            raise AnswerError(", ".join(filled.missing), "falta una respuesta obligatoria")
        route = build_route(form, sha, filled, taken)
        kind = registry.sealed_to(filled.values.get("queue_kinds", "").split())
        on_board = [name.removeprefix("key/") for name in self.outbox.documents.list_names()]
        keyring = documents.registry.keyring_on_board(place_of(form, filled), kind, on_board)
        recipient = keyring.public(self._require_document(f"key/{keyring.key_sha256}"))
        instance = drop_answers(scorer.write_instance(filled), form.route, form.omit_route)
        device = self._key

        def sealed(position: ChainPosition) -> bytes:
            return seal.seal_envelope(
                Content(instance, Context(sha)),
                to=recipient,
                route=route,
                route_key=documents.manifest.route_key(self._clock()),
                device=device,
                jti=jti,
                position=position,
                bucket=form.bucket,
            )

        stored = self.outbox.envelopes.append(keyring.kid, jti, sealed, urgency=filled.values.get("urgency", ""))
        return ScreeningResult(jti, form.form_id, sha, keyring.id, stored.seq, _suggested_result(scorer, filled))

    def status(self) -> TabletStatus:
        """Return the tablet's state from local data only."""
        if not self._store_path.exists():
            return TabletStatus()
        key = self._key.public if self._key_file.exists() else None
        invitation_is_held = self.outbox.documents.get("invitation") is not None
        documents = self._trusted_documents() if invitation_is_held else None
        counts = self.outbox.envelopes.count_by_state()
        state = self.outbox.orders.tablet_state()
        return TabletStatus(
            dev=key.kid if key else "",
            words=key.words() if key else (),
            url=self._invitation().url if invitation_is_held else "",
            certified=documents is not None,
            label=documents.certificate.label if documents else "",
            region=documents.certificate.region if documents else "",
            trust=documents.trust.number if documents else 0,
            registry=documents.registry.number if documents else 0,
            manifest=documents.manifest.number if documents else 0,
            forms=self._forms.list_in_use(documents.versions) if documents else (),
            waiting=counts["waiting"],
            receipted=counts["receipted"],
            rejected=counts["rejected"],
            drafts=len(self.drafts.list_all()) if key else 0,
            events=self.outbox.sync_state.list_statuses(),
            old=documents is not None and documents.trust.is_expired(self._clock()),
            revoked=state.revoked,
            wiping=bool(state.wiping),
            wiped=state.wiped,
            copied=state.copied,
            refused=self._forms.list_refused(documents.named, documents.versions) if documents else (),
            recordings_missing=len(self.recordings.missing(self._forms.list_recordings(self.drafts.bundle_names()))),
            **dict(zip(("handed_over", "handed_over_at"), self.outbox.envelopes.last_handed_over(), strict=True)),
        )

    # Syncing

    def sync(self) -> SyncReport:
        """Send waiting envelopes and fetch news in one request; repeat only while more remains.

        Envelopes and receipts come first. A document that fails to verify raises after them and changes nothing. A
        refused form version affects only itself. Recordings come last. What ended the delivery is raised after all.
        """
        documents, jtis = self._require_certified(), self.outbox.envelopes.screening_ids()
        before = self.transport.traffic
        try:
            parts = documents, self.outbox, self.transport, self._key, self._clock
            delivered = deliver(SyncContext(*parts, folders=self._wiped_folders))
        finally:  # This runs however far the delivery came. Only envelopes that it erased go.
            orders.finish_wipe(self.outbox, *self._wiped_folders)
        updated = self._accept_documents(self._require_certified(), delivered.received)
        self._execute_orders(delivered.orders)
        documents, missing = self._require_certified(), self._fetch_rest()
        if delivered.failure is not None:
            raise delivered.failure
        traffic, state = self.transport.traffic - before, self.outbox.orders.tablet_state()
        return SyncReport(
            requests=traffic.requests,
            sent=delivered.sent,
            receipts=tuple(
                ScreeningReceipt(jtis.get(item.id, ""), item.outcome, item.code) for item in delivered.receipts
            ),
            events=tuple(StatusUpdate(jtis.get(event.id, ""), event.status, event.at) for event in delivered.events),
            updated=updated,
            waiting=self.outbox.envelopes.count_by_state()["waiting"],
            purged=delivered.erased,
            traffic=traffic,
            old=documents.trust.is_expired(self._clock()),
            revoked=state.revoked,
            wiping=bool(state.wiping),
            wiped=state.wiped,
            copied=state.copied,
            refused=self._forms.list_refused(documents.named, documents.versions),
            recordings_missing=missing,
        )

    def _execute_orders(self, received: Sequence[Document]) -> None:
        # Again, with the newest trust: an order may come from a registrar who was not known before.
        trusted = self._require_certified().trust
        orders.execute(received, trusted, self._key.kid, self.outbox, *self._wiped_folders)

    def _accept_documents(self, documents: TrustedDocuments, received: ReceivedDocuments) -> tuple[str, ...]:
        """Store the documents that were received. If they contradict those held, fetch all of them again.

        That happens when a registrar was replaced: then the stored certificate needs a new signature too. If more are
        to come, they wait for these, also beyond the end of this sync.
        """
        keys: Mapping[str, bytes] = {}
        try:
            accepted = accept_received(documents, received, dev=self._key.kid)
        except SyncError:
            if not received.whole:
                return ()
            self.outbox.documents.update({}, [ReceivedDocuments.NAME])
            if (fetched := self._fetch_documents()) is None:
                raise
            accepted, keys = fetched
        keep: Set[str] = frozenset() if accepted.wiped else self.drafts.bundle_names()
        return update_documents(accepted, self._document_source(keep, keys=keys, along=received.forms))

    def _fetch_documents(self) -> tuple[TrustedDocuments, dict[str, bytes]] | None:
        pin, held, enrolled = self._invitation().pin, self._trusted_documents(), self.outbox.documents.get("trust")
        known = trust.reopen(Document.parse(enrolled)) if enrolled is not None else None
        return fetch_documents(self.transport, held, known, pin=pin, dev=self._key.kid)

    def _document_source(self, keep: Set[str], **said: Any) -> DocumentSource:
        return DocumentSource(self.outbox, self.transport, check_usable, keep, self._clock(), **said)

    def _fetch_rest(self) -> int:
        """Fetch what no screening waits for: keys of other regions, then recordings; return how many of these miss."""
        fetch_other_keys(self._require_certified().keyrings, self.outbox.documents, self.transport)
        return self._update_recordings()

    def _update_recordings(self) -> int:
        """Fetch the recordings of the stored forms and delete others; return how many are missing."""
        wiping = self.outbox.orders.tablet_state().wiping
        named = {} if wiping else self._forms.list_recordings(self.drafts.bundle_names())
        self.recordings.remove_others(named)
        self.recordings.fetch(named, self.transport)
        return len(self.recordings.missing(named))

    # A courier instead of a network

    def hand_over(self, path: Path) -> HandOver:
        """Write a courier file with copies of all envelopes that have no receipt; `path` is a new file or a folder."""
        documents = self._require_certified()
        return courier.hand_over(self.outbox, path, dev=self._key.kid, pin=documents.trust.pin, now=self._clock())

    def take_receipts(self, path: Path) -> TakenReceipts:
        """Take in the receipts for this tablet from a courier file. Raise SyncError `tablet.wiped` during a wipe."""
        if self.outbox.orders.tablet_state().wiping:  # Only what a sync confirms may be destroyed.
            raise SyncError("tablet.wiped", WIPING)
        documents = self._require_certified()
        return courier.take_receipts(self.outbox, path, dev=self._key.kid, trust=documents.trust, now=self._clock())

    # Stored documents

    @cached_property
    def _key(self) -> SigningKey:
        return load_secret(self._key_file, SigningKey)

    def _invitation(self) -> Invitation:
        held = self.outbox.documents.get("invitation")
        if held is None:
            raise SyncError("tablet.not_enrolled", "this tablet has not been enrolled")
        return Invitation.parse(held.decode())

    def _trusted_documents(self) -> TrustedDocuments | None:
        return load_documents(self.outbox, dev=self._key.kid)

    def _require_certified(self) -> TrustedDocuments:
        documents = self._trusted_documents()
        if documents is None:
            raise SyncError("tablet.not_certified", "no registrar has certified this tablet yet, or it has not pulled")
        return documents

    def _require_document(self, name: str) -> bytes:
        body = self.outbox.documents.get(name)
        if body is None:
            raise SyncError("tablet.incomplete", f"{name} is missing on this tablet: pull again")
        return body

    def form(self, sha: str) -> tuple[CompiledForm, Engine]:
        """Load a form version once. Its bundle was verified before it was stored."""
        return self._forms.form(sha)


def _suggested_result(scorer: Engine, filled: FilledForm) -> SuggestedResult:
    note = scorer.nodes.get(filled.values.get("guidance", ""))
    return SuggestedResult(filled.values.get("outcome", ""), filled.values.get("tier", ""), note.label if note else {})
