"""The people's door, tablets' side: inviting a tablet, and handing in what a registrar signed for it.

Certificates and orders are bytes signed elsewhere; this door never signs for a registrar.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api import schemas
from server.api.flask_app import DOCUMENT, parts
from server.api.openapi import BYTES, fails, takes
from server.api.staff import auth
from server.flows.operations import reports
from server.flows.operations.reports import Tablet
from server.flows.trust import device_orders as orders
from server.flows.trust import documents as publishing
from server.flows.trust import enrolment
from sync.documents.enrolment import Invitation, accept_certificate
from sync.documents.signed import Document
from sync.wire.encoding import b64u

blueprint = Blueprint("devices", __name__, url_prefix="/v1", description="Tablets")


@blueprint.post("/invitations")
@auth.needs("administrator")
@fails("enrolment.unknown_region")
@blueprint.arguments(schemas.Invite)
@blueprint.response(201, schemas.Invitation)
def invite(given: dict[str, str]) -> dict[str, Any]:
    """Make a one-time code for a tablet; it is shown once."""
    here, now = parts(), parts().now()
    connection = here.db.read()
    trust, registry = publishing.trust_in_force(connection), publishing.registry_in_force(connection)
    invited = enrolment.invite(
        here.db,
        registry,
        label=given["label"],
        region=given["region"],
        actor=auth.signed_in().id,
        now=now,
        minutes=here.config.enrolment_code_minutes,
    )
    text = Invitation(here.config.tablets_address, invited.code, trust.pin).to_text()
    return {"invitation": text, "expires": invited.expires}


def _described(found: Tablet) -> dict[str, Any]:
    key = b64u(found.device.key)
    return {**vars(found.device), **vars(found), "last": found.last, "key": key}


@blueprint.get("/devices")
@auth.needs("registrar", "administrator")
@blueprint.response(200, schemas.Device(many=True))
def devices() -> list[dict[str, Any]]:
    """All tablets: what is on board, how far the clock is off, how much was rejected.

    The six words are left out on purpose: they count only when they are heard from whoever holds the tablet.
    """
    return [_described(each) for each in reports.tablets(parts().db)]


@blueprint.get("/devices/<dev>/certificate")
@auth.needs()
@fails("device.not_found", "device.not_certified")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def certificate(dev: str) -> Response:
    """A tablet's certificate, byte for byte: desks check envelopes with the key in it."""
    return Response(enrolment.certificate(parts().db, dev), mimetype=DOCUMENT)


@blueprint.post("/devices/<dev>/certificate")
@auth.needs("registrar")
@fails("encoding.*", "document.*", "key.*", "signed.*", "signed.too_few", "signed.bad_signature", "enrolment.*")
@fails("device.not_found", "device.not_pending")
@takes(DOCUMENT)
@blueprint.response(204)
def certify(dev: str) -> Response:
    """Take a certificate that a registrar signed after comparing the six words."""
    here, body = parts(), request.get_data()
    trust = publishing.trust_in_force(here.db.read())
    accept_certificate(Document.parse(body), trust, dev)
    enrolment.certify(here.db, body, trust, actor=auth.signed_in().id, now=here.now())
    return Response(status=204)


@blueprint.post("/devices/<dev>/orders")
@auth.needs("registrar", "administrator")
@fails("encoding.*", "document.*", "key.*", "signed.*", "signed.too_few", "signed.bad_signature", "order.*")
@fails("device.not_found", "device.not_certified", "order.number_used")
@takes(DOCUMENT)
@blueprint.response(201, schemas.Order)
def order(dev: str) -> Any:
    """Take an order that a registrar signed; the tablet is told at its next sync. Revoking counts from now."""
    here = parts()
    trust = publishing.trust_in_force(here.db.read())
    return orders.give(here.db, request.get_data(), trust, dev, actor=auth.signed_in().id, now=here.now())
