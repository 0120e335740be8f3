"""Enrolls a tablet in three steps: one-time code, proof of possession of its key, registrar's certificate. Both APIs
call it.

Two people compare six words before the registrar signs. A code is stored as a hash and works once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from server.database.connection import Connection, Database
from server.flows.trust.numbers import refuse_far_number
from server.problems import Problem
from server.store import audit, devices
from server.store.devices import Device, EnrolmentCode
from sync.documents import enrolment
from sync.documents.registry import Registry
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.durations import MINUTE
from sync.errors import SyncError


@dataclass(frozen=True)
class Invitation:
    """A code (returned only here), and when it expires (ms)."""

    code: str
    expires: int


def create_invitation(
    db: Database, registry: Registry, *, label: str, region: str, actor: str, now: int, minutes: int
) -> Invitation:
    """Create a one-time code for a tablet named `label` in `region` (UBIGEO). A desk must serve that region."""
    regions = sorted({desk.site[:2] for desk in registry.desks if desk.site})
    if regions and region not in regions:  # A national desk without regional desks serves every region.
        raise Problem("enrolment.unknown_region", f"{region} is not one of {', '.join(regions)}")
    code = secrets.token_urlsafe(12)
    expires = now + minutes * MINUTE
    with db.write() as w:
        devices.add_code(w, EnrolmentCode(_hash(code), label, region, now, expires, used=None, dev=None), by=actor)
        audit.append(w, at=now, action="device.invited", actor=actor, subject=_hash(code)[:16])
    return Invitation(code, expires)


def enrol_device(db: Database, body: bytes, *, now: int) -> Device:
    """Store a tablet that proves its key and sends a valid code. It then waits for its certificate.

    The same tablet may repeat the request with the same code, because the first answer may be lost.
    """
    code_text, key = enrolment.accept_enrolment_request(Document.parse(body))
    # Read first: an invented code must not occupy the only writer.
    if devices.get_code(db.read(), _hash(code_text)) is None:
        raise Problem("enrolment.code_unknown")
    with db.write() as w:
        code = devices.get_code(w, _hash(code_text))
        assert code is not None
        if code.used is not None and code.dev != key.kid:
            raise Problem("enrolment.code_used")
        if code.used is None:
            _add_device(w, code, key.raw, key.kid, now)
        device = devices.get_device(w, key.kid)
    assert device is not None
    return device


def _add_device(w: Connection, code: EnrolmentCode, key: bytes, dev: str, now: int) -> None:
    # A code that begins in the future was made while the clock was wrong. It would be valid until that day.
    if not 2 * code.created - code.expires <= now < code.expires:
        raise Problem("enrolment.code_expired")
    if devices.get_device(w, dev) is not None:
        raise Problem("enrolment.device_known", dev)
    devices.add_device(w, dev=dev, key=key, label=code.label, region=code.region, at=now)
    devices.mark_code_used(w, code.hash, dev=dev, at=now)
    audit.append(w, at=now, action="device.enrolled", actor=dev, subject=dev, detail={"code": code.hash[:16]})


def certify_device(db: Database, body: bytes, trust: Trust, *, actor: str, now: int) -> Device:
    """Store the certificate that a registrar signed for a waiting tablet. From now on it may sync.

    A certified tablet accepts a certificate with a higher number: the certificates of a replaced registrar no longer
    count (SPEC 5.5).
    """
    certificate = enrolment.accept_certificate(Document.parse(body), trust)
    with db.write() as w:
        device = devices.get_device(w, certificate.dev)
        if device is None:
            raise Problem("device.not_found", certificate.dev)
        if device.state == "certified" and device.certificate == body:  # Its answer got lost.
            return device
        if device.state == "revoked" or certificate.number <= _certificate_number(device, trust):
            raise Problem("device.not_pending", f"{device.dev}: {device.state}")
        refuse_far_number("certificate", certificate.number, _certificate_number(device, trust))
        devices.certify(w, device.dev, certificate=body, label=certificate.label, region=certificate.region, at=now)
        audit.append(w, at=now, action="device.certified", actor=actor, subject=device.dev)
        certified = devices.get_device(w, device.dev)
    assert certified is not None
    return certified


def readmit_device(db: Database, body: bytes, dev: str, *, trust: Trust, registry: Registry, now: int) -> Device:
    """Store a tablet again that this database has forgotten after a restore (SPEC 5.5).

    The registrar's signature proves its enrolment. The registry in force may have revoked it. A tablet known here as
    certified or revoked keeps that state and gets the same answer each time. A certificate with a higher number
    replaces the stored one.
    """
    certificate = enrolment.accept_certificate(Document.parse(body), trust, dev)
    with db.write() as w:
        device = devices.get_device(w, dev)
        held = _certificate_number(device, trust) if device else 0
        refuse_far_number("certificate", certificate.number, held)
        if device is None:
            given = {"label": certificate.label, "region": certificate.region}
            devices.add_device(w, dev=dev, key=certificate.key.raw, at=now, **given)
        if device is None or certificate.number > held:
            devices.certify(w, dev, certificate=body, label=certificate.label, region=certificate.region, at=now)
            audit.append(w, at=now, action="device.readmitted", actor=dev, subject=dev)
            if device is None or device.state == "pending":
                revoke_devices(w, registry.revoked & {dev}, actor=dev, now=now)
        readmitted = devices.get_device(w, dev)
    assert readmitted is not None
    return readmitted


def _certificate_number(device: Device, trust: Trust) -> int:
    """Return the number that the next certificate must exceed. One that counts no more sets none."""
    if device.certificate:
        with suppress(SyncError):
            return enrolment.accept_certificate(Document.parse(device.certificate), trust, device.dev).number
    return 0


def get_certificate(db: Database, dev: str) -> bytes:
    """Return a tablet's certificate as it was signed."""
    device = devices.get_device(db.read(), dev)
    if device is None:
        raise Problem("device.not_found", dev)
    if device.certificate is None:
        raise Problem("device.not_certified", dev)
    return device.certificate


def get_region(connection: Connection, dev: str) -> str:
    """Return a known tablet's region (UBIGEO)."""
    device = devices.get_device(connection, dev)
    if device is None:
        raise Problem("device.not_found", dev)
    return device.region


def revoke_devices(w: Connection, revoked: Collection[str], *, actor: str, now: int) -> None:
    """Mark the tablets that a new registry revokes, inside the transaction that puts it in force."""
    for dev in sorted(revoked):
        device = devices.get_device(w, dev)
        if device is not None and device.state != "revoked":
            devices.revoke(w, dev, at=now)
            audit.append(w, at=now, action="device.revoked", actor=actor, subject=dev)


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
