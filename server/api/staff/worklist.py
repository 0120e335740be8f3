"""The staff API for the work list: items that need a decision, their screenings, and the decision.

The flow decides which items a person may see. An envelope must leave as the exact bytes that the tablet signed, and the
server audits each read.
"""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from server.api import openapi, schemas
from server.api.flask_app import current_services
from server.api.staff import auth
from server.api.staff.pages import NEXT_PAGE, answer_page
from server.api.staff.referrals import ENVELOPE_TYPE
from server.flows.desks import worklist
from server.flows.desks.routing import Rulebook
from server.flows.desks.worklist import DescribedItem, Evidence

blueprint = Blueprint("worklist", __name__, url_prefix="/v1", description="What people have to decide")
_ACCESS_PROBLEMS = ("work.unknown", "work.other_desk")


def _describe_item(found: DescribedItem) -> dict[str, Any]:
    kind = {"sentence": found.kind.sentence, "decisions": found.kind.decisions}
    return {**vars(found.item), **kind, "label": found.label}


def _describe_evidence(found: Evidence) -> dict[str, Any]:
    route = found.route.to_content() if found.route else None
    return {**vars(found.stored), "envelope": found.stored.id, "route": route, "referrals": found.referrals}


@blueprint.get("/work-list")
@auth.require_role("coordinator", "administrator", "publisher")
@blueprint.arguments(schemas.WorkQuerySchema, location="query")
@blueprint.response(200, schemas.WorkItemSchema(many=True), headers=NEXT_PAGE)
def list_items(query: dict[str, int]) -> Any:
    """List open items: forks, gaps, quarantine, silent tablets. A desk sees only items of its own screenings."""
    found = worklist.list_items(
        current_services().db,
        auth.current_person(),
        kept=bool(query["kept"]),
        after=query["after"],
        most=query["limit"] + 1,
    )
    return answer_page(found, query["limit"], cursor=lambda each: each.item.id, describe=_describe_item)


@blueprint.get("/work-list/<int(max=9007199254740991):item>")
@auth.require_role("coordinator", "administrator", "publisher")
@openapi.problems(*_ACCESS_PROBLEMS)
@blueprint.response(200, schemas.WorkDetailSchema)
def get_item(item: int) -> dict[str, Any]:
    """Get one item with its screenings: both of them if two claim the same name or number."""
    found, evidence = worklist.get_item(current_services().db, auth.current_person(), item)
    return {**_describe_item(found), "envelopes": [_describe_evidence(each) for each in evidence]}


@blueprint.get("/work-list/<int(max=9007199254740991):item>/envelopes/<envelope>")
@auth.require_role("coordinator")
@openapi.problems(*_ACCESS_PROBLEMS, "referral.other_keyring")
@blueprint.response(200, openapi.BYTES, content_type=ENVELOPE_TYPE)
def get_envelope(item: int, envelope: str) -> Response:
    """Get the exact bytes of an item's sealed screening. The caller's client opens it. The server audits the read."""
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
    """Settle an item. `release` routes the screening now, even one kept aside; its deadline runs from receipt."""
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
    """Report that an opened screening differs from the route by which the server sorted it."""
    services = current_services()
    worklist.report_disagreement(services.db, auth.current_person(), referral_id, now=services.now())
    return Response(status=204)
