"""The staff API for form authors and reviewers: checks, drafts, trials, submissions and approvals.

Workbooks, compiled forms and signatures are bytes, not JSON. The server must parse an author's upload only in the
sandbox process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api import openapi
from server.api.coded_bytes import DOCUMENT_TYPE, signed_bytes
from server.api.flask_app import current_services
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import one_at_a_time
from server.api.staff.pages import NEXT_PAGE, answer_page
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
    """Describe a version with the logins of its author and reviewer."""
    return describe_versions([found])[0]


def describe_versions(found: Sequence[FormVersion]) -> list[dict[str, Any]]:
    """Describe versions with the logins of their authors and reviewers."""
    logins = accounts.list_logins(
        current_services().db, {id_ for each in found for id_ in (each.author, each.reviewer)}
    )
    return [{**asdict(each), "author": logins[each.author], "reviewer": logins[each.reviewer]} for each in found]


def describe_draft(found: DraftResult) -> dict[str, Any]:
    """Describe a draft with its remaining problems."""
    return {**describe_version(found.version), "problems": found.problems}


@blueprint.post("/checks")
@auth.require_role("author", "reviewer", tokens=True)
@openapi.accepts(DOCUMENT_TYPE)
@blueprint.arguments(form_schemas.ChannelQuerySchema, location="query")
@blueprint.response(200, form_schemas.CheckedSchema)
@one_at_a_time
def check_form(arguments: dict[str, str]) -> dict[str, Any]:
    """Check a source package or a workbook and list all its problems. The server stores nothing."""
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
    """Compile a source package or a workbook into a draft. Replaces the caller's draft of the same name."""
    services, person = current_services(), auth.current_person()
    return describe_draft(
        versions.compile_draft(
            services.db, request.get_data(), channel=arguments["channel"], person=person, now=services.now()
        )
    )


@blueprint.get("/versions")
@auth.require_role(*FORM_ROLES, tokens=True)
@blueprint.arguments(form_schemas.FormQuerySchema, location="query")
@blueprint.response(200, form_schemas.VersionSchema(many=True), headers=NEXT_PAGE)
def list_versions(arguments: dict[str, Any]) -> Any:
    """List all versions, or those of one form, oldest first."""
    limit = arguments["limit"]
    found = versions.list_versions(
        current_services().db, arguments.get("form"), after=arguments["after"], most=limit + 1
    )
    return answer_page(describe_versions(found), limit, cursor=lambda each: each["id"], describe=lambda each: each)


@blueprint.get(f"/versions/{VERSION_ID}")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("version.unknown")
@blueprint.response(200, form_schemas.VersionDetailSchema)
def get_version(version: int) -> dict[str, Any]:
    """Get one version, the outcomes of its trial interviews, and the version that tablets used before."""
    found, trials, before = versions.get_details(current_services().db, version)
    tried = [{**asdict(each), "queue_kinds": each.queue_kinds.split()} for each in trials]
    return {**describe_version(found), "trials": tried, "before": before.id if before else None}


@blueprint.delete(f"/versions/{VERSION_ID}")
@auth.require_role("author", "reviewer", "administrator", tokens=True)
@openapi.problems("version.unknown", "version.other_author", "version.wrong_state")
@blueprint.response(204)
def discard_draft(version: int) -> Response:
    """Discard the caller's own draft. Reviewers and administrators can discard any draft."""
    services = current_services()
    versions.discard_draft(services.db, version, person=auth.current_person(), now=services.now())
    return Response(status=204)


@blueprint.get(f"/versions/{VERSION_ID}/compiled")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("version.unknown")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_compiled(version: int) -> Response:
    """Get the compiled bytes with their signatures. Author and reviewer compare these bytes before they sign."""
    found, body = versions.get_compiled(current_services().db, version)
    return signed_bytes(body, f"{found.sha}-{found.changed}", immutable=False)


@blueprint.get(f"/versions/{VERSION_ID}/source")
@auth.require_role(*FORM_ROLES, tokens=True)
@openapi.problems("version.unknown", "version.no_source")
@blueprint.response(200, openapi.BYTES, content_type=DOCUMENT_TYPE)
def get_source(version: int) -> Response:
    """Get the source package from which the version was compiled."""
    return Response(versions.get_source(current_services().db, version), mimetype=DOCUMENT_TYPE)


@blueprint.post(f"/versions/{VERSION_ID}/trials")
@auth.require_role("author", "reviewer", tokens=True)
@openapi.problems("version.unknown", "version.wrong_state", "version.other_bytes")
@blueprint.arguments(form_schemas.NewTrialSchema)
@blueprint.response(204)
def record_trial(arguments: dict[str, Any], version: int) -> Response:
    """Store the outcome of a trial interview, without any answer. It is deleted with the draft."""
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
    """Submit the caller's own draft for review, with her signature over its compiled bytes (SPEC 4.2)."""
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
    """Withdraw the caller's own submission. The version becomes a draft again."""
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
    """Return a submission to its author, with a reason."""
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
    """Approve another person's submission, with the reviewer's signature. The version can no longer change.

    The server also publishes new rule tables that came in its package.
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
