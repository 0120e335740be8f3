"""The people's door, authors' and registrars' side: signed documents in, and the same bytes out again.

Nothing here parses JSON with a schema: what is signed goes to the flow, and leaves the store, as bytes.
"""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api import schemas
from server.api.flask_app import DOCUMENT, parts, signed_bytes
from server.api.openapi import BYTES, fails, takes
from server.api.staff import auth
from server.flows.forms import rollouts
from server.flows.forms.rollouts import Ring
from server.flows.trust import documents as publishing

blueprint = Blueprint("publishing", __name__, url_prefix="/v1", description="Signed documents")
_SIGNED = ("encoding.*", "document.*", "document.rolled_back", "document.same_number", "key.*")
_SIGNATURES = ("signed.*", "signed.too_few", "signed.bad_signature")


@blueprint.post("/publications")
@auth.needs("publisher", tokens=True)
@fails(*_SIGNED, *_SIGNATURES, "bundle.*", "bundle.demo_trust", "bundle.one_person", "form.version_exists")
@fails("publication.unknown_channel", "publication.recording_missing", "version.wrong_state")
@fails("rollout.training_over_field")
@takes(DOCUMENT)
@blueprint.arguments(schemas.Ring, location="query")
@blueprint.response(201, schemas.Published)
def publish(given: dict[str, Any]) -> dict[str, Any]:
    """Put a bundle that an author and a reviewer signed into use, for all tablets or for a ring of them."""
    here = parts()
    regions, devices = (tuple(given[name].split(",")) if name in given else None for name in ("regions", "devices"))
    ring = Ring(regions, given.get("share_permille"), devices)
    done = rollouts.publish(
        here.db, here.keys, request.get_data(), ring=ring, actor=auth.signed_in().id, now=here.now()
    )
    return {**vars(done.version), "manifest": done.manifest}


@blueprint.post("/trust")
@auth.needs("registrar")
@fails(*_SIGNED, *_SIGNATURES, "trust.*", "trust.other_server")
@takes(DOCUMENT)
@blueprint.response(201, schemas.Accepted)
def put_trust() -> dict[str, Any]:
    """Put a newer trust in force; the roots of the one held must have signed it."""
    here = parts()
    number = publishing.take_trust(here.db, here.keys, request.get_data(), actor=auth.signed_in().id, now=here.now())
    return {"kind": "trust", "number": number}


@blueprint.post("/registry")
@auth.needs("registrar")
@fails(*_SIGNED, *_SIGNATURES, "registry.*", "registry.key_missing")
@takes(DOCUMENT)
@blueprint.response(201, schemas.Accepted)
def put_registry() -> dict[str, Any]:
    """Put a newer registry in force; tablets that it revokes are revoked."""
    here = parts()
    number = publishing.take_registry(here.db, request.get_data(), actor=auth.signed_in().id, now=here.now())
    return {"kind": "registry", "number": number}


@blueprint.get("/<any(trust, registry, manifest):kind>")
@auth.needs()
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def document(kind: str) -> Response:
    """The document in force, byte for byte."""
    stored = publishing.newest(parts().db.read(), kind)
    return signed_bytes(stored.body, stored.sha256, immutable=False)


@blueprint.get("/forms/<form>/<sha>")
@auth.needs()
@fails("form.unknown")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def form(form: str, sha: str) -> Response:
    """A published form version, byte for byte; desks show the questions from it."""
    body = publishing.form(parts().db, form, sha)
    return signed_bytes(body, hashlib.sha256(body).hexdigest(), immutable=False)  # Its signatures may be renewed.


@blueprint.get("/keys/<sha256>")
@auth.needs()
@fails("key.unknown")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def key(sha256: str) -> Response:
    """A keyring's public key, by its hash."""
    return signed_bytes(publishing.public_key(parts().db, sha256), sha256, immutable=True)
