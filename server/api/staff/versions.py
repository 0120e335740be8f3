"""The people's door, form authors' side: checks, drafts, signatures, comparisons. Workbooks, compiled bytes and
signatures travel as bytes; what an author sends is read in a process of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api import openapi
from server.api.flask_app import DOCUMENT_TYPE, current_services, signed_bytes
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import one_at_a_time
from server.flows.forms import published_tables, upload_sandbox, versions
from server.flows.forms.versions import DraftResult
from server.flows.people import accounts
from server.store.versions import FormVersion, TrialResult

blueprint = Blueprint("versions", __name__, url_prefix="/v1", description="Form versions")
FORM_ROLES = ("author", "reviewer", "publisher", "administrator")
VERSION_ID = "<int(max=9007199254740991):version>"
_SIGNATURE_PROBLEMS = ("encoding.*", "document.*", "key.*", "signed.*", "signed.too_few", "signed.bad_signature")
_SOURCE_PROBLEMS = ("encoding.*", "document.*", "form.problems")


def describe_version(found: FormVersion) -> dict[str, Any]:
    """A version with the logins of its people."""
    names = {
        office: accounts.get_login(current_services().db, getattr(found, office)) for office in ("author", "reviewer")
    }
    return {**asdict(found), **names}


def describe_draft(found: DraftResult) -> dict[str, Any]:
    """A draft with what is still to put right."""
    return {**describe_version(found.version), "problems": found.problems}


@blueprint.post("/checks")
@auth.require_role("author", "reviewer", tokens=True)
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.arguments(form_schemas.ChannelQuerySchema, location="query")
@blueprint.response(200, form_schemas.CheckedSchema)
@one_at_a_time
def check_form(arguments: dict[str, str]) -> dict[str, Any]:
    """Name everything that is wrong with a source package or a workbook; nothing is kept."""
    services = current_services()
    tables = published_tables.list_known(services.db.read(), services.now())
    problems = upload_sandbox.check(request.get_data(), channel=arguments["channel"], tables=tables)
    return {"ok": not problems, "problems": problems}


@blueprint.post("/drafts")
@auth.require_role("author", tokens=True)
@openapi.problems(*_SOURCE_PROBLEMS, "form.version_exists", "version.other_author", "version.wrong_state")
@openapi.problems("version.too_many_drafts")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.arguments(form_schemas.ChannelQuerySchema, location="query")
@blueprint.response(201, form_schemas.DraftSchema)
@one_at_a_time
def draft_version(arguments: dict[str, str]) -> dict[str, Any]:
    """Compile a source package or a workbook and keep it as a draft, in the place of one's own of that name."""
    services, person = current_services(), auth.current_person()
    return describe_draft(
        versions.compile_draft(
            services.db, request.get_data(), channel=arguments["channel"], person=person, now=services.now()
        )
    )


@blueprint.get("/versions")
@auth.require_role(*FORM_ROLES, tokens=True)
@blueprint.arguments(form_schemas.FormQuerySchema, location="query")
@blueprint.response(200, form_schemas.VersionSchema(many=True))
def list_versions(arguments: dict[str, str]) -> list[dict[str, Any]]:
    """All versions, or one form's, oldest first."""
    return [describe_version(each) for each in versions.list_versions(current_services().db, arguments.get("form"))]


@blueprint.get(f"/versions/{VERSION_ID}")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("version.unknown")
@blueprint.response(200, form_schemas.VersionDetailSchema)
def get_version(version: int) -> dict[str, Any]:
    """One version, what came out of made-up interviews with it, and the version that tablets used before it."""
    found, trials, before = versions.get_details(current_services().db, version)
    tried = [{**asdict(each), "queue_kinds": each.queue_kinds.split()} for each in trials]
    return {**describe_version(found), "trials": tried, "before": before.id if before else None}


@blueprint.delete(f"/versions/{VERSION_ID}")
@auth.require_role("author", "reviewer", "administrator", tokens=True)
@openapi.problems("version.unknown", "version.other_author", "version.wrong_state")
@blueprint.response(204)
def discard_draft(version: int) -> Response:
    """Throw one's own draft away; a reviewer and an administrator throw away anybody's."""
    services = current_services()
    versions.discard_draft(services.db, version, person=auth.current_person(), now=services.now())
    return Response(status=204)


