"""The whole staff API put together: its addresses, its OpenAPI document and page, and the guards before every request.

JSON with a cookie session; the publishing addresses also take tokens. Every address calls one flow and turns its value
into JSON.
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
    """Put the staff API, its OpenAPI document and the guard against forged requests on an app."""
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
    """Hold JSON to what signed documents are held to: no endless nesting or number, no member twice, and small."""
    if request.is_json:
        request.max_content_length = MAX_JSON_BYTES
        strict_value(request.get_data())


def _forbid_caching(response: Response) -> Response:
    """Whose screening is in which queue must not stay behind in a browser's cache; signed documents may."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response
