"""A limit for expensive endpoints: the staff API runs one such request per person at a time.

A second request waits for at most one second. Without the limit, one author's uploads could block all other people.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from server.api.staff import auth
from server.flows.forms import upload_sandbox

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def one_at_a_time(endpoint: Endpoint) -> Endpoint:
    """Run an endpoint in the person's sandbox slot. Raises Problem `server.busy` if the slot stays occupied."""

    @wraps(endpoint)
    def answered(*arguments: Any, **named: Any) -> Any:
        with upload_sandbox.slot(auth.current_person().id):
            return endpoint(*arguments, **named)

    return answered  # type: ignore[return-value]
