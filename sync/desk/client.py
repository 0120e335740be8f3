"""The coordinator's client: lists referrals, opens screenings with her own key, works them.

Called by `chaski desk` and by tests. Keys and plaintext stay in memory; nothing counts that its signer did not sign.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.errors import AnswerError
from sync.desk.opened_screening import OpenedScreening, read_screening
from sync.documents import bundle, enrolment, manifest, registry, trust
from sync.documents.registry import Registry
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.envelope import seal
from sync.envelope.verify import Envelope, parse_envelope, verify_envelope
from sync.errors import SyncError
from sync.exchange.staff_session import StaffSession
from sync.keys.key_pairs import SealKey
from sync.wire.json_object import FORM_ID, NAME, SHA256_HEX

MISSING_REACH = 100  # A tablet counts as it likes; this many numbers back are worth a coordinator's look.


@dataclass(frozen=True, kw_only=True)
class VerifiedScreening(OpenedScreening):
    """A screening for which every signature held: tablet's certificate, envelope, author's and reviewer's form.

    `referral` is what the server says of it; `route_agrees` whether the route it read says the same as the screening,
    None without a route. `missing` are numbers below the highest that this tablet gave to screenings for the same
    keyring, and that this session has not opened: for whoever opens them all, a hint that one was withheld. `vouched`
    is false when the newest trust no longer names both who signed the form version.
    """

    referral: dict[str, Any] = field(repr=False)
    jti: str
    device: str
    region: str
    revoked: bool
    form: str
    version: str
    sha: str
    title: str
    vouched: bool
    mode: str
    kseq: int
    missing: tuple[int, ...]
    route_agrees: bool | None

    def as_dict(self) -> dict[str, Any]:
        """Return the screening as plain data, for programs."""
        return {**asdict(self), "assessment": self.assessment.as_dict(), "agrees": self.agrees}


class DeskClient:
    """One coordinator's session."""

    def __init__(self, staff: StaffSession, *, pin: str, now: int) -> None:
        """Fetch and check trust and registry; staff are online, so an expired trust is refused."""
        self.staff = staff
        self.trust: Trust = trust.accept(Document.parse(staff.get_bytes("/v1/trust")), None, pin, now=now, strict=True)
        self.registry: Registry = registry.accept(Document.parse(staff.get_bytes("/v1/registry")), self.trust, None)
        self._forms: dict[str, tuple[CompiledForm, Engine]] = {}
        self._vouched: dict[str, bool] = {}
        self._opened_numbers: dict[tuple[str, str, str], set[int]] = {}

    @classmethod
    def sign_in(cls, url: str, login: str, passphrase: str, *, pin: str) -> Self:
        """Open a session; `pin` names the roots, from the coordinator's own papers, so that no false server passes."""
        pin = trust.read_pin(pin)
        staff = StaffSession.sign_in(url, login, passphrase)
        try:
            return cls(staff, pin=pin, now=time.time_ns() // 1_000_000)
        except SyncError:
            staff.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.staff.close()

    # Work

    def list_queues(self, mode: str = "field") -> list[dict[str, Any]]:
        """List the caller's queues with how much is in each; `mode` is field or training."""
        queues: list[dict[str, Any]] = self.staff.get(f"/v1/queues?mode={mode}")
        return queues

    def list_referrals(self, queue: str, mode: str = "field") -> list[dict[str, Any]]:
        """List the referrals of one queue, the most urgent first."""
        referrals: list[dict[str, Any]] = self.staff.get(f"/v1/queues/{_require_id(queue)}?mode={mode}")
        return referrals

    def claim(self, referral_id: str) -> dict[str, Any]:
        """Reserve a referral, until the lease lapses."""
        return self._post(referral_id, "claim")

    def accept(self, referral_id: str) -> dict[str, Any]:
        """Take on a referral; the tablet is told."""
        return self._post(referral_id, "accept")

    def close(self, referral_id: str, result: str) -> dict[str, Any]:
        """End the work on a referral; the tablet learns that it is closed, not how."""
        return self._post(referral_id, "close", {"result": result})

    def _post(self, referral_id: str, verb: str, content: dict[str, str] | None = None) -> dict[str, Any]:
        referral: dict[str, Any] = self.staff.post(f"/v1/referrals/{_require_id(referral_id)}/{verb}", json=content)
        return referral

    # Opening

    def open_screening(self, referral_id: str) -> VerifiedScreening:
        """Verify everything behind a referral's screening, open it, read it and compute its results anew.

        One that says something else than the route it was sorted by is put on the work list.
        """
        referral = self.staff.get(f"/v1/referrals/{_require_id(referral_id)}")
        opened = self._verify_and_open(referral, self.staff.get_bytes(f"/v1/referrals/{referral_id}/envelope"))
        if opened.route_agrees is False:
            self.staff.post(f"/v1/referrals/{referral_id}/disagreement")
        return opened

    def open_work_item(self, item: int) -> list[VerifiedScreening]:
        """Open every screening that an item of the work list is about, before it is decided."""
        path = f"/v1/work-list/{item}"
        return [
            self._verify_and_open(each, self.staff.get_bytes(f"{path}/envelopes/{each['envelope']}"))
            for each in self.staff.get(path)["envelopes"]
        ]

    def _verify_and_open(self, referral: dict[str, Any], raw: bytes) -> VerifiedScreening:
        sealed = parse_envelope(raw)
        if (sealed.id, sealed.header.jti) != (referral["envelope"], referral["jti"]):
            raise SyncError("desk.other_envelope", "the server handed out another envelope than the referral's")
        certificate = enrolment.accept_certificate(
            Document.parse(self.staff.get_bytes(f"/v1/devices/{sealed.header.dev}/certificate")),
            self.trust,
            sealed.header.dev,
        )
        verify_envelope(sealed, certificate.key)
        instance = seal.open_envelope(sealed, self.unwrap_keyring(sealed))
        sha, form, reading = self._read_instance(instance, referral["route"] or {})
        return VerifiedScreening(
            **vars(reading),
            referral=referral,
            jti=sealed.header.jti,
            device=certificate.label,
            region=certificate.region,
            revoked=sealed.header.dev in self.registry.revoked,
            form=form.form_id,
            version=form.version,
            sha=sha,
            title=form.title,
            vouched=self._vouched[sha],
            mode=form.channel,
            kseq=sealed.header.kseq,
            missing=self._missing_numbers(sealed),
            route_agrees=_route_agrees(referral["route"], reading),
        )

    @cached_property
    def _seal_key(self) -> SealKey:
        return self.staff.seal_key()

    def unwrap_keyring(self, sealed: Envelope) -> SealKey:
        """Unwrap the keyring epoch that an envelope is sealed to, if the caller is a member of it."""
        kid = sealed.header.kid
        for copy in self.staff.me["keyrings"]:
            if copy["kid"] == kid:
                member = self.staff.me["person"]["person"]
                return seal.unwrap_seed(
                    copy["wrapped"], self._seal_key, keyring=copy["keyring"], epoch=copy["epoch"], member_id=member
                )
        raise SyncError("desk.not_a_member", f"you hold no copy of the keyring {kid} that this is sealed to")

    def _read_instance(self, instance: bytes, route: dict[str, Any]) -> tuple[str, CompiledForm, OpenedScreening]:
        """Read the instance by the version that the route names, or else by the first in use that it fits."""
        for form_id, sha in self._candidates(route):
            form, scorer = self._load_form(form_id, sha)
            try:
                return sha, form, read_screening(form, scorer, instance)
            except AnswerError:
                continue
        raise SyncError("desk.unknown_form", "no published form version fits this screening")

    def _candidates(self, route: dict[str, Any]) -> Iterator[tuple[str, str]]:
        named = str(route.get("form", "")), str(route.get("sha", ""))
        if FORM_ID.fullmatch(named[0]) and SHA256_HEX.fullmatch(named[1]):
            yield named
        in_use = manifest.accept(Document.parse(self.staff.get_bytes("/v1/manifest")), self.trust, None)
        for form_id, entries in in_use.forms.items():
            yield from ((form_id, entry.sha) for entry in entries if (form_id, entry.sha) != named)

    def _load_form(self, form_id: str, sha: str) -> tuple[CompiledForm, Engine]:
        if sha not in self._forms:
            signed = Document.parse(self.staff.get_bytes(f"/v1/forms/{form_id}/{sha}"))
            payload, self._vouched[sha] = bundle.accept_for_reading(signed, self.trust, sha)
            form = CompiledForm.from_bytes(payload)
            self._forms[sha] = form, load_engine(form.xform)
        return self._forms[sha]

    def _missing_numbers(self, sealed: Envelope) -> tuple[int, ...]:
        header = sealed.header
        seen = self._opened_numbers.setdefault((header.dev, header.chain, header.kid), set())
        seen.add(header.kseq)
        top = max(seen)
        return tuple(sorted(set(range(max(1, top - MISSING_REACH), top)) - seen))


def _route_agrees(route: dict[str, Any] | None, reading: OpenedScreening) -> bool | None:
    """Hold what the server routed by against what the screening says."""
    if route is None:
        return None
    recorded = {
        "outcome": reading.outcome,
        "tier": reading.tier,
        "urgency": reading.urgency,
        "queue_kinds": sorted(reading.queue_kinds),
    }
    return all(route[name] == value for name, value in recorded.items() if name in route)


def _require_id(typed: str) -> str:
    """Let the id of a queue or referral pass, and nothing that would lead to another address of the server."""
    if not NAME.fullmatch(typed):
        raise SyncError(
            "desk.bad_id", f"{typed!r} is not the id of a queue or referral; `chaski desk queue` lists them"
        )
    return typed
