"""The staff API for sessions: sign-in, sign-out, and the person's own keys.

The session is a cookie. A client must never send the passphrase; it sends `auth`, which it derives from it.
"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from flask.views import MethodView
from flask_smorest import Blueprint

from server.api import openapi
from server.api.flask_app import current_services
from server.api.schemas import LoginSchema, MeSchema, ParametersSchema, PersonSchema, SignInSchema
from server.api.staff import auth
from server.flows.people import accounts
from server.flows.trust import keyrings
from server.problems import Problem
from sync.errors import SyncError
from sync.wire.encoding import b64u, unb64u

blueprint = Blueprint("people", __name__, url_prefix="/v1", description="Sign-in and one's own keys")


@blueprint.get("/session/parameters")
@blueprint.arguments(LoginSchema, location="query")
@blueprint.response(200, ParametersSchema)
def get_parameters(arguments: dict[str, str]) -> dict[str, Any]:
    """Get the parameters to derive `auth`. The response does not reveal whether the login exists."""
    return {"salt": b64u(accounts.get_salt(current_services().db, arguments["login"]))}


@blueprint.route("/session")
class Session(MethodView):
    """The caller's session."""

    @openapi.problems("session.refused", "session.too_many")
    @blueprint.arguments(SignInSchema)
    @blueprint.response(201, PersonSchema)
    def post(self, arguments: dict[str, str]) -> Response:
        """Sign in. The response sets the session cookie."""
        services = current_services()
        try:
            derived = unb64u(arguments["auth"])
        except SyncError as error:
            raise Problem("session.refused") from error
        signed_in = accounts.sign_in(
            services.db, login=arguments["login"], auth=derived, address=request.remote_addr or "", now=services.now()
        )
        answer = jsonify(PersonSchema().dump(signed_in.person))
        answer.status_code = 201
        auth.set_session_cookie(answer, signed_in.token, services.config)
        return answer

    @blueprint.response(204)
    def delete(self) -> Response:
        """Sign out."""
        accounts.sign_out(
            current_services().db, request.cookies.get(auth.SESSION_COOKIE, ""), now=current_services().now()
        )
        answer = Response(status=204)
        answer.delete_cookie(auth.SESSION_COOKIE)
        return answer


@blueprint.get("/me")
@auth.require_role()
@blueprint.response(200, MeSchema)
def get_me() -> dict[str, Any]:
    """Get the caller, her queues, her locked keys and her copies of keyrings."""
    return vars(keyrings.get_own_keys(current_services().db, auth.current_person()))
