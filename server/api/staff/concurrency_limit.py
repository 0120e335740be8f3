"""Addresses whose answer costs much: a person has one at a time, and waits for the next no longer than a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from server.api.staff import auth
from server.flows.forms import upload_sandbox

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def one_at_a_time(endpoint: Endpoint) -> Endpoint:
    """Answer while the person who asks has her turn to have something read. Problem `server.busy` when it is not."""

    @wraps(endpoint)
    def answered(*arguments: Any, **named: Any) -> Any:
        with upload_sandbox.slot(auth.current_person().id):
            return endpoint(*arguments, **named)

    return answered  # type: ignore[return-value]
