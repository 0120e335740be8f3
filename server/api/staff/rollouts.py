"""The people's door, publishers' side: rings of tablets that get a version, halts, the way back, and the inventory.

What is signed elsewhere comes in at `POST /v1/publications` (publishing.py); here a version is named by its number.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask_smorest import Blueprint

from server.api.flask_app import parts
from server.api.openapi import fails
from server.api.staff import auth, form_schemas
from server.api.staff.versions import ALL, NUMBER, described
from server.flows.forms import halts, inventory, rollouts, versions
from server.flows.forms.halts import Standing
from server.flows.forms.rollouts import Ring

blueprint = Blueprint("rollouts", __name__, url_prefix="/v1", description="Rollouts and inventory")
ROLLOUT = "<int(max=9007199254740991):rollout>"
_BUNDLE = ("bundle.*", "bundle.demo_trust", "bundle.one_person", "signed.too_few", "signed.bad_signature")
_BEGINS = ("version.unknown", "version.wrong_state", "rollout.training_over_field", "publication.recording_missing")
_OWN = ("rollout.unknown", "rollout.wrong_state")


def _ring(given: dict[str, Any]) -> Ring:
    regions, devices = (tuple(given[name]) if given.get(name) else None for name in ("regions", "devices"))
    return Ring(regions, given.get("share_permille"), devices)


def _described(found: Standing) -> dict[str, Any]:
    return {**asdict(found.rollout), "refused": found.refused}


@blueprint.get("/rollouts")
@auth.needs(*ALL, tokens=True)
@blueprint.arguments(form_schemas.FormQuery, location="query")
@blueprint.response(200, form_schemas.Rollout(many=True))
def listed(given: dict[str, str]) -> list[dict[str, Any]]:
    """All rollouts, or one form's, in the order in which tablets try them; with how many tablets refuse each."""
    return [_described(each) for each in halts.listed(parts().db, given.get("form"), now=parts().now())]


@blueprint.post(f"/versions/{NUMBER}/rollouts")
@auth.needs("publisher", tokens=True)
@fails(*_BEGINS, *_BUNDLE)
@blueprint.arguments(form_schemas.NewRollout)
@blueprint.response(201, form_schemas.Rollout)
def plan(given: dict[str, Any], version: int) -> dict[str, Any]:
    """Have an approved version go to a ring of tablets: now, or at a time."""
    here, actor = parts(), auth.signed_in().id
    made = rollouts.plan(
        here.db, here.keys, version, ring=_ring(given), starts=given.get("starts"), actor=actor, now=here.now()
    )
    return _described(Standing(made, 0))


@blueprint.post(f"/versions/{NUMBER}/rollback")
@auth.needs("publisher", tokens=True)
@fails(*_BEGINS, *_BUNDLE)
@blueprint.arguments(form_schemas.Why)
@blueprint.response(201, form_schemas.Rollout)
def roll_back(given: dict[str, str], version: int) -> dict[str, Any]:
    """Give every tablet this earlier version again, in a new manifest; all other rollouts of the form end."""
    here, actor = parts(), auth.signed_in().id
    made = rollouts.roll_back(here.db, here.keys, version, reason=given["reason"], actor=actor, now=here.now())
    return _described(Standing(made, 0))


@blueprint.put(f"/rollouts/{ROLLOUT}/ring")
@auth.needs("publisher", tokens=True)
@fails(*_OWN, "rollout.training_over_field")
@blueprint.arguments(form_schemas.NewRing)
@blueprint.response(200, form_schemas.Rollout)
def widen(given: dict[str, Any], rollout: int) -> dict[str, Any]:
    """Give a rollout another ring, wider or narrower."""
    here, actor = parts(), auth.signed_in().id
    rollouts.widen(here.db, here.keys, rollout, ring=_ring(given), actor=actor, now=here.now())
    return _described(halts.standing(here.db, rollout, now=here.now()))


@blueprint.post(f"/rollouts/{ROLLOUT}/halt")
@auth.needs("publisher", tokens=True)
@fails(*_OWN)
@blueprint.arguments(form_schemas.Why)
@blueprint.response(200, form_schemas.Rollout)
def halt(given: dict[str, str], rollout: int) -> dict[str, Any]:
    """Take a ring out of the manifest: its tablets have the version below again. A planned rollout is called off."""
    here, actor = parts(), auth.signed_in().id
    halts.halt(here.db, here.keys, rollout, reason=given["reason"], actor=actor, now=here.now())
    return _described(halts.standing(here.db, rollout, now=here.now()))


@blueprint.post(f"/rollouts/{ROLLOUT}/resume")
@auth.needs("publisher", tokens=True)
@fails(*_OWN, *_BUNDLE, "rollout.training_over_field")
@blueprint.response(200, form_schemas.Rollout)
def resume(rollout: int) -> dict[str, Any]:
    """Bring a halted ring back; what tablets could not work with before counts no more."""
    here, actor = parts(), auth.signed_in().id
    halts.resume(here.db, here.keys, rollout, actor=actor, now=here.now())
    return _described(halts.standing(here.db, rollout, now=here.now()))


@blueprint.post(f"/versions/{NUMBER}/closing")
@auth.needs("publisher", tokens=True)
@fails("version.unknown", "version.wrong_state")
@blueprint.response(200, form_schemas.Version)
def close(version: int) -> dict[str, Any]:
    """Send no tablet to a version any more; what was asked with it is accepted as before."""
    here, person = parts(), auth.signed_in()
    return described(versions.close(here.db, here.keys, version, person=person, now=here.now()))


@blueprint.post(f"/versions/{NUMBER}/retirement")
@auth.needs("publisher", tokens=True)
@fails("version.unknown", "version.wrong_state")
@blueprint.response(200, form_schemas.Version)
def retire(version: int) -> dict[str, Any]:
    """Mark what still comes in under a closed version; it is accepted all the same."""
    here = parts()
    return described(versions.retire(here.db, version, person=auth.signed_in(), now=here.now()))


@blueprint.get("/inventory")
@auth.needs(*ALL, tokens=True)
@blueprint.arguments(form_schemas.InventoryQuery, location="query")
@blueprint.response(200, form_schemas.Inventory)
def stock(given: dict[str, str]) -> Any:
    """Which versions are on how many tablets of each region, who is behind and since when, who is silent.

    A token gets the counts alone, without `behind` and `silent`.
    """
    here = parts()
    region, days = given.get("region"), here.config.silent_days
    found = inventory.take(here.db, region=region, silent_days=days, now=here.now())
    return {"versions": found.versions} if auth.by_token() else found
