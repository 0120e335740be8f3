"""The health endpoint that both APIs have, so that a monitor can watch each port."""

from __future__ import annotations

from flask_smorest import Blueprint

from server import jobs
from server.api import openapi, schemas
from server.api.flask_app import current_services
from server.flows.operations import health
from server.flows.trust import documents
from server.problems import Problem

blueprint = Blueprint("common", __name__, description="The server itself")


@blueprint.get("/healthz")
@openapi.problems("server.jobs_stopped")
@blueprint.response(200, schemas.HealthSchema)
def get_health() -> dict[str, str]:
    """Report that the server can write to its database, that its jobs run and that it answers tablets; `damaged`: it
    has lost data.

    Damage does not stop intake, so it is no problem with a status of its own.
    """
    services = current_services()
    documents.get_newest(services.db.read(), "trust")
    health.check_writable(services.db, services.config, now=services.now())
    late = jobs.list_stopped_jobs(services.db, services.now(), services.started)
    ended = [thread.name for thread in services.vital if not thread.is_alive()]
    if late or ended:
        raise Problem("server.jobs_stopped", ", ".join(late + ended))
    return {"status": "damaged" if health.is_damaged(services.db) else "ok"}
