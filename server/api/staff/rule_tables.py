"""The staff API for rule tables: indicator sets and policies, and the effect of a new one on forms that use it.

Authors upload a table as CSV or as an .xlsx sheet. The server returns it as CSV.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api import openapi, schemas
from server.api.coded_bytes import DOCUMENT_TYPE
from server.api.flask_app import current_services
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import one_at_a_time
from server.api.staff.pages import NEXT_PAGE, answer_page, cut_page
from server.api.staff.tasks import describe_task
from server.api.staff.versions import FORM_ROLES, describe_versions
from server.flows.forms import rule_tables

blueprint = Blueprint("rule_tables", __name__, url_prefix="/v1", description="Indicator sets and policies")
KINDS = {"indicator-sets": "indicator_set", "policies": "policy"}
KIND = "<any('indicator-sets', policies):tables>"
CSV_TYPE = "text/csv"


@blueprint.get(f"/{KIND}")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("list.bad_cursor")
@blueprint.arguments(schemas.PageSchema, location="query")
@blueprint.response(200, form_schemas.RuleTableSchema(many=True), headers=NEXT_PAGE)
def list_tables(page: dict[str, Any], tables: str) -> Any:
    """List the tables that authors published here, oldest first. Omits tables that come with the program."""
    found = rule_tables.list_tables(current_services().db, KINDS[tables])
    shown = cut_page(found, page["after"], page["limit"], cursor=lambda each: each.name)
    return answer_page(shown, page["limit"], cursor=lambda each: each.name, describe=vars)


@blueprint.get(f"/{KIND}/<table>")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("table.unknown")
@blueprint.response(200, openapi.BYTES, content_type=CSV_TYPE)
def get_table(tables: str, table: str) -> Response:
    """Get one table as CSV."""
    return Response(rule_tables.get_text(current_services().db, KINDS[tables], table), mimetype=CSV_TYPE)


@blueprint.put(f"/{KIND}/<table>")
@auth.require_role("author", tokens=True)
@openapi.problems("form.problems", "table.name_used", "table.too_many")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(200, form_schemas.PutTableSchema)
@one_at_a_time
def publish_table(tables: str, table: str) -> dict[str, Any]:
    """Publish a table under a permanent name. Returns the form versions that use an earlier table of its family."""
    services, person = current_services(), auth.current_person()
    done = rule_tables.publish_table(
        services.db, KINDS[tables], table, request.get_data(), person=person, now=services.now()
    )
    users = describe_versions(done.users)
    return {**asdict(done.table), "former": done.former, "changes": done.changes, "users": users}


@blueprint.post(f"/{KIND}/<table>/effect")
@auth.require_role("author", "reviewer", "publisher", tokens=True)
@openapi.problems("table.unknown", "task.too_many")
@blueprint.arguments(form_schemas.CountSchema, location="query")
@blueprint.response(202, form_schemas.TaskSchema)
def start_effect(arguments: dict[str, int], tables: str, table: str) -> dict[str, Any]:
    """Start a task that computes what a table would change in each form that uses its family."""
    services = current_services()
    work = rule_tables.prepare_effect(services.db, KINDS[tables], table, count=arguments["count"])
    return describe_task(services.tasks.start(auth.current_person().id, work))


@blueprint.post(f"/{KIND}/<table>/drafts")
@auth.require_role("author", tokens=True)
@openapi.problems("table.unknown", "task.too_many")
@blueprint.response(202, form_schemas.TaskSchema)
def start_drafts(tables: str, table: str) -> dict[str, Any]:
    """Start a task that compiles each form of the table's family with the new table, as the caller's drafts."""
    services, person = current_services(), auth.current_person()
    work = rule_tables.prepare_drafts(services.db, KINDS[tables], table, person=person, now=services.now())
    return describe_task(services.tasks.start(person.id, work))
