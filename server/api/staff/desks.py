"""The people's door, desk side: queues, referrals and their envelopes, statistics and the audit chain.

The flows decide what a person may see; roles are checked here. Envelopes leave as the bytes that the tablet signed.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from flask_smorest import Blueprint

from server.api import schemas
from server.api.flask_app import parts
from server.api.openapi import BYTES, fails
from server.api.staff import auth
from server.flows.desks import queues as desks
from server.flows.desks import referrals
from server.flows.operations import reports
from server.store.referrals import Referral
from sync.envelope.route import Route

ENVELOPE = "application/vnd.chaski.envelope"
blueprint = Blueprint("desks", __name__, url_prefix="/v1", description="Queues, referrals, reports")
_OWN = ("referral.unknown", "referral.other_desk")
_MOVES = ("referral.wrong_state", "referral.held_by_another")


def _referral(found: Referral, route: Route | None) -> dict[str, Any]:
    return {**asdict(found), "route": route.to_content() if route else None}


@blueprint.get("/queues")
@auth.needs("coordinator")
@blueprint.arguments(schemas.View, location="query")
@blueprint.response(200, schemas.Queue(many=True))
def queues(view: dict[str, str]) -> list[dict[str, Any]]:
    """The caller's queues, with how much is in each."""
    here = parts()
    found = desks.tallies(here.db, auth.signed_in(), mode=view["mode"], now=here.now())
    states = ("waiting", "claimed", "accepted")
    return [
        {**asdict(each.queue), **{state: each.states.get(state, 0) for state in states}, "overdue": each.overdue}
        for each in found
    ]


@blueprint.get("/queues/<queue>")
@auth.needs("coordinator")
@fails("queue.other_desk")
@blueprint.arguments(schemas.View, location="query")
@blueprint.response(200, schemas.Referral(many=True))
def queue(view: dict[str, str], queue: str) -> list[dict[str, Any]]:
    """What is to do in a queue, the most urgent first."""
    return [_referral(*each) for each in desks.in_queue(parts().db, auth.signed_in(), queue, mode=view["mode"])]


@blueprint.get("/referrals/<referral_id>")
@auth.needs("coordinator")
@fails(*_OWN)
@blueprint.response(200, schemas.Referral)
def referral(referral_id: str) -> dict[str, Any]:
    """One referral of the caller's queues."""
    return _referral(*desks.referral(parts().db, auth.signed_in(), referral_id))


@blueprint.get("/referrals/<referral_id>/envelope")
@auth.needs("coordinator")
@fails(*_OWN)
@fails("referral.other_keyring")
@blueprint.response(200, BYTES, content_type=ENVELOPE)
def envelope(referral_id: str) -> Response:
    """The sealed screening, byte for byte; the caller's client opens it. The read is audited."""
    here = parts()
    raw = desks.hand_out_envelope(here.db, auth.signed_in(), referral_id, now=here.now())
    return Response(raw, mimetype=ENVELOPE)


@blueprint.post("/referrals/<referral_id>/claim")
@auth.needs("coordinator")
@fails(*_OWN, *_MOVES)
@blueprint.response(200, schemas.Referral)
def claim(referral_id: str) -> dict[str, Any]:
    """Reserve a referral for the caller, until the lease lapses."""
    here, person = parts(), auth.signed_in()
    _, route = desks.referral(here.db, person, referral_id)
    minutes = here.config.lease_minutes
    return _referral(referrals.claim(here.db, referral_id, person.id, now=here.now(), lease_minutes=minutes), route)


@blueprint.post("/referrals/<referral_id>/accept")
@auth.needs("coordinator")
@fails(*_OWN, *_MOVES)
@blueprint.response(200, schemas.Referral)
def accept(referral_id: str) -> dict[str, Any]:
    """Take on a claimed referral; the tablet is told."""
    here, person = parts(), auth.signed_in()
    _, route = desks.referral(here.db, person, referral_id)
    return _referral(referrals.accept(here.db, referral_id, person.id, now=here.now()), route)


@blueprint.post("/referrals/<referral_id>/close")
@auth.needs("coordinator")
@fails(*_OWN, *_MOVES, "referral.unknown_result")
@blueprint.arguments(schemas.Close)
@blueprint.response(200, schemas.Referral)
def close(given: dict[str, str], referral_id: str) -> dict[str, Any]:
    """End the work on a referral with a result; the tablet is told that it is closed, not how."""
    here, person = parts(), auth.signed_in()
    _, route = desks.referral(here.db, person, referral_id)
    return _referral(referrals.close(here.db, referral_id, person.id, given["result"], now=here.now()), route)


@blueprint.get("/statistics")
@auth.needs()
@blueprint.arguments(schemas.View, location="query")
@blueprint.response(200, schemas.Table(many=True))
def statistics(view: dict[str, str]) -> list[Any]:
    """Counts per month that is over, and dimension; what is built on fewer than eleven people is held back."""
    here = parts()
    return reports.tables(here.db, mode=view["mode"], now=here.now())


@blueprint.get("/audit")
@auth.needs("administrator")
@blueprint.arguments(schemas.AuditQuery, location="query")
@blueprint.response(200, schemas.AuditPage)
def audit_page(given: dict[str, int]) -> dict[str, Any]:
    """Up to 500 rows of the audit chain, and its head."""
    return asdict(reports.deeds(parts().db, after=given["after"]))
