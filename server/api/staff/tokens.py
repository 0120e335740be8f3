"""The staff API for tokens: a person creates them for her own programs.

These endpoints need a session. A token must not create, list or revoke tokens.
"""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from server.api import openapi, schemas
from server.api.flask_app import current_services
from server.api.staff import auth, form_schemas
from server.api.staff.pages import NEXT_PAGE, answer_page, cut_page
from server.flows.people import tokens
from server.store.tokens import Token

blueprint = Blueprint("tokens", __name__, url_prefix="/v1", description="Tokens for one's own programs")


def _describe_token(token: Token) -> dict[str, Any]:
    return {**vars(token), "roles": token.roles.split()}


@blueprint.post("/tokens")
@auth.require_role(*tokens.ROLES)
@blueprint.arguments(form_schemas.NewTokenSchema)
@blueprint.response(201, form_schemas.MadeTokenSchema)
def make_token(arguments: dict[str, Any]) -> dict[str, Any]:
    """Create a token with some of the caller's roles, for at most 90 days. The server returns its text once."""
    services, person = current_services(), auth.current_person()
    made = tokens.create_token(
        services.db,
        person,
        label=arguments["label"],
        roles=arguments["roles"],
        days=arguments["days"],
        now=services.now(),
    )
    return {**_describe_token(made.token), "token": made.text}


@blueprint.get("/tokens")
@auth.require_role(*tokens.ROLES)
@openapi.problems("list.bad_cursor")
@blueprint.arguments(schemas.PageSchema, location="query")
@blueprint.response(200, form_schemas.TokenSchema(many=True), headers=NEXT_PAGE)
def list_tokens(page: dict[str, Any]) -> Any:
    """List the caller's tokens, including expired and revoked ones."""
    found = tokens.list_tokens(current_services().db, auth.current_person())
    shown = cut_page(found, page["after"], page["limit"], cursor=lambda each: each.id)
    return answer_page(shown, page["limit"], cursor=lambda each: each.id, describe=_describe_token)


@blueprint.delete("/tokens/<token>")
@auth.require_role(*tokens.ROLES)
@openapi.problems("token.unknown")
@blueprint.response(204)
def revoke_token(token: str) -> Response:
    """Revoke one of the caller's tokens."""
    services = current_services()
    tokens.revoke_token(services.db, auth.current_person(), token, now=services.now())
    return Response(status=204)
