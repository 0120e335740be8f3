"""The people's door: tokens for a person's own programs. Made, listed and ended in a session, never with a token."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from flask_smorest import Blueprint

from server.api.flask_app import parts
from server.api.openapi import fails
from server.api.staff import auth, form_schemas
from server.flows.people import tokens
from server.store.tokens import Token

blueprint = Blueprint("tokens", __name__, url_prefix="/v1", description="Tokens for one's own programs")


def _described(token: Token) -> dict[str, Any]:
    return {**asdict(token), "roles": token.roles.split()}


@blueprint.post("/tokens")
@auth.needs(*tokens.ROLES)
@blueprint.arguments(form_schemas.NewToken)
@blueprint.response(201, form_schemas.MadeToken)
def make(given: dict[str, Any]) -> dict[str, Any]:
    """Make a token with some of the caller's roles, for ninety days at most; it is shown once."""
    here, person = parts(), auth.signed_in()
    made = tokens.make(here.db, person, label=given["label"], roles=given["roles"], days=given["days"], now=here.now())
    return {**_described(made.token), "token": made.text}


@blueprint.get("/tokens")
@auth.needs(*tokens.ROLES)
@blueprint.response(200, form_schemas.Token(many=True))
def listed() -> list[dict[str, Any]]:
    """The caller's tokens, also those that are over."""
    return [_described(each) for each in tokens.listed(parts().db, auth.signed_in())]


@blueprint.delete("/tokens/<token>")
@auth.needs(*tokens.ROLES)
@fails("token.unknown")
@blueprint.response(204)
def revoke(token: str) -> Response:
    """End one of the caller's tokens."""
    here = parts()
    tokens.revoke(here.db, auth.signed_in(), token, now=here.now())
    return Response(status=204)
