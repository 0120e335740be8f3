"""The staff API for comparisons of two versions, and for the state of background tasks.

A task is work that takes longer than a response may take.
"""

from __future__ import annotations

from typing import Any

from flask import request
from flask_smorest import Blueprint

from server import problems
from server.api import openapi
from server.api.flask_app import current_services
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import one_at_a_time
from server.api.staff.pages import NEXT_PAGE, answer_part
from server.api.staff.versions import FORM_ROLES, VERSION_ID
from server.flows.forms import comparison
from server.flows.forms.background_tasks import BackgroundTask

blueprint = Blueprint("tasks", __name__, url_prefix="/v1", description="Comparisons and long work")


def describe_task(task: BackgroundTask) -> dict[str, Any]:
    """Describe a task's progress. A failed task contains its problem document."""
    error, language = task.problem, problems.choose_language(request.headers.get("Accept-Language", ""))
    body = problems.build_document(error.code, error.detail, language, error.members) if error else None
    return {**vars(task), "problem": body}


@blueprint.get(f"/versions/{VERSION_ID}/difference")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("version.unknown", "version.no_former", "form.problems")
@blueprint.arguments(form_schemas.AgainstSchema, location="query")
@blueprint.response(200, form_schemas.ChangeSchema(many=True), headers=NEXT_PAGE)
@one_at_a_time
def compare_versions(arguments: dict[str, Any], version: int) -> Any:
    """List the differences from another version in an author's terms."""
    found = comparison.list_differences(current_services().db, version, arguments.get("old"))
    return answer_part(found, arguments["after"], arguments["limit"])


@blueprint.post(f"/versions/{VERSION_ID}/impact")
@auth.require_role("author", "reviewer", "publisher", tokens=True)
@openapi.problems("version.unknown", "version.no_former", "task.too_many")
@blueprint.arguments(form_schemas.ImpactSchema, location="query")
@blueprint.response(202, form_schemas.TaskSchema)
def start_impact(arguments: dict[str, int], version: int) -> dict[str, Any]:
    """Start a task that finds changed outcomes, over the author's cases and synthetic respondents."""
    services = current_services()
    work = comparison.prepare_impact(services.db, version, arguments.get("old"), count=arguments["count"])
    return describe_task(services.tasks.start(auth.current_person().id, work))


@blueprint.get("/tasks/<task>")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("task.unknown")
@blueprint.response(200, form_schemas.TaskSchema)
def get_task(task: str) -> dict[str, Any]:
    """Get the progress and the result of the caller's own task."""
    return describe_task(current_services().tasks.get(task, auth.current_person().id))
