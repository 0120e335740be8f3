"""The staff API for signed documents: upload and download of bundles, trust, registry, manifest and keys.

Publishers and registrars upload them. An endpoint must pass a signed document to the flow as exact bytes; it must not
parse it with a schema.
"""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api import openapi, schemas
from server.api.coded_bytes import DOCUMENT_TYPE, signed_bytes
from server.api.flask_app import current_services
from server.api.staff import auth
from server.flows.forms import rollouts, versions
from server.flows.forms.rollouts import Ring
from server.flows.trust import documents
from server.store.versions import FormVersion

blueprint = Blueprint("publishing", __name__, url_prefix="/v1", description="Signed documents")
_DOCUMENT_PROBLEMS = ("encoding.*", "document.*", "document.rolled_back", "document.same_number", "key.*")
_SIGNATURE_PROBLEMS = ("signed.*", "signed.too_few", "signed.bad_signature")


@blueprint.post("/publications")
@auth.require_role("publisher", tokens=True)
@openapi.problems(
    *_DOCUMENT_PROBLEMS,
    *_SIGNATURE_PROBLEMS,
    "bundle.*",
    "bundle.demo_trust",
    "bundle.one_person",
    "form.version_exists",
)
@openapi.problems("publication.unknown_channel", "publication.recording_missing", "version.wrong_state")
@openapi.problems("rollout.training_over_field")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.arguments(schemas.RingSchema, location="query")
@blueprint.response(201, schemas.PublishedSchema)
def publish_bundle(arguments: dict[str, Any]) -> dict[str, Any]:
    """Publish a bundle that an author and a reviewer signed, for all tablets or for a ring of them."""
    services = current_services()
    regions, devices = (
        tuple(arguments[name].split(",")) if name in arguments else None for name in ("regions", "devices")
    )
    ring = Ring(regions, arguments.get("share_permille"), devices)
    done = rollouts.publish_bundle(
        services.db, services.keys, request.get_data(), ring=ring, actor=auth.current_person().id, now=services.now()
    )
    return {**vars(done.version), "manifest": done.manifest}


@blueprint.post("/trust")
@auth.require_role("registrar")
@openapi.problems(*_DOCUMENT_PROBLEMS, *_SIGNATURE_PROBLEMS, "trust.*", "trust.other_server", "trust.orphans")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.arguments(schemas.OrphanSchema, location="query")
@blueprint.response(201, schemas.AcceptedSchema)
def put_trust(arguments: dict[str, str]) -> dict[str, Any]:
    """Accept a newer trust. The roots of the trust in force must have signed it.

    `orphan` names stolen keys, so that what only they signed does not keep them in the trust.
    """
    services = current_services()
    number = documents.accept_trust(
        services.db,
        services.keys,
        request.get_data(),
        actor=auth.current_person().id,
        now=services.now(),
        orphan=frozenset(arguments["orphan"].split(",")) - {""},
    )
    return {"kind": "trust", "number": number}


@blueprint.post("/registry")
@auth.require_role("registrar")
@openapi.problems(*_DOCUMENT_PROBLEMS, *_SIGNATURE_PROBLEMS, "registry.*", "registry.key_missing")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(201, schemas.AcceptedSchema)
def put_registry() -> dict[str, Any]:
    """Accept a newer registry. Tablets that it revokes are revoked at once."""
    services = current_services()
    number = documents.accept_registry(
        services.db, request.get_data(), actor=auth.current_person().id, now=services.now()
    )
    return {"kind": "registry", "number": number}


@blueprint.get("/trust")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_trust() -> Response:
    """Get the exact bytes of the trust in force. A client judges the server by it before it signs in (SPEC 5.9)."""
    return _newest("trust")


@blueprint.get("/<any(registry, manifest):kind>")
@auth.require_role()
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_document(kind: str) -> Response:
    """Get the exact bytes of the document in force."""
    return _newest(kind)


def _newest(kind: str) -> Response:
    stored = documents.get_newest(current_services().db.read(), kind)
    return signed_bytes(stored.body, stored.sha256, immutable=False)


@blueprint.get("/forms/<form>")
@auth.require_role()
@blueprint.arguments(schemas.VersionNameSchema, location="query")
@blueprint.response(200, schemas.FormVersionSchema(many=True))
def list_form_versions(arguments: dict[str, str], form: str) -> list[FormVersion]:
    """List a form's versions with this name that tablets use or used: at most one per channel.

    A desk asks for them if a screening does not say with which version it was made.
    """
    return versions.list_in_use(current_services().db, form, arguments["version"])


@blueprint.get("/trusts")
@blueprint.response(200, schemas.TrustsSchema)
def list_trusts() -> dict[str, list[str]]:
    """Get every trust, rising, for a reader that knows former roots (SPEC 5.1)."""
    return {"trusts": documents.list_trusts(current_services().db)}


@blueprint.get("/forms/<form>/<sha>")
@auth.require_role()
@openapi.problems("form.unknown")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_form(form: str, sha: str) -> Response:
    """Get the exact bytes of a published form version. Desks show the questions from it."""
    body = documents.form_bundle(current_services().db, form, sha)
    return signed_bytes(body, hashlib.sha256(body).hexdigest(), immutable=False)  # Its signatures may be renewed.


@blueprint.get("/keys/<sha256>")
@auth.require_role()
@openapi.problems("key.unknown")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_public_key(sha256: str) -> Response:
    """Get a keyring's public key by its hash."""
    return signed_bytes(documents.get_public_key(current_services().db, sha256), sha256, immutable=True)
