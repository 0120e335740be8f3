"""The staff API for reports: statistics, and the audit chain.

A response must not identify a respondent.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask_smorest import Blueprint

from server.api import schemas
from server.api.flask_app import current_services
from server.api.staff import auth
from server.api.staff.pages import NEXT_PAGE, answer_part
from server.flows.operations import reports, statistics, told_heads

blueprint = Blueprint("reports", __name__, url_prefix="/v1", description="Statistics and audit")


@blueprint.get("/statistics")
@auth.require_role("administrator")
@blueprint.arguments(schemas.StatisticsQuerySchema, location="query")
@blueprint.response(200, schemas.TableSchema(many=True), headers=NEXT_PAGE)
def list_statistics(view: dict[str, Any]) -> Any:
    """List the published tables: one per period and fact, with fixed rows. Counts below eleven are not shown."""
    services = current_services()
    found = statistics.list_tables(services.db, mode=view["mode"], now=services.now())
    return answer_part(found, view["after"], view["limit"])


@blueprint.post("/audit-head")
@auth.require_role()
@blueprint.arguments(schemas.KnownHeadSchema)
@blueprint.response(200, schemas.ToldHeadSchema)
def compare_audit_head(known: dict[str, Any]) -> dict[str, Any]:
    """Compare the audit head that the caller's client was told before; return the present one."""
    services = current_services()
    told = told_heads.compare_head(
        services.db, known["number"], known["hash"], actor=auth.current_person().id, now=services.now()
    )
    return asdict(told)


@blueprint.get("/audit")
@auth.require_role("administrator")
@blueprint.arguments(schemas.AuditQuerySchema, location="query")
@blueprint.response(200, schemas.AuditPageSchema)
def list_audit_entries(arguments: dict[str, int]) -> dict[str, Any]:
    """List up to 500 rows of the audit chain, and its head."""
    return asdict(reports.read_audit(current_services().db, after=arguments["after"]))
