"""The people's door: what a person has to decide, the screenings that it is about, and the decision.

The flow decides who sees what; envelopes leave as the bytes that the tablet signed, and each reading is audited.
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
from server.api.staff.desks import ENVELOPE
from server.flows import worklist
from server.flows.intake.envelopes import Rulebook
from server.flows.worklist import Evidence, Work

blueprint = Blueprint("worklist", __name__, url_prefix="/v1", description="What people have to decide")
_OWN = ("work.unknown", "work.other_desk")


def _item(found: Work) -> dict[str, Any]:
    kind = {"sentence": found.kind.sentence, "decisions": found.kind.decisions}
    return {**asdict(found.item), **kind, "label": found.label}


def _envelope(found: Evidence) -> dict[str, Any]:
    route = found.route.to_content() if found.route else None
    return {**asdict(found.stored), "envelope": found.stored.id, "route": route, "referrals": found.referrals}


@blueprint.get("/work-list")
@auth.needs("coordinator", "administrator", "publisher")
@blueprint.arguments(schemas.WorkQuery, location="query")
@blueprint.response(200, schemas.WorkItem(many=True))
def work_list(query: dict[str, int]) -> list[Any]:
    """What a person must decide: forks, gaps, quarantine, silent tablets; a desk sees its own screenings' only."""
    return [_item(each) for each in worklist.listed(parts().db, auth.signed_in(), kept=bool(query["kept"]))]


@blueprint.get("/work-list/<int(max=9007199254740991):item>")
@auth.needs("coordinator", "administrator", "publisher")
@fails(*_OWN)
@blueprint.response(200, schemas.WorkDetail)
def look(item: int) -> dict[str, Any]:
    """One item with the screenings it is about: both, where two claim one name or one number."""
    found, evidence = worklist.look(parts().db, auth.signed_in(), item)
    return {**_item(found), "envelopes": [_envelope(each) for each in evidence]}


@blueprint.get("/work-list/<int(max=9007199254740991):item>/envelopes/<envelope>")
@auth.needs("coordinator")
@fails(*_OWN, "referral.other_keyring")
@blueprint.response(200, BYTES, content_type=ENVELOPE)
def work_envelope(item: int, envelope: str) -> Response:
    """A sealed screening that an item is about, byte for byte; the caller's client opens it. The read is audited."""
    here = parts()
    return Response(
        worklist.hand_out_envelope(here.db, auth.signed_in(), item, envelope, now=here.now()), mimetype=ENVELOPE
    )


@blueprint.post("/work-list/<int(max=9007199254740991):item>/decision")
@auth.needs("coordinator", "administrator", "publisher")
@fails(*_OWN, "work.closed", "work.unknown_decision", "referral.other_keyring")
@blueprint.arguments(schemas.Decide)
@blueprint.response(200, schemas.WorkItem)
def decide(given: dict[str, str], item: int) -> dict[str, Any]:
    """Settle an item; `release` routes the screening now, with its deadline from receipt, also what was kept apart."""
    here = parts()
    rulebook = Rulebook(here.rules, here.config.hours)
    return _item(worklist.decide(here.db, auth.signed_in(), item, given["decision"], rulebook=rulebook, now=here.now()))


@blueprint.post("/referrals/<referral_id>/disagreement")
@auth.needs("coordinator")
@fails("referral.unknown", "referral.other_desk")
@blueprint.response(204)
def disagreement(referral_id: str) -> Response:
    """Say that an opened screening says something else than the route it was sorted by."""
    here = parts()
    worklist.disagrees(here.db, auth.signed_in(), referral_id, now=here.now())
    return Response(status=204)
