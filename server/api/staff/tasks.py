"""The people's door: comparing two versions, and asking after work that takes longer than an answer may."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_smorest import Blueprint

from server import problems
from server.api import openapi
from server.api.flask_app import current_services
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import one_at_a_time
from server.api.staff.versions import FORM_ROLES, VERSION_ID
from server.flows.forms import comparison
from server.flows.forms.background_tasks import BackgroundTask

blueprint = Blueprint("tasks", __name__, url_prefix="/v1", description="Comparisons and long work")


def describe_task(task: BackgroundTask) -> dict[str, Any]:
    """How far a task is, with its problem as the problem document that it would have been."""
    error, language = task.problem, problems.choose_language(request.headers.get("Accept-Language", ""))
    body = problems.build_document(error.code, error.detail, language, error.members) if error else None
    return {**vars(task), "problem": body}


@blueprint.get(f"/versions/{VERSION_ID}/difference")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("version.unknown", "version.no_former", "form.problems")
@blueprint.arguments(form_schemas.AgainstSchema, location="query")
@blueprint.response(200, form_schemas.ChangeSchema(many=True))
@one_at_a_time
def compare_versions(arguments: dict[str, int], version: int) -> list[dict[str, Any]]:
    """What is different from another version, in an author's words."""
    return comparison.list_differences(current_services().db, version, arguments.get("old"))


@blueprint.post(f"/versions/{VERSION_ID}/impact")
@auth.require_role("author", "reviewer", "publisher", tokens=True)
@openapi.problems("version.unknown", "version.no_former", "task.too_many")
@blueprint.arguments(form_schemas.ImpactSchema, location="query")
@blueprint.response(202, form_schemas.TaskSchema)
def start_impact(arguments: dict[str, int], version: int) -> dict[str, Any]:
    """Begin to find out whose outcome would move, over the author's cases and made-up people; ask after the task."""
    services = current_services()
    work = comparison.prepare_impact(services.db, version, arguments.get("old"), count=arguments["count"])
    return describe_task(services.tasks.start(auth.current_person().id, work))


@blueprint.get("/tasks/<task>")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("task.unknown")
@blueprint.response(200, form_schemas.TaskSchema)
def get_task(task: str) -> dict[str, Any]:
    """How far one's own task is, and what came out."""
    return describe_task(current_services().tasks.get(task, auth.current_person().id))
