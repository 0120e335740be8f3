"""The staff API for publishers: rollouts to rings of tablets, halts, rollbacks, and the inventory of versions.

These endpoints refer to a stored version by its number. Signed bundles from other machines must come through
`POST /v1/publications` (documents.py).
"""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint

from server.api import openapi
from server.api.flask_app import current_services
from server.api.staff import auth, form_schemas
from server.api.staff.pages import NEXT_PAGE, answer_page
from server.api.staff.versions import FORM_ROLES, VERSION_ID, describe_version
from server.flows.forms import halts, inventory, rollouts, versions
from server.flows.forms.halts import RolloutStatus
from server.flows.forms.rollouts import Ring

blueprint = Blueprint("rollouts", __name__, url_prefix="/v1", description="Rollouts and inventory")
ROLLOUT_ID = "<int(max=9007199254740991):rollout>"
_BUNDLE_PROBLEMS = ("bundle.*", "bundle.demo_trust", "bundle.one_person", "signed.too_few", "signed.bad_signature")
_START_PROBLEMS = (
    "version.unknown",
    "version.wrong_state",
    "rollout.training_over_field",
    "publication.recording_missing",
)
_ROLLOUT_PROBLEMS = ("rollout.unknown", "rollout.wrong_state")


def _read_ring(arguments: dict[str, Any]) -> Ring:
    regions, devices = (tuple(arguments[name]) if arguments.get(name) else None for name in ("regions", "devices"))
    return Ring(regions, arguments.get("share_permille"), devices)


def _describe_rollout(found: RolloutStatus) -> dict[str, Any]:
    return {**vars(found.rollout), "refused": found.refused}


@blueprint.get("/rollouts")
@auth.require_role(*FORM_ROLES, tokens=True)
@blueprint.arguments(form_schemas.FormQuerySchema, location="query")
@blueprint.response(200, form_schemas.RolloutSchema(many=True), headers=NEXT_PAGE)
def list_rollouts(arguments: dict[str, Any]) -> Any:
    """List all rollouts, or those of one form, in the order in which tablets try them. Counts the refusing tablets."""
    services, limit = current_services(), arguments["limit"]
    found = halts.list_rollouts(
        services.db, arguments.get("form"), before=arguments["after"], most=limit + 1, now=services.now()
    )
    return answer_page(found, limit, cursor=lambda each: each.rollout.id, describe=_describe_rollout)


@blueprint.post(f"/versions/{VERSION_ID}/rollouts")
@auth.require_role("publisher", tokens=True)
@openapi.problems(*_START_PROBLEMS, *_BUNDLE_PROBLEMS)
@blueprint.arguments(form_schemas.NewRolloutSchema)
@blueprint.response(201, form_schemas.RolloutSchema)
def plan_rollout(arguments: dict[str, Any], version: int) -> dict[str, Any]:
    """Roll out an approved version to a ring of tablets, now or at a given time."""
    services, actor = current_services(), auth.current_person().id
    made = rollouts.plan_rollout(
        services.db,
        services.keys,
        version,
        ring=_read_ring(arguments),
        starts=arguments.get("starts"),
        actor=actor,
        now=services.now(),
    )
    return _describe_rollout(RolloutStatus(made, 0))


@blueprint.post(f"/versions/{VERSION_ID}/rollback")
@auth.require_role("publisher", tokens=True)
@openapi.problems(*_START_PROBLEMS, *_BUNDLE_PROBLEMS)
@blueprint.arguments(form_schemas.WhySchema)
@blueprint.response(201, form_schemas.RolloutSchema)
def roll_back(arguments: dict[str, str], version: int) -> dict[str, Any]:
    """Return all tablets to an earlier version, in a new manifest. All other rollouts of the form end."""
    services, actor = current_services(), auth.current_person().id
    made = rollouts.roll_back(
        services.db, services.keys, version, reason=arguments["reason"], actor=actor, now=services.now()
    )
    return _describe_rollout(RolloutStatus(made, 0))


