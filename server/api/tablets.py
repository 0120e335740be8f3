"""The tablet API: enrolment, signed documents, recordings, sync, and what a courier brings.

It needs no cookie and no sign-in: tablets sign their requests and envelopes. Each endpoint calls one flow. An endpoint
must not open a transaction itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_smorest import Blueprint

from server import problems
from server.api import docs_page, health, openapi, schemas, tablet_schemas
from server.api.client_address import AddressFailures
from server.api.coded_bytes import (
    DOCUMENT_TYPE,
    bundle_response,
    cache_forever,
    code_bundle,
    coded_json,
    find_delta,
    resumable,
    signed_bytes,
)
from server.api.flask_app import current_services
from server.flows.desks.routing import Rulebook
from server.flows.forms import delivery, recordings
from server.flows.intake import courier, sync_request
from server.flows.intake.storage_budget import MIB, StorageBudget
from server.flows.intake.sync_request import NumberRefusedError
from server.flows.trust import documents, enrolment, first_pull
from server.problems import Problem
from sync.documents.enrolment import MAX_REQUEST_BYTES
from sync.documents.receipt import ReceiptItem
from sync.exchange.bundle_stream import Wanted
from sync.exchange.messages import CONTENT_TYPE, SIGNATURE_HEADER, Message, write_refusal

blueprint = Blueprint("tablets", __name__, description="Tablets")
AUDIO_TYPE = "audio/*"
_COURIER_FAILURES = "courier_failures"
_DOCUMENT_PROBLEMS = ("encoding.*", "document.*", "key.*", "signed.*")


def install_tablet_api(app: Flask) -> None:
    """Install the tablet API, its OpenAPI document and its documentation page on an app."""
    app.extensions[_COURIER_FAILURES] = AddressFailures()
    docs_page.install(
        app, openapi.register_blueprints(app, blueprint, health.blueprint, title="Chaski: puerta de las tabletas")
    )


@blueprint.post("/v1/sync")
@openapi.problems("device.unknown", "device.not_certified", "encoding.*", "document.*", *sync_request.NUMBER_REFUSED)
@openapi.problems("exchange.bad_signature", "exchange.too_large", "exchange.*", "storage.quota")
@openapi.accepts(CONTENT_TYPE, SIGNATURE_HEADER)
@blueprint.response(200, openapi.BYTES, content_type=CONTENT_TYPE, headers={SIGNATURE_HEADER: openapi.REQUIRED_HEADER})
def sync_tablet() -> Response:
    """Sync a tablet in one request and response (SPEC 11), if it is not answered together with others before it gets
    here. The server also signs a rejection of the request number.

    A rejection of the number has the receipts of the envelopes, which are stored all the same.
    """
    services = current_services()
    config = services.config
    message = Message(request.get_data(), request.headers.get(SIGNATURE_HEADER, ""))
    rulebook = Rulebook(services.rules, config.deadline_hours)
    budget = StorageBudget(config.tablet_max_mb * MIB)
    try:
        answer, items = sync_request.answer_request(
            services.db,
            message,
            keys=services.keys,
            rulebook=rulebook,
            now=services.now(),
            budget=budget,
            find_delta=find_delta,
        )
    except NumberRefusedError as error:
        _log_outcomes(error.items)
        return _signed_refusal(error)
    _log_outcomes(items)
    response = Response(answer.body, content_type=CONTENT_TYPE)
    response.headers[SIGNATURE_HEADER] = answer.signature
    return response


def _log_outcomes(items: Sequence[ReceiptItem]) -> None:
    g.outcomes = dict(Counter(item.outcome for item in items))


def _signed_refusal(error: Problem) -> Response:
    """Build a signed problem for a rejected request number. The signature covers the sent bytes (SPEC 11.3 rule 1)."""
    language = problems.choose_language(request.headers.get("Accept-Language", ""))
    document = problems.build_document(error.code, error.detail, language, error.members)
    refusal = write_refusal(document, current_services().keys.signing)
    response = Response(refusal.body, document["status"], mimetype=problems.MEDIA_TYPE)
    response.headers[SIGNATURE_HEADER] = refusal.signature
    return response


@blueprint.post("/v1/courier")
@openapi.problems("encoding.*", "document.*", "exchange.too_large", "exchange.*", "http.too_many")
@openapi.accepts(CONTENT_TYPE)
@blueprint.response(200, schemas.CourierSchema)
def take_courier_file() -> dict[str, Any]:
    """Take envelopes of several tablets from a courier, without a sign-in; the answer has receipts (SPEC 11.5)."""
    services, failures = current_services(), current_app.extensions[_COURIER_FAILURES]
    config, address = services.config, request.remote_addr or ""
    is_blocked = failures.is_blocked(address)
    answer, items = courier.answer_courier(
        services.db,
        request.get_data(),
        keys=services.keys,
        rulebook=Rulebook(services.rules, config.deadline_hours),
        now=services.now(),
        budget=StorageBudget(config.tablet_max_mb * MIB),
        most_rejected=1 if is_blocked else courier.MOST_REJECTED,
    )
    _log_outcomes(items)
    if answer.rejected:
        failures.count(address)
    if is_blocked and answer.rejected and not answer.receipts:
        raise Problem("http.too_many")
    return {
        "generation": answer.generation,
        "receipts": [document.to_bytes().decode() for document in answer.receipts],
        "rejected": [vars(each) for each in answer.rejected],
    }


@blueprint.post("/v1/enrolments")
@openapi.problems(
    *_DOCUMENT_PROBLEMS,
    "enrolment.code_unknown",
    "enrolment.code_used",
    "enrolment.code_expired",
    "enrolment.device_known",
)
@openapi.problems("http.too_many")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(201, tablet_schemas.EnrolledSchema)
def enrol_tablet() -> Response:
    """Enrol a tablet with a one-time code (SPEC 5.5). The answer has the trust, for the tablet to check the pin."""
    services = current_services()
    # Any client may send this. The server parses and re-encodes the document before it can verify the signature.
    request.max_content_length = MAX_REQUEST_BYTES
    device = enrolment.enrol_device(services.db, request.get_data(), now=services.now())
    trust = documents.get_newest(services.db.read(), "trust").body.decode()
    return coded_json({"dev": device.dev, "state": device.state, "trust": trust}, HTTPStatus.CREATED)


@blueprint.get("/v1/enrolments/<dev>/documents")
@openapi.problems("device.not_found", "device.not_certified")
@blueprint.arguments(tablet_schemas.TrustHeldSchema, location="query")
@blueprint.response(200, tablet_schemas.FirstPullSchema)
def get_first_pull(held: dict[str, int], dev: str) -> Response:
    """Get all that a certified tablet needs beside its forms: documents and the keys of its region (SPEC 12.1)."""
    return coded_json(vars(first_pull.collect_documents(current_services().db, dev, trust=held["trust"])))


@blueprint.get("/v1/enrolments/<dev>")
@openapi.problems("device.not_found", "device.not_certified")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_certificate(dev: str) -> Response:
    """Get the tablet's certificate. It exists once a registrar has signed it."""
    body = enrolment.get_certificate(current_services().db, dev)
    return signed_bytes(body, hashlib.sha256(body).hexdigest(), immutable=False)


