"""The addresses that both doors have beside their own: whether the server can work."""

from __future__ import annotations

from flask_smorest import Blueprint

from server import jobs
from server.api import schemas
from server.api.flask_app import parts
from server.api.openapi import fails
from server.flows.operations import health as work
from server.flows.trust import documents as publishing
from server.problems import Problem

blueprint = Blueprint("common", __name__, description="The server itself")


@blueprint.get("/healthz")
@fails("server.jobs_stopped")
@blueprint.response(200, schemas.Health)
def health() -> dict[str, str]:
    """Whether the server can work: it writes to its database, and its jobs run."""
    here = parts()
    publishing.newest(here.db.read(), "trust")
    work.beat(here.db, here.config, now=here.now())
    if late := jobs.stopped(here.db, here.now(), here.started):
        raise Problem("server.jobs_stopped", ", ".join(late))
    return {"status": "ok"}