@blueprint.put(f"/rollouts/{ROLLOUT_ID}/ring")
@auth.require_role("publisher", tokens=True)
@openapi.problems(*_ROLLOUT_PROBLEMS, "rollout.training_over_field")
@blueprint.arguments(form_schemas.NewRingSchema)
@blueprint.response(200, form_schemas.RolloutSchema)
def widen_rollout(arguments: dict[str, Any], rollout: int) -> dict[str, Any]:
    """Give a rollout another ring, wider or narrower."""
    services, actor = current_services(), auth.current_person().id
    rollouts.change_ring(
        services.db, services.keys, rollout, ring=_read_ring(arguments), actor=actor, now=services.now()
    )
    return _describe_rollout(halts.get_rollout_status(services.db, rollout, now=services.now()))


@blueprint.post(f"/rollouts/{ROLLOUT_ID}/halt")
@auth.require_role("publisher", tokens=True)
@openapi.problems(*_ROLLOUT_PROBLEMS)
@blueprint.arguments(form_schemas.WhySchema)
@blueprint.response(200, form_schemas.RolloutSchema)
def halt_rollout(arguments: dict[str, str], rollout: int) -> dict[str, Any]:
    """Remove a ring from the manifest, so that its tablets get the previous version. Cancels a planned rollout."""
    services, actor = current_services(), auth.current_person().id
    halts.halt_rollout(services.db, services.keys, rollout, reason=arguments["reason"], actor=actor, now=services.now())
    return _describe_rollout(halts.get_rollout_status(services.db, rollout, now=services.now()))


@blueprint.post(f"/rollouts/{ROLLOUT_ID}/resume")
@auth.require_role("publisher", tokens=True)
@openapi.problems(*_ROLLOUT_PROBLEMS, *_BUNDLE_PROBLEMS, "rollout.training_over_field")
@blueprint.response(200, form_schemas.RolloutSchema)
def resume_rollout(rollout: int) -> dict[str, Any]:
    """Resume a halted ring. Earlier refusals no longer count."""
    services, actor = current_services(), auth.current_person().id
    halts.resume_rollout(services.db, services.keys, rollout, actor=actor, now=services.now())
    return _describe_rollout(halts.get_rollout_status(services.db, rollout, now=services.now()))


@blueprint.post(f"/versions/{VERSION_ID}/closing")
@auth.require_role("publisher", tokens=True)
@openapi.problems("version.unknown", "version.wrong_state")
@blueprint.response(200, form_schemas.VersionSchema)
def close_version(version: int) -> dict[str, Any]:
    """Remove a version from the manifest for all tablets. The server still accepts screenings made with it."""
    services, person = current_services(), auth.current_person()
    return describe_version(
        versions.close_version(services.db, services.keys, version, person=person, now=services.now())
    )


@blueprint.post(f"/versions/{VERSION_ID}/retirement")
@auth.require_role("publisher", tokens=True)
@openapi.problems("version.unknown", "version.wrong_state")
@blueprint.response(200, form_schemas.VersionSchema)
def retire_version(version: int) -> dict[str, Any]:
    """Mark screenings that still arrive under a closed version. The server still accepts them."""
    services = current_services()
    return describe_version(
        versions.retire_version(services.db, version, person=auth.current_person(), now=services.now())
    )


@blueprint.get("/inventory")
@auth.require_role(*FORM_ROLES, tokens=True)
@blueprint.arguments(form_schemas.InventoryQuerySchema, location="query")
@blueprint.response(200, form_schemas.InventorySchema)
def get_inventory(arguments: dict[str, str]) -> Any:
    """Count the tablets with each version per region, and list tablets that are behind or silent.

    A token gets only the counts, without `behind` and `silent`.
    """
    services = current_services()
    region, days = arguments.get("region"), services.config.silent_days
    found = inventory.take_inventory(services.db, region=region, silent_days=days, now=services.now())
    return {"versions": found.versions} if auth.is_token_request() else found
