"""The staff API for tablets: invitations, certificates, orders, and the list of tablets.

A registrar signs certificates and orders on another machine and uploads the bytes. The server must never sign for a
registrar.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api import openapi, schemas
from server.api.coded_bytes import DOCUMENT_TYPE
from server.api.flask_app import current_services
from server.api.staff import auth
from server.api.staff.pages import NEXT_PAGE, answer_page
from server.flows.operations import reports
from server.flows.operations.reports import TabletReport
from server.flows.trust import device_orders, documents, enrolment
from sync.documents.enrolment import Invitation, accept_certificate
from sync.documents.signed import Document
from sync.wire.encoding import b64u

blueprint = Blueprint("devices", __name__, url_prefix="/v1", description="Tablets")


@blueprint.post("/invitations")
@auth.require_role("administrator")
@openapi.problems("enrolment.unknown_region")
@blueprint.arguments(schemas.InviteSchema)
@blueprint.response(201, schemas.InvitationSchema)
def invite_tablet(arguments: dict[str, str]) -> dict[str, Any]:
    """Create a one-time code for a tablet. The server returns it once."""
    services, now = current_services(), current_services().now()
    connection = services.db.read()
    trust, registry = documents.trust_in_force(connection), documents.registry_in_force(connection)
    invited = enrolment.create_invitation(
        services.db,
        registry,
        label=arguments["label"],
        region=arguments["region"],
        actor=auth.current_person().id,
        now=now,
        minutes=services.config.enrolment_code_minutes,
    )
    text = Invitation(services.config.tablets_address, invited.code, trust.pin).to_text()
    return {"invitation": text, "expires": invited.expires}


def _describe_tablet(found: TabletReport) -> dict[str, Any]:
    key = b64u(found.device.key)
    return {**vars(found.device), **vars(found), "last": found.last, "key": key}


@blueprint.get("/devices")
@auth.require_role("registrar", "administrator")
@openapi.problems("list.bad_cursor")
@blueprint.arguments(schemas.PageSchema, location="query")
@blueprint.response(200, schemas.DeviceSchema(many=True), headers=NEXT_PAGE)
def list_tablets(page: dict[str, Any]) -> Any:
    """List all tablets with their documents, forms, clock offset and number of rejected envelopes.

    The response omits the six words on purpose. A registrar must hear them from the person who holds the tablet.
    """
    found = reports.list_tablets(current_services().db, after=page["after"], most=page["limit"] + 1)
    return answer_page(found, page["limit"], cursor=lambda each: each.device.dev, describe=_describe_tablet)


@blueprint.get("/devices/<dev>/certificate")
@auth.require_role()
@openapi.problems("device.not_found", "device.not_certified")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_certificate(dev: str) -> Response:
    """Get the exact bytes of a tablet's certificate. Desks verify envelopes with the key in it."""
    return Response(enrolment.get_certificate(current_services().db, dev), mimetype=DOCUMENT_TYPE)


@blueprint.post("/devices/<dev>/certificate")
@auth.require_role("registrar")
@openapi.problems(
    "encoding.*", "document.*", "key.*", "signed.*", "signed.too_few", "signed.bad_signature", "enrolment.*"
)
@openapi.problems("device.not_found", "device.not_pending")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(204)
def certify_tablet(dev: str) -> Response:
    """Accept a certificate that a registrar signed after comparing the six words."""
    services, body = current_services(), request.get_data()
    trust = documents.trust_in_force(services.db.read())
    accept_certificate(Document.parse(body), trust, dev)
    enrolment.certify_device(services.db, body, trust, actor=auth.current_person().id, now=services.now())
    return Response(status=204)


@blueprint.post("/devices/<dev>/orders")
@auth.require_role("registrar", "administrator")
@openapi.problems("encoding.*", "document.*", "key.*", "signed.*", "signed.too_few", "signed.bad_signature", "order.*")
@openapi.problems("device.not_found", "device.not_certified", "order.number_used")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(201, schemas.OrderSchema)
def order_tablet(dev: str) -> Any:
    """Accept an order that a registrar signed. The tablet gets it at its next sync; a revocation applies at once."""
    services = current_services()
    trust = documents.trust_in_force(services.db.read())
    return device_orders.accept_order(
        services.db, request.get_data(), trust, dev, actor=auth.current_person().id, now=services.now()
    )
