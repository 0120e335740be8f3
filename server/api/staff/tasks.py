"""The people's door: comparing two versions, and asking after work that takes longer than an answer may."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_smorest import Blueprint

from server import problems
from server.api.flask_app import parts
from server.api.openapi import fails
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import in_turn
from server.api.staff.versions import ALL, NUMBER
from server.flows.background_tasks import Task
from server.flows.forms import comparison as comparing

blueprint = Blueprint("tasks", __name__, url_prefix="/v1", description="Comparisons and long work")


def described(task: Task) -> dict[str, Any]:
    """How far a task is, with its problem as the problem document that it would have been."""
    wrong, language = task.problem, problems.language(request.headers.get("Accept-Language", ""))
    body = problems.body(wrong.code, wrong.detail, language, wrong.members) if wrong else None
    return {**vars(task), "problem": body}


@blueprint.get(f"/versions/{NUMBER}/difference")
@auth.needs(*ALL, tokens=True)
@fails("version.unknown", "version.no_former", "form.problems")
@blueprint.arguments(form_schemas.Against, location="query")
@blueprint.response(200, form_schemas.Change(many=True))
@in_turn
def difference(given: dict[str, int], version: int) -> list[dict[str, Any]]:
    """What is different from another version, in an author's words."""
    return comparing.difference(parts().db, version, given.get("old"))


@blueprint.post(f"/versions/{NUMBER}/impact")
@auth.needs("author", "reviewer", "publisher", tokens=True)
@fails("version.unknown", "version.no_former", "task.too_many")
@blueprint.arguments(form_schemas.Impact, location="query")
@blueprint.response(202, form_schemas.Task)
def impact(given: dict[str, int], version: int) -> dict[str, Any]:
    """Begin to find out whose outcome would move, over the author's cases and made-up people; ask after the task."""
    here = parts()
    work = comparing.impact(here.db, version, given.get("old"), count=given["count"])
    return described(here.tasks.start(auth.signed_in().id, work))


@blueprint.get("/tasks/<task>")
@auth.needs(*ALL, tokens=True)
@fails("task.unknown")
@blueprint.response(200, form_schemas.Task)
def look(task: str) -> dict[str, Any]:
    """How far one's own task is, and what came out."""
    return described(parts().tasks.look(task, auth.signed_in().id))