@blueprint.get(f"/versions/{VERSION_ID}/compiled")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("version.unknown")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_compiled(version: int) -> Response:
    """The compiled bytes with the signatures so far: what author and reviewer compare before they sign."""
    found, body = versions.get_compiled(current_services().db, version)
    return signed_bytes(body, f"{found.sha}-{found.changed}", immutable=False)


@blueprint.get(f"/versions/{VERSION_ID}/source")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("version.unknown", "version.no_source")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_source(version: int) -> Response:
    """The source package with everything that the version was compiled of."""
    return Response(versions.get_source(current_services().db, version), mimetype=DOCUMENT_TYPE)


@blueprint.post(f"/versions/{VERSION_ID}/trials")
@auth.require_role("author", "reviewer", tokens=True)
@openapi.problems("version.unknown", "version.wrong_state", "version.other_bytes")
@blueprint.arguments(form_schemas.NewTrialSchema)
@blueprint.response(204)
def record_trial(arguments: dict[str, Any], version: int) -> Response:
    """Keep what came out of a made-up interview with a draft, without any answer; it goes with the draft."""
    services = current_services()
    kinds, by = " ".join(arguments["queue_kinds"]), auth.current_person().id
    trial = TrialResult(arguments["outcome"], arguments["tier"], kinds, arguments["fired"], services.now(), by)
    versions.add_trial(services.db, version, trial, sha=arguments["sha"])
    return Response(status=204)


@blueprint.post(f"/versions/{VERSION_ID}/submission")
@auth.require_role("author", tokens=True)
@openapi.problems(
    *_SIGNATURE_PROBLEMS, "version.unknown", "version.other_author", "version.wrong_state", "version.other_bytes"
)
@openapi.problems("version.not_valid")
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(200, form_schemas.VersionSchema)
@one_at_a_time
def submit_draft(version: int) -> dict[str, Any]:
    """Put one's own draft before a reviewer, with the author's signature over its compiled bytes (SPEC 4.2)."""
    services, person = current_services(), auth.current_person()
    return describe_version(
        versions.submit_draft(
            services.db,
            version,
            request.get_data(),
            person=person,
            validate=upload_sandbox.validate,
            now=services.now(),
        )
    )


@blueprint.delete(f"/versions/{VERSION_ID}/submission")
@auth.require_role("author", tokens=True)
@openapi.problems("version.unknown", "version.other_author", "version.wrong_state")
@blueprint.response(200, form_schemas.VersionSchema)
def withdraw_submission(version: int) -> dict[str, Any]:
    """Take back what one submitted; it is a draft again."""
    services = current_services()
    return describe_version(
        versions.withdraw_version(services.db, version, person=auth.current_person(), now=services.now())
    )


@blueprint.post(f"/versions/{VERSION_ID}/return")
@auth.require_role("reviewer", tokens=True)
@openapi.problems("version.unknown", "version.wrong_state")
@blueprint.arguments(form_schemas.WhySchema)
@blueprint.response(200, form_schemas.VersionSchema)
def return_submission(arguments: dict[str, str], version: int) -> dict[str, Any]:
    """Give what was submitted back to its author, and say why."""
    services, person = current_services(), auth.current_person()
    return describe_version(
        versions.send_back(services.db, version, reason=arguments["reason"], person=person, now=services.now())
    )


@blueprint.post(f"/versions/{VERSION_ID}/approval")
@auth.require_role("reviewer", tokens=True)
@openapi.problems(*_SIGNATURE_PROBLEMS, "version.unknown", "version.wrong_state", "version.own")
@openapi.problems(
    "bundle.*", "bundle.demo_trust", "bundle.one_person", "form.problems", "table.name_used", "version.other_bytes"
)
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.response(200, form_schemas.VersionSchema)
@one_at_a_time
def approve_submission(version: int) -> dict[str, Any]:
    """Approve what another person submitted, with the reviewer's signature; from now on nothing of it changes.

    Tables that came inside its package and that nobody published yet are published with it.
    """
    services, person = current_services(), auth.current_person()
    return describe_version(
        versions.approve_version(
            services.db,
            version,
            request.get_data(),
            person=person,
            carried=versions.list_new_tables,
            now=services.now(),
        )
    )
