"""The people's door: what a person has to decide, the screenings that it is about, and the decision.

The flow decides who sees what; envelopes leave as the bytes that the tablet signed, and each reading is audited.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from flask_smorest import Blueprint

from server.api import openapi, schemas
from server.api.flask_app import current_services
from server.api.staff import auth
from server.api.staff.referrals import ENVELOPE_TYPE
from server.flows.desks import worklist
from server.flows.desks.routing import Rulebook
from server.flows.desks.worklist import DescribedItem, Evidence

blueprint = Blueprint("worklist", __name__, url_prefix="/v1", description="What people have to decide")
_ACCESS_PROBLEMS = ("work.unknown", "work.other_desk")


def _describe_item(found: DescribedItem) -> dict[str, Any]:
    kind = {"sentence": found.kind.sentence, "decisions": found.kind.decisions}
    return {**asdict(found.item), **kind, "label": found.label}


def _describe_evidence(found: Evidence) -> dict[str, Any]:
    route = found.route.to_content() if found.route else None
    return {**asdict(found.stored), "envelope": found.stored.id, "route": route, "referrals": found.referrals}


@blueprint.get("/work-list")
@auth.require_role("coordinator", "administrator", "publisher")
@blueprint.arguments(schemas.WorkQuerySchema, location="query")
@blueprint.response(200, schemas.WorkItemSchema(many=True))
def list_items(query: dict[str, int]) -> list[Any]:
    """What a person must decide: forks, gaps, quarantine, silent tablets; a desk sees its own screenings' only."""
    return [
        _describe_item(each)
        for each in worklist.list_items(current_services().db, auth.current_person(), kept=bool(query["kept"]))
    ]


@blueprint.get("/work-list/<int(max=9007199254740991):item>")
@auth.require_role("coordinator", "administrator", "publisher")
@openapi.problems(*_ACCESS_PROBLEMS)
@blueprint.response(200, schemas.WorkDetailSchema)
def get_item(item: int) -> dict[str, Any]:
    """One item with the screenings it is about: both, where two claim one name or one number."""
    found, evidence = worklist.get_item(current_services().db, auth.current_person(), item)
    return {**_describe_item(found), "envelopes": [_describe_evidence(each) for each in evidence]}


@blueprint.get("/work-list/<int(max=9007199254740991):item>/envelopes/<envelope>")
@auth.require_role("coordinator")
@openapi.problems(*_ACCESS_PROBLEMS, "referral.other_keyring")
@blueprint.response(200, openapi.BYTES, content_type=ENVELOPE_TYPE)
def get_envelope(item: int, envelope: str) -> Response:
    """A sealed screening that an item is about, byte for byte; the caller's client opens it. The read is audited."""
    services = current_services()
    return Response(
        worklist.read_envelope(services.db, auth.current_person(), item, envelope, now=services.now()),
        mimetype=ENVELOPE_TYPE,
    )


@blueprint.post("/work-list/<int(max=9007199254740991):item>/decision")
@auth.require_role("coordinator", "administrator", "publisher")
@openapi.problems(*_ACCESS_PROBLEMS, "work.closed", "work.unknown_decision", "referral.other_keyring")
@blueprint.arguments(schemas.DecideSchema)
@blueprint.response(200, schemas.WorkItemSchema)
def decide_item(arguments: dict[str, str], item: int) -> dict[str, Any]:
    """Settle an item; `release` routes the screening now, with its deadline from receipt, also what was kept apart."""
    services = current_services()
    rulebook = Rulebook(services.rules, services.config.deadline_hours)
    return _describe_item(
        worklist.decide_item(
            services.db, auth.current_person(), item, arguments["decision"], rulebook=rulebook, now=services.now()
        )
    )


@blueprint.post("/referrals/<referral_id>/disagreement")
@auth.require_role("coordinator")
@openapi.problems("referral.unknown", "referral.other_desk")
@blueprint.response(204)
def report_disagreement(referral_id: str) -> Response:
    """Say that an opened screening says something else than the route it was sorted by."""
    services = current_services()
    worklist.report_disagreement(services.db, auth.current_person(), referral_id, now=services.now())
    return Response(status=204)
