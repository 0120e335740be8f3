"""The staff API for sessions: sign-in, sign-out, and the person's own keys.

The session is a cookie. The server proves itself first. A client must never send the passphrase, nor `auth`, which it
derives from it; it sends a proof that it knows `auth`.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from flask import Response, jsonify, request
from flask.views import MethodView
from flask_smorest import Blueprint

from server.api import openapi
from server.api.coded_bytes import DOCUMENT_TYPE
from server.api.flask_app import current_services
from server.api.schemas import AskChallengeSchema, MeSchema, PersonSchema, SignInSchema
from server.api.staff import auth
from server.flows.people import accounts, sign_in
from server.flows.trust import keyrings
from server.problems import Problem
from sync.errors import SyncError
from sync.exchange.address import is_loopback, origin_of, parse_address, port_of

blueprint = Blueprint("people", __name__, url_prefix="/v1", description="Sign-in and one's own keys")


@blueprint.post("/session/challenge")
@openapi.problems("session.wrong_address")
@blueprint.arguments(AskChallengeSchema)
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_challenge(arguments: dict[str, str]) -> Response:
    """Prove that this is the server, for the address that the client dialled, before the client proves anything.

    The response is a signed challenge (SPEC 5.9). It does not reveal whether the login exists.
    """
    services = current_services()
    challenge = sign_in.issue_challenge(
        services.db,
        services.keys,
        login=arguments["login"],
        nonce=arguments["nonce"],
        url=_require_own_address(arguments["url"]),
        now=services.now(),
    )
    return Response(challenge.to_bytes(), mimetype=DOCUMENT_TYPE)


def _require_own_address(url: str) -> str:
    """Return the origin of a URL. Raises Problem `session.wrong_address` if the server is not reached there.

    Without the setting, clients on this machine reach it at the IP address that it listens on, or by `localhost`.
    Another program may listen on the other addresses of this machine, under the same port.
    """
    try:
        address, origin = parse_address(url), origin_of(url)
    except SyncError as error:
        raise Problem("session.wrong_address") from error
    config = current_services().config
    own, bound = config.people_url, ipaddress.ip_address(config.people_host)
    names = ("localhost", str(bound), f"[{bound}]") if bound.is_loopback else ()
    listens = is_loopback(address) if bound.is_unspecified else address.host in names
    here = address.scheme == "http" and listens and str(port_of(address)) == request.environ["SERVER_PORT"]
    if origin not in own and (own or not here):
        raise Problem("session.wrong_address", origin)
    return origin


@blueprint.route("/session")
class Session(MethodView):
    """The caller's session."""

    @openapi.problems("session.refused", "session.too_many", "session.challenge_expired", "session.challenge_used")
    @openapi.problems("signed.*", "document.*", "encoding.*")
    @blueprint.arguments(SignInSchema)
    @blueprint.response(201, PersonSchema)
    def post(self, arguments: dict[str, str]) -> Response:
        """Sign in with the answer to a challenge. The response sets the session cookie."""
        services = current_services()
        signed_in = sign_in.open_session(
            services.db,
            services.keys,
            challenge=arguments["challenge"].encode(),
            proof=arguments["proof"],
            address=request.remote_addr or "",
            now=services.now(),
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
