"""Addresses whose answer costs much: a person has one at a time, and waits for the next no longer than a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from server.api.staff import auth
from server.flows.forms import upload_sandbox as workshop

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def in_turn(endpoint: Endpoint) -> Endpoint:
    """Answer while the person who asks has her turn to have something read. Problem `server.busy` when it is not."""

    @wraps(endpoint)
    def answered(*given: Any, **named: Any) -> Any:
        with workshop.turn(auth.signed_in().id):
            return endpoint(*given, **named)

    return answered  # type: ignore[return-value]
