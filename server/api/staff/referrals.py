"""The staff API for desks: queues, referrals and their envelopes.

This module checks roles; the flows decide what a person may see. An envelope must leave as the exact bytes that the
tablet signed.
"""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from server.api import openapi, schemas
from server.api.flask_app import current_services
from server.api.staff import auth
from server.api.staff.pages import NEXT_PAGE, answer_page, cut_page
from server.flows.desks import queues, referrals
from server.flows.desks.queues import QueueCounts
from server.store.referrals import Referral
from sync.envelope.route import Route

ENVELOPE_TYPE = "application/vnd.chaski.envelope"
blueprint = Blueprint("referrals", __name__, url_prefix="/v1", description="Queues, referrals")
_ACCESS_PROBLEMS = ("referral.unknown", "referral.other_desk")
_STATE_PROBLEMS = ("referral.wrong_state", "referral.held_by_another")


def _describe_queue(found: QueueCounts) -> dict[str, Any]:
    return {**vars(found.queue), **found.counts}


def _describe_referral(found: Referral, route: Route | None) -> dict[str, Any]:
    place = route.province if route else None
    return {**vars(found), "place": place, "route": route.to_content() if route else None}


@blueprint.get("/queues")
@auth.require_role("coordinator")
@openapi.problems("list.bad_cursor")
@blueprint.arguments(schemas.ViewPageSchema, location="query")
@blueprint.response(200, schemas.QueueSchema(many=True), headers=NEXT_PAGE)
def list_queues(view: dict[str, Any]) -> Any:
    """List the caller's queues with their counts."""
    services = current_services()
    found = queues.count_queues(services.db, auth.current_person(), mode=view["mode"], now=services.now())
    page = cut_page(found, view["after"], view["limit"], cursor=lambda each: each.queue.id)
    return answer_page(page, view["limit"], cursor=lambda each: each.queue.id, describe=_describe_queue)


@blueprint.get("/queues/<queue>")
@auth.require_role("coordinator")
@openapi.problems("queue.other_desk", "list.bad_cursor")
@blueprint.arguments(schemas.ViewPageSchema, location="query")
@blueprint.response(200, schemas.ReferralSchema(many=True), headers=NEXT_PAGE)
def list_queue_referrals(view: dict[str, Any], queue: str) -> Any:
    """List the open referrals of a queue, the most urgent first."""
    found = queues.list_referrals(
        current_services().db,
        auth.current_person(),
        queue,
        mode=view["mode"],
        after=view["after"],
        most=view["limit"] + 1,
    )
    return answer_page(
        found, view["limit"], cursor=lambda each: each[0].id, describe=lambda each: _describe_referral(*each)
    )


@blueprint.get("/referrals/<referral_id>")
@auth.require_role("coordinator")
@openapi.problems(*_ACCESS_PROBLEMS)
@blueprint.response(200, schemas.ReferralSchema)
def get_referral(referral_id: str) -> dict[str, Any]:
    """Get one referral of the caller's queues."""
    return _describe_referral(*queues.get_referral(current_services().db, auth.current_person(), referral_id))


@blueprint.get("/referrals/<referral_id>/envelope")
@auth.require_role("coordinator")
@openapi.problems(*_ACCESS_PROBLEMS)
@openapi.problems("referral.other_keyring")
@blueprint.response(200, openapi.BYTES, content_type=ENVELOPE_TYPE)
def get_envelope(referral_id: str) -> Response:
    """Get the exact bytes of the sealed screening. The caller's client opens it. The server audits the read."""
    services = current_services()
    raw = queues.read_envelope(services.db, auth.current_person(), referral_id, now=services.now())
    return Response(raw, mimetype=ENVELOPE_TYPE)


@blueprint.post("/referrals/<referral_id>/claim")
@auth.require_role("coordinator")
@openapi.problems(*_ACCESS_PROBLEMS, *_STATE_PROBLEMS)
@blueprint.response(200, schemas.ReferralSchema)
def claim_referral(referral_id: str) -> dict[str, Any]:
    """Reserve a referral for the caller until the lease expires."""
    services, person = current_services(), auth.current_person()
    _, route = queues.get_referral(services.db, person, referral_id)
    minutes = services.config.lease_minutes
    return _describe_referral(
        referrals.claim_referral(services.db, referral_id, person.id, now=services.now(), lease_minutes=minutes), route
    )


@blueprint.post("/referrals/<referral_id>/accept")
@auth.require_role("coordinator")
@openapi.problems(*_ACCESS_PROBLEMS, *_STATE_PROBLEMS)
@blueprint.response(200, schemas.ReferralSchema)
def accept_referral(referral_id: str) -> dict[str, Any]:
    """Accept a claimed referral. The tablet gets a status event."""
    services, person = current_services(), auth.current_person()
    _, route = queues.get_referral(services.db, person, referral_id)
    return _describe_referral(referrals.accept_referral(services.db, referral_id, person.id, now=services.now()), route)


@blueprint.post("/referrals/<referral_id>/close")
@auth.require_role("coordinator")
@openapi.problems(*_ACCESS_PROBLEMS, *_STATE_PROBLEMS, "referral.unknown_result")
@blueprint.arguments(schemas.CloseSchema)
@blueprint.response(200, schemas.ReferralSchema)
def close_referral(arguments: dict[str, str], referral_id: str) -> dict[str, Any]:
    """Close a referral with a result. The tablet gets the event that it is closed, but not the result."""
    services, person = current_services(), auth.current_person()
    _, route = queues.get_referral(services.db, person, referral_id)
    return _describe_referral(
        referrals.close_referral(services.db, referral_id, person.id, arguments["result"], now=services.now()), route
    )
