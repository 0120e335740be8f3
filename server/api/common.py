"""The addresses that both doors have beside their own: whether the server can work."""

from __future__ import annotations

from flask_smorest import Blueprint

from server.api import schemas
from server.api.door import parts
from server.flows import publishing

blueprint = Blueprint("common", __name__, description="The server itself")


@blueprint.get("/healthz")
@blueprint.response(200, schemas.Health)
def health() -> dict[str, str]:
    """Whether the server can work: it writes to its database, and its jobs run."""
    publishing.newest(parts().db.read(), "trust")
    return {"status": "ok"}
