"""The installation of the staff API: its endpoints, OpenAPI document and page, and the checks before every request.

The API uses JSON and a session cookie; the publishing endpoints also accept tokens. Each endpoint calls one flow and
returns the result as JSON.
"""

from __future__ import annotations

from flask import Flask, Response, request

from server.api import docs_page, health, metrics, openapi
from server.api.flask_app import Services
from server.api.staff import (
    auth,
    devices,
    documents,
    referrals,
    reports,
    rollouts,
    rule_tables,
    sign_in,
    tasks,
    tokens,
    versions,
    worklist,
)
from server.flows.operations.health import measure
from sync.wire.encoding import strict_value

MAX_JSON_BYTES = 64 * 1024


def install_staff_api(app: Flask) -> None:
    """Install the staff API, its OpenAPI document and the check against forged requests on an app."""
    auth.refuse_forged_requests(app)
    app.before_request(_check_json)
    app.after_request(_forbid_caching)
    services: Services = app.extensions["chaski"]
    token = services.config.metrics_token
    metrics.install(
        app,
        services.metrics,
        token,
        lambda: measure(services.db, services.config, services.keys, now=services.now()),
    )
    own = (
        sign_in.blueprint,
        devices.blueprint,
        documents.blueprint,
        referrals.blueprint,
        reports.blueprint,
        worklist.blueprint,
    )
    authors = (versions.blueprint, rule_tables.blueprint, tasks.blueprint, rollouts.blueprint, tokens.blueprint)
    every = (*own, *authors, health.blueprint)
    docs_page.install(
        app, openapi.register_blueprints(app, *every, title="Chaski: puerta de las personas", guard=auth.GUARD_HEADER)
    )


def _check_json() -> None:
    """Apply the rules of signed documents to JSON bodies: limits on nesting, numbers and size; no duplicate member."""
    if request.is_json:
        request.max_content_length = MAX_JSON_BYTES
        strict_value(request.get_data())


def _forbid_caching(response: Response) -> Response:
    """Forbid caches to store a response, because it may reveal whose screening is in which queue.

    Signed documents set their own caching first.
    """
    response.headers.setdefault("Cache-Control", "no-store")
    return response
