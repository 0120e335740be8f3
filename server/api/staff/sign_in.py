"""The people's door: signing in, the person's own keys, and `install`, which puts the whole API of this door together.

JSON with a cookie session; the publishing addresses also take tokens. Every address calls one flow and turns its value
into JSON.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request
from flask.views import MethodView
from flask_smorest import Blueprint

from server.api import docs_page as page
from server.api import health as common
from server.api import metrics
from server.api.flask_app import Parts, parts
from server.api.openapi import fails, publish
from server.api.schemas import Login, Me, Parameters, Person, SignIn
from server.api.staff import auth, desks, devices, documents, rollouts, rule_tables, tasks, tokens, versions, worklist
from server.flows.operations import health as work
from server.flows.people import accounts as people
from server.flows.trust import keyrings
from server.problems import Problem
from sync.errors import SyncError
from sync.wire.encoding import b64u, strict_value, unb64u

MAX_JSON_BYTES = 64 * 1024

blueprint = Blueprint("people", __name__, url_prefix="/v1", description="Sign-in and one's own keys")


def install(app: Flask) -> None:
    """Put the people's API, its OpenAPI document and the guard against forged requests on an app."""
    auth.guard_requests(app)
    app.before_request(_read_strictly)
    app.after_request(_keep_no_copy)
    here: Parts = app.extensions["chaski"]
    token = here.config.metrics_token
    metrics.install(app, here.metrics, token, lambda: work.figures(here.db, here.config, here.keys, now=here.now()))
    own = (blueprint, devices.blueprint, documents.blueprint, desks.blueprint, worklist.blueprint)
    authors = (versions.blueprint, rule_tables.blueprint, tasks.blueprint, rollouts.blueprint, tokens.blueprint)
    every = (*own, *authors, common.blueprint)
    page.install(app, publish(app, *every, title="Chaski: puerta de las personas", guard=auth.GUARD))


def _read_strictly() -> None:
    """Hold JSON to what signed documents are held to: no endless nesting or number, no member twice, and small."""
    if request.is_json:
        request.max_content_length = MAX_JSON_BYTES
        strict_value(request.get_data())


def _keep_no_copy(response: Response) -> Response:
    """Whose screening is in which queue must not stay behind in a browser's cache; signed documents may."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@blueprint.get("/session/parameters")
@blueprint.arguments(Login, location="query")
@blueprint.response(200, Parameters)
def parameters(given: dict[str, str]) -> dict[str, Any]:
    """What a client needs to derive `auth`; an unknown login is answered like a known one."""
    return {"salt": b64u(people.salt_for(parts().db, given["login"]))}


@blueprint.route("/session")
class Session(MethodView):
    """The caller's session."""

    @fails("session.refused", "session.too_many")
    @blueprint.arguments(SignIn)
    @blueprint.response(201, Person)
    def post(self, given: dict[str, str]) -> Response:
        """Sign in; the session is a cookie."""
        here = parts()
        try:
            derived = unb64u(given["auth"])
        except SyncError as wrong:
            raise Problem("session.refused") from wrong
        signed_in = people.sign_in(
            here.db, login=given["login"], auth=derived, address=request.remote_addr or "", now=here.now()
        )
        answer = jsonify(Person().dump(signed_in.person))
        answer.status_code = 201
        auth.set_cookie(answer, signed_in.token, here.config)
        return answer

    @blueprint.response(204)
    def delete(self) -> Response:
        """Sign out."""
        people.sign_out(parts().db, request.cookies.get(auth.COOKIE, ""), now=parts().now())
        answer = Response(status=204)
        answer.delete_cookie(auth.COOKIE)
        return answer


@blueprint.get("/me")
@auth.needs()
@blueprint.response(200, Me)
def me() -> dict[str, Any]:
    """The caller, the queues she works, her locked keys and her copies of keyrings."""
    return vars(keyrings.belongings(parts().db, auth.signed_in()))
