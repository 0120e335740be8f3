"""The people's door: indicator sets and policies that authors publish, and what a new one does to forms that use it.

Tables come as CSV or as an .xlsx sheet and leave as the CSV that was read of them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api import openapi
from server.api.flask_app import DOCUMENT_TYPE, current_services
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import one_at_a_time
from server.api.staff.tasks import describe_task
from server.api.staff.versions import FORM_ROLES, describe_version
from server.flows.forms import rule_tables

blueprint = Blueprint("rule_tables", __name__, url_prefix="/v1", description="Indicator sets and policies")
KINDS = {"indicator-sets": "indicator_set", "policies": "policy"}
KIND = "<any('indicator-sets', policies):tables>"
CSV_TYPE = "text/csv"


@blueprint.get(f"/{KIND}")
@auth.require_role(*FORM_ROLES, tokens=True)
@blueprint.response(200, form_schemas.RuleTableSchema(many=True))
def list_tables(tables: str) -> list[Any]:
    """The tables that authors published here, oldest first; those that come with the program are not among them."""
    return list(rule_tables.list_tables(current_services().db, KINDS[tables]))


@blueprint.get(f"/{KIND}/<table>")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("table.unknown")
@blueprint.response(200, openapi.BYTES, content_type=CSV_TYPE)
def get_table(tables: str, table: str) -> Response:
    """One table as CSV."""
    return Response(rule_tables.get_text(current_services().db, KINDS[tables], table), mimetype=CSV_TYPE)


@blueprint.put(f"/{KIND}/<table>")
@auth.require_role("author", tokens=True)
@openapi.problems("form.problems", "table.name_used", "table.too_many")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(200, form_schemas.PutTableSchema)
@one_at_a_time
def publish_table(tables: str, table: str) -> dict[str, Any]:
    """Publish a table under a name that is never used again; says which form versions use an earlier one."""
    services, person = current_services(), auth.current_person()
    done = rule_tables.publish_table(
        services.db, KINDS[tables], table, request.get_data(), person=person, now=services.now()
    )
    users = [describe_version(each) for each in done.users]
    return {**asdict(done.table), "former": done.former, "changes": done.changes, "users": users}


@blueprint.post(f"/{KIND}/<table>/effect")
@auth.require_role("author", "reviewer", "publisher", tokens=True)
@openapi.problems("table.unknown", "task.too_many")
@blueprint.arguments(form_schemas.CountSchema, location="query")
@blueprint.response(202, form_schemas.TaskSchema)
def start_effect(arguments: dict[str, int], tables: str, table: str) -> dict[str, Any]:
    """Begin to find out what a table would change in each form that uses its family; ask after the task."""
    services = current_services()
    work = rule_tables.prepare_effect(services.db, KINDS[tables], table, count=arguments["count"])
    return describe_task(services.tasks.start(auth.current_person().id, work))


@blueprint.post(f"/{KIND}/<table>/drafts")
@auth.require_role("author", tokens=True)
@openapi.problems("table.unknown", "task.too_many")
@blueprint.response(202, form_schemas.TaskSchema)
def start_drafts(tables: str, table: str) -> dict[str, Any]:
    """Begin to compile each form that uses the table's family with it, as the caller's drafts; ask after the task."""
    services, person = current_services(), auth.current_person()
    work = rule_tables.prepare_drafts(services.db, KINDS[tables], table, person=person, now=services.now())
    return describe_task(services.tasks.start(person.id, work))
