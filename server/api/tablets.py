"""The tablets' door: enrol, fetch signed documents, sync. No cookies, no sign-in: requests and envelopes prove
themselves. Each address calls one flow; nothing here opens a transaction."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from flask import Flask, Response, g, request
from flask_smorest import Blueprint

from server import problems
from server.api import docs_page as page
from server.api import health as common
from server.api import schemas
from server.api.flask_app import DOCUMENT, keep_for_ever, parts, signed_bytes
from server.api.openapi import BYTES, SIGNED_HEADER, fails, publish, takes
from server.flows.forms import recordings
from server.flows.intake import sync_request as exchange
from server.flows.intake.envelopes import Rulebook
from server.flows.trust import documents as publishing
from server.flows.trust import enrolment
from server.problems import Problem
from sync.documents.enrolment import MAX_REQUEST_BYTES
from sync.exchange.messages import CONTENT_TYPE, SIGNATURE_HEADER, Message, write_refusal

blueprint = Blueprint("tablets", __name__, description="Tablets")
SOUND = "audio/*"
_SIGNED = ("encoding.*", "document.*", "key.*", "signed.*")


def install(app: Flask) -> None:
    """Put the tablets' API, its OpenAPI document and the page about it on an app."""
    page.install(app, publish(app, blueprint, common.blueprint, title="Chaski: puerta de las tabletas"))


@blueprint.post("/v1/sync")
@fails("device.unknown", "device.not_certified", "encoding.*", "document.*", *exchange.NUMBER_REFUSED)
@fails("exchange.bad_signature", "exchange.too_large", "exchange.*")
@takes(CONTENT_TYPE, SIGNATURE_HEADER)
@blueprint.response(200, BYTES, content_type=CONTENT_TYPE, headers={SIGNATURE_HEADER: SIGNED_HEADER})
def sync() -> Response:
    """The whole conversation in one round trip (SPEC 11). A refused number is signed too, over the problem's bytes."""
    here = parts()
    message = Message(request.get_data(), request.headers.get(SIGNATURE_HEADER, ""))
    rulebook = Rulebook(here.rules, here.config.hours)
    try:
        answer, items = exchange.answer(here.db, message, keys=here.keys, rulebook=rulebook, now=here.now())
    except Problem as wrong:
        if wrong.code not in exchange.NUMBER_REFUSED:
            raise
        return _refused(wrong)
    g.outcomes = dict(Counter(item.outcome for item in items))
    response = Response(answer.body, content_type=CONTENT_TYPE)
    response.headers[SIGNATURE_HEADER] = answer.signature
    return response


def _refused(wrong: Problem) -> Response:
    """A problem that a tablet acts on, signed over the bytes that are sent (SPEC 11.3 rule 1)."""
    language = problems.language(request.headers.get("Accept-Language", ""))
    said = problems.body(wrong.code, wrong.detail, language, wrong.members)
    refusal = write_refusal(said, parts().keys.signing)
    response = Response(refusal.body, said["status"], mimetype=problems.MEDIA_TYPE)
    response.headers[SIGNATURE_HEADER] = refusal.signature
    return response


@blueprint.post("/v1/enrolments")
@fails(*_SIGNED, "enrolment.code_unknown", "enrolment.code_used", "enrolment.code_expired", "enrolment.device_known")
@fails("http.too_many")
@takes(DOCUMENT)
@blueprint.response(201, schemas.Enrolled)
def enrol() -> dict[str, Any]:
    """Take in a tablet that shows a one-time code (SPEC 5.5)."""
    here = parts()
    # Anybody may ask this, and a document is read and written anew before its signature can be checked: keep it small.
    request.max_content_length = MAX_REQUEST_BYTES
    device = enrolment.enrol(here.db, request.get_data(), now=here.now())
    return {"dev": device.dev, "state": device.state}


@blueprint.get("/v1/enrolments/<dev>")
@fails("device.not_found", "device.not_certified")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def certificate(dev: str) -> Response:
    """The tablet's certificate, once a registrar signed it."""
    body = enrolment.certificate(parts().db, dev)
    return signed_bytes(body, hashlib.sha256(body).hexdigest(), immutable=False)


@blueprint.put("/v1/enrolments/<dev>")
@fails(*_SIGNED, "enrolment.wrong_device", "http.too_many")
@takes(DOCUMENT)
@blueprint.response(200, schemas.Enrolled)
def readmit(dev: str) -> dict[str, Any]:
    """Take back a certified tablet that a restored server has forgotten (SPEC 5.5)."""
    request.max_content_length = MAX_REQUEST_BYTES  # for the reason above
    here = parts()
    trust, registry = publishing.trust_in_force(here.db.read()), publishing.registry_in_force(here.db.read())
    device = enrolment.readmit(here.db, request.get_data(), dev, trust=trust, registry=registry, now=here.now())
    return {"dev": device.dev, "state": device.state}


@blueprint.get("/v1/<any(trust, registry, manifest):kind>")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def document(kind: str) -> Response:
    """The newest trust, registry or manifest."""
    stored = publishing.newest(parts().db.read(), kind)
    return signed_bytes(stored.body, stored.sha256, immutable=False)


@blueprint.get("/v1/forms/<form>/<sha>")
@fails("form.unknown")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def form(form: str, sha: str) -> Response:
    """A form version; its hash is its name, and its signatures may be renewed (SPEC 5.4)."""
    body = publishing.form(parts().db, form, sha)
    return signed_bytes(body, hashlib.sha256(body).hexdigest(), immutable=False)


@blueprint.get("/v1/keys/<sha256>")
@fails("key.unknown")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def key(sha256: str) -> Response:
    """A keyring's big public key."""
    return signed_bytes(publishing.public_key(parts().db, sha256), sha256, immutable=True)


@blueprint.get("/v1/media/<sha256>")
@fails("media.unknown", "http.range_not_satisfiable")
@blueprint.response(200, BYTES, content_type=SOUND)
@blueprint.alt_response(206, schema=BYTES, content_type=SOUND)
def media(sha256: str) -> Response:
    """A recording that a form version is heard with: whole, or with `Range` a piece of it."""
    found = recordings.get(parts().db, sha256)
    response = Response(found.body, mimetype=found.type)
    keep_for_ever(response)
    response.set_etag(sha256)
    response.make_conditional(request, accept_ranges=True, complete_length=len(found.body))
    return response