@blueprint.put("/v1/enrolments/<dev>")
@openapi.problems(*_DOCUMENT_PROBLEMS, "enrolment.wrong_device", "http.too_many")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(200, tablet_schemas.ReadmittedSchema)
def readmit_tablet(dev: str) -> dict[str, Any]:
    """Re-enrol a certified tablet that is missing on a restored server (SPEC 5.5)."""
    request.max_content_length = MAX_REQUEST_BYTES  # For the reason in enrol_tablet.
    services = current_services()
    trust, registry = documents.trust_in_force(services.db.read()), documents.registry_in_force(services.db.read())
    device = enrolment.readmit_device(
        services.db, request.get_data(), dev, trust=trust, registry=registry, now=services.now()
    )
    return {"dev": device.dev, "state": device.state}


@blueprint.get("/v1/<any(trust, registry, manifest):kind>")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_document(kind: str) -> Response:
    """Get the newest trust, registry or manifest."""
    stored = documents.get_newest(current_services().db.read(), kind)
    return signed_bytes(stored.body, stored.sha256, immutable=False)


@blueprint.get("/v1/trusts")
@blueprint.response(200, schemas.TrustsSchema)
def list_trusts() -> dict[str, list[str]]:
    """Get every trust, rising, for a reader that knows former roots (SPEC 5.1)."""
    return {"trusts": documents.list_trusts(current_services().db)}


@blueprint.get("/v1/forms")
@openapi.problems("http.range_not_satisfiable")
@blueprint.arguments(tablet_schemas.WantedFormsSchema, location="query")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
@blueprint.alt_response(206, schema=openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_forms(query: dict[str, str]) -> Response:
    """Get several form versions in one stream (SPEC 12.2). With a `Range` header: the rest of it."""
    wanted = (Wanted.parse(each) for each in query["want"].split(","))
    body = delivery.write_stream(current_services().db, wanted, code_bundle)
    return resumable(Response(body, mimetype=DOCUMENT_TYPE), body)


@blueprint.get("/v1/forms/<form>/<sha>")
@openapi.problems("form.unknown", "http.range_not_satisfiable")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
@blueprint.alt_response(206, schema=openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_form(form: str, sha: str) -> Response:
    """Get a form version by its hash. Its signatures may be renewed (SPEC 5.4)."""
    db = current_services().db
    find = partial(delivery.find_dictionary, db.read())
    return bundle_response(documents.form_bundle(db, form, sha), form, sha, find)


@blueprint.get("/v1/keys")
@blueprint.arguments(tablet_schemas.WantedKeysSchema, location="query")
@blueprint.response(200, tablet_schemas.KeysSchema)
def list_public_keys(query: dict[str, str]) -> Response:
    """Get several keyrings' public keys by their hashes, each once. A key that does not exist is left out."""
    hashes = dict.fromkeys(query["want"].split(","))
    return coded_json({"keys": documents.list_public_keys(current_services().db.read(), hashes)})


@blueprint.get("/v1/keys/<sha256>")
@openapi.problems("key.unknown")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_public_key(sha256: str) -> Response:
    """Get a keyring's public key by its hash."""
    return signed_bytes(documents.get_public_key(current_services().db, sha256), sha256, immutable=True)


@blueprint.get("/v1/media/<sha256>")
@openapi.problems("media.unknown", "http.range_not_satisfiable")
@blueprint.response(200, openapi.BYTES, content_type=AUDIO_TYPE)
@blueprint.alt_response(206, schema=openapi.BYTES, content_type=AUDIO_TYPE)
def get_recording(sha256: str) -> Response:
    """Get an audio recording of a form version. With a `Range` header: one part of it."""
    found = recordings.get_recording(current_services().db, sha256)
    response = Response(found.body, mimetype=found.type)
    cache_forever(response)
    response.set_etag(sha256)
    response.make_conditional(request, accept_ranges=True, complete_length=len(found.body))
    return response
