"""The people's door: indicator sets and policies that authors publish, and what a new one does to forms that use it.

Tables come as CSV or as an .xlsx sheet and leave as the CSV that was read of them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api.flask_app import DOCUMENT, parts
from server.api.openapi import BYTES, fails, takes
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import in_turn
from server.api.staff.tasks import described as task_described
from server.api.staff.versions import ALL, described
from server.flows.forms import rule_tables

blueprint = Blueprint("rule_tables", __name__, url_prefix="/v1", description="Indicator sets and policies")
KINDS = {"indicator-sets": "indicator_set", "policies": "policy"}
TABLES = "<any('indicator-sets', policies):tables>"
CSV = "text/csv"


@blueprint.get(f"/{TABLES}")
@auth.needs(*ALL, tokens=True)
@blueprint.response(200, form_schemas.RuleTable(many=True))
def listed(tables: str) -> list[Any]:
    """The tables that authors published here, oldest first; those that come with the program are not among them."""
    return list(rule_tables.listed(parts().db, KINDS[tables]))


@blueprint.get(f"/{TABLES}/<table>")
@auth.needs(*ALL, tokens=True)
@fails("table.unknown")
@blueprint.response(200, BYTES, content_type=CSV)
def look(tables: str, table: str) -> Response:
    """One table as CSV."""
    return Response(rule_tables.text(parts().db, KINDS[tables], table), mimetype=CSV)


@blueprint.put(f"/{TABLES}/<table>")
@auth.needs("author", tokens=True)
@fails("form.problems", "table.name_used", "table.too_many")
@takes(DOCUMENT)
@blueprint.response(200, form_schemas.PutTable)
@in_turn
def put(tables: str, table: str) -> dict[str, Any]:
    """Publish a table under a name that is never used again; says which form versions use an earlier one."""
    here, person = parts(), auth.signed_in()
    done = rule_tables.put(here.db, KINDS[tables], table, request.get_data(), person=person, now=here.now())
    users = [described(each) for each in done.users]
    return {**asdict(done.table), "former": done.former, "changes": done.changes, "users": users}


@blueprint.post(f"/{TABLES}/<table>/effect")
@auth.needs("author", "reviewer", "publisher", tokens=True)
@fails("table.unknown", "task.too_many")
@blueprint.arguments(form_schemas.Count, location="query")
@blueprint.response(202, form_schemas.Task)
def effect(given: dict[str, int], tables: str, table: str) -> dict[str, Any]:
    """Begin to find out what a table would change in each form that uses its family; ask after the task."""
    here = parts()
    work = rule_tables.effect(here.db, KINDS[tables], table, count=given["count"])
    return task_described(here.tasks.start(auth.signed_in().id, work))


@blueprint.post(f"/{TABLES}/<table>/drafts")
@auth.needs("author", tokens=True)
@fails("table.unknown", "task.too_many")
@blueprint.response(202, form_schemas.Task)
def drafts(tables: str, table: str) -> dict[str, Any]:
    """Begin to compile each form that uses the table's family with it, as the caller's drafts; ask after the task."""
    here, person = parts(), auth.signed_in()
    work = rule_tables.drafts(here.db, KINDS[tables], table, person=person, now=here.now())
    return task_described(here.tasks.start(person.id, work))
