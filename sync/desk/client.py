"""The coordinator's client: lists referrals, opens screenings with the coordinator's own key, and works on them.

`chaski desk` and the tests call it. Keys and plaintext stay in memory. The client accepts nothing without a valid
signature of the right signer.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sync.desk.form_versions import FormVersions
from sync.desk.opened_screening import OpenedScreening
from sync.documents import enrolment, trust
from sync.documents.registry import Registry
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.envelope import seal
from sync.envelope.verify import Envelope, parse_envelope, verify_envelope
from sync.errors import SyncError
from sync.exchange.audit_heads import compare_audit_heads
from sync.exchange.known_documents import KnownDocumentsFile
from sync.exchange.staff_documents import StaffDocuments
from sync.exchange.staff_session import StaffSession
from sync.keys.key_pairs import SealKey
from sync.wire.json_object import NAME, SHA256_HEX

MISSING_REACH = 100  # A tablet chooses its numbers freely. The desk shows at most this many missing ones.


@dataclass(frozen=True, kw_only=True)
class VerifiedScreening(OpenedScreening):
    """A screening with valid signatures: tablet's certificate, envelope, form author and form reviewer.

    `referral` holds what the server states about it. `route_agrees` is True if the server's route equals the
    screening's results and names the sealed form version; it is None without a route. `sealed_sha` is the form version
    that the tablet sealed, '' for an older tablet. If it is not `sha`, it could not be used. `missing` lists numbers
    below the highest `kseq` of this tablet and keyring that this session has not opened. For a coordinator who opens
    every screening, they hint that one was withheld. `vouched` is False if the newest trust does not name both signers
    of the form version.
    """

    referral: dict[str, Any] = field(repr=False)
    jti: str
    device: str
    region: str
    revoked: bool
    form: str
    version: str
    sha: str
    sealed_sha: str
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
    """The session of one coordinator."""

    def __init__(self, staff: StaffSession, *, pin: str, now: int, known: Path | None = None) -> None:
        """Fetch and verify trust and registry; neither may be older than those in the file `known`.

        The user must read `warnings`. SyncError `trust.expired` comes when 45 days of grace are over.
        """
        self.staff = staff
        file = KnownDocumentsFile(known)
        self._documents = StaffDocuments(staff.get_bytes, pin=pin, now=now, known=file)
        self.trust: Trust = self._documents.trust
        self.registry: Registry = self._documents.fetch_registry()
        self.warnings = self._documents.warnings + (compare_audit_heads(staff, file) if known else ())
        self._versions = FormVersions(staff, self._documents)
        self._opened_numbers: dict[tuple[str, str, str], set[int]] = {}

    @classmethod
    def sign_in(
        cls, url: str, login: str, passphrase: str, *, pin: str, proxy: str = "", known: Path | None = None
    ) -> Self:
        """Open a session.

        `pin` identifies the root keys. It comes from the coordinator's own papers, so a false server cannot pass.
        `known` is the file with the documents that this client has accepted under the pin; None: it forgets them.
        """
        pin = trust.read_pin(pin)
        staff = StaffSession.sign_in(url, login, passphrase, pin=pin, proxy=proxy, known=KnownDocumentsFile(known))
        try:
            return cls(staff, pin=pin, now=time.time_ns() // 1_000_000, known=known)
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
        """List the caller's queues with the number of referrals in each; `mode` is field or training."""
        return self.staff.list(f"/v1/queues?mode={mode}")

    def list_referrals(self, queue: str, mode: str = "field") -> list[dict[str, Any]]:
        """List all open referrals of one queue, the most urgent first."""
        return [each for page in self.referral_pages(queue, mode) for each in page]

    def referral_pages(self, queue: str, mode: str = "field") -> Iterator[list[dict[str, Any]]]:
        """Fetch the open referrals of one queue page by page, the most urgent first."""
        return self.staff.pages(f"/v1/queues/{_require_id(queue)}?mode={mode}")

    def claim(self, referral_id: str) -> dict[str, Any]:
        """Reserve a referral for the caller until the lease lapses."""
        return self._post(referral_id, "claim")

    def accept(self, referral_id: str) -> dict[str, Any]:
        """Take on a referral. The server sends this status to the tablet."""
        return self._post(referral_id, "accept")

    def close(self, referral_id: str, result: str) -> dict[str, Any]:
        """End the work on a referral. The tablet receives the status "closed" without the result."""
        return self._post(referral_id, "close", {"result": result})

    def _post(self, referral_id: str, verb: str, content: dict[str, str] | None = None) -> dict[str, Any]:
        referral: dict[str, Any] = self.staff.post(f"/v1/referrals/{_require_id(referral_id)}/{verb}", json=content)
        return referral

    # Opening

    def open_screening(self, referral_id: str) -> VerifiedScreening:
        """Verify all signatures behind a referral's screening, decrypt it, read it and compute its results again.

        If the results differ from the route that the server sorted it by, this reports it to the work list.
        """
        referral = self.staff.get(f"/v1/referrals/{_require_id(referral_id)}")
        opened = self._verify_and_open(referral, self.staff.get_bytes(f"/v1/referrals/{referral_id}/envelope"))
        if opened.route_agrees is False:
            self.staff.post(f"/v1/referrals/{referral_id}/disagreement")
        return opened

    def open_work_item(self, item: int) -> list[VerifiedScreening]:
        """Open every screening that an item of the work list concerns, for the decision on it."""
        path = f"/v1/work-list/{item}"
        return [
            self._verify_and_open(each, self.staff.get_bytes(f"{path}/envelopes/{each['envelope']}"))
            for each in self.staff.get(path)["envelopes"]
        ]

    def _verify_and_open(self, referral: dict[str, Any], raw: bytes) -> VerifiedScreening:
        sealed = parse_envelope(raw)
        if (sealed.id, sealed.header.jti) != (referral["envelope"], referral["jti"]):
            raise SyncError("desk.other_envelope", "the server sent an envelope that is not the referral's")
        certificate = enrolment.accept_certificate(
            Document.parse(self.staff.get_bytes(f"/v1/devices/{sealed.header.dev}/certificate")),
            self.trust,
            sealed.header.dev,
        )
        verify_envelope(sealed, certificate.key)
        content = seal.open_envelope(sealed, self.unwrap_keyring(sealed))
        sealed_sha, route = content.context.sha if content.context else "", referral["route"]
        version, reading = self._versions.read(content.instance, _named_versions(sealed_sha, route))
        return VerifiedScreening(
            **vars(reading),
            referral=referral,
            jti=sealed.header.jti,
            device=certificate.label,
            region=certificate.region,
            revoked=sealed.header.dev in self.registry.revoked,
            form=version.form.form_id,
            version=version.form.version,
            sha=version.sha,
            sealed_sha=sealed_sha,
            title=version.form.title,
            vouched=version.vouched,
            mode=version.form.channel,
            kseq=sealed.header.kseq,
            missing=self._missing_numbers(sealed),
            route_agrees=_route_agrees(route, reading, sealed_sha),
        )

    @cached_property
    def _seal_key(self) -> SealKey:
        return self.staff.seal_key()

    def unwrap_keyring(self, sealed: Envelope) -> SealKey:
        """Unwrap the keyring epoch that an envelope is sealed to; SyncError `desk.not_a_member` for other people."""
        kid = sealed.header.kid
        for copy in self.staff.me["keyrings"]:
            if copy["kid"] == kid:
                member = self.staff.me["person"]["person"]
                return seal.unwrap_seed(
                    copy["wrapped"], self._seal_key, keyring=copy["keyring"], epoch=copy["epoch"], member_id=member
                )
        raise SyncError("desk.not_a_member", f"you hold no copy of the keyring {kid} that this screening is sealed to")

    def _missing_numbers(self, sealed: Envelope) -> tuple[int, ...]:
        header = sealed.header
        seen = self._opened_numbers.setdefault((header.dev, header.chain, header.kid), set())
        seen.add(header.kseq)
        top = max(seen)
        return tuple(sorted(set(range(max(1, top - MISSING_REACH), top)) - seen))


def _named_versions(sealed_sha: str, route: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the hashes that context and route name, the sealed one first: only the desk can read that one."""
    named = dict.fromkeys((sealed_sha, str((route or {}).get("sha", ""))))
    return tuple(sha for sha in named if SHA256_HEX.fullmatch(sha))


def _route_agrees(route: dict[str, Any] | None, reading: OpenedScreening, sealed_sha: str) -> bool | None:
    """Return whether the route that the server used is that of what the tablet sealed; None without a route."""
    if route is None:
        return None
    recorded = {
        "outcome": reading.outcome,
        "tier": reading.tier,
        "urgency": reading.urgency,
        "queue_kinds": sorted(reading.queue_kinds),
    }
    if sealed_sha:
        recorded["sha"] = sealed_sha
    if reading.dropped:
        del recorded["urgency"]  # It was dropped with the answers. No desk works by it.
    return all(route[name] == value for name, value in recorded.items() if name in route)


def _require_id(typed: str) -> str:
    """Return the id of a queue or referral. Raise SyncError `desk.bad_id` for text that could change the URL."""
    if not NAME.fullmatch(typed):
        raise SyncError(
            "desk.bad_id", f"{typed!r} is not the id of a queue or referral; `chaski desk queue` lists them"
        )
    return typed
