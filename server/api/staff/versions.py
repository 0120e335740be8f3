"""The people's door, form authors' side: checks, drafts, signatures, comparisons. Workbooks, compiled bytes and
signatures travel as bytes; what an author sends is read in a process of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from server.api.flask_app import DOCUMENT, parts, signed_bytes
from server.api.openapi import BYTES, fails, takes
from server.api.staff import auth, form_schemas
from server.api.staff.concurrency_limit import in_turn
from server.flows.forms import published_tables as known_tables
from server.flows.forms import upload_sandbox as workshop
from server.flows.forms import versions
from server.flows.forms.versions import Drafted
from server.flows.people import accounts as people
from server.store.versions import Trial, Version

blueprint = Blueprint("versions", __name__, url_prefix="/v1", description="Form versions")
ALL = ("author", "reviewer", "publisher", "administrator")
NUMBER = "<int(max=9007199254740991):version>"
_SIGNATURES = ("encoding.*", "document.*", "key.*", "signed.*", "signed.too_few", "signed.bad_signature")
_READ = ("encoding.*", "document.*", "form.problems")


def described(found: Version) -> dict[str, Any]:
    """A version with the logins of its people."""
    names = {office: people.login_of(parts().db, getattr(found, office)) for office in ("author", "reviewer")}
    return {**asdict(found), **names}


def drafted(found: Drafted) -> dict[str, Any]:
    """A draft with what is still to put right."""
    return {**described(found.version), "problems": found.problems}


@blueprint.post("/checks")
@auth.needs("author", "reviewer", tokens=True)
@takes(DOCUMENT)
@blueprint.arguments(form_schemas.ChannelQuery, location="query")
@blueprint.response(200, form_schemas.Checked)
@in_turn
def check(given: dict[str, str]) -> dict[str, Any]:
    """Name everything that is wrong with a source package or a workbook; nothing is kept."""
    here = parts()
    tables = known_tables.known(here.db.read(), here.now())
    problems = workshop.check(request.get_data(), channel=given["channel"], tables=tables)
    return {"ok": not problems, "problems": problems}


@blueprint.post("/drafts")
@auth.needs("author", tokens=True)
@fails(*_READ, "form.version_exists", "version.other_author", "version.wrong_state")
@fails("version.too_many_drafts")
@takes(DOCUMENT)
@blueprint.arguments(form_schemas.ChannelQuery, location="query")
@blueprint.response(201, form_schemas.Draft)
@in_turn
def draft(given: dict[str, str]) -> dict[str, Any]:
    """Compile a source package or a workbook and keep it as a draft, in the place of one's own of that name."""
    here, person = parts(), auth.signed_in()
    return drafted(versions.draft(here.db, request.get_data(), channel=given["channel"], person=person, now=here.now()))


@blueprint.get("/versions")
@auth.needs(*ALL, tokens=True)
@blueprint.arguments(form_schemas.FormQuery, location="query")
@blueprint.response(200, form_schemas.Version(many=True))
def listed(given: dict[str, str]) -> list[dict[str, Any]]:
    """All versions, or one form's, oldest first."""
    return [described(each) for each in versions.listed(parts().db, given.get("form"))]


@blueprint.get(f"/versions/{NUMBER}")
@auth.needs(*ALL, tokens=True)
@fails("version.unknown")
@blueprint.response(200, form_schemas.VersionDetail)
def look(version: int) -> dict[str, Any]:
    """One version, what came out of made-up interviews with it, and the version that tablets used before it."""
    found, trials, before = versions.look(parts().db, version)
    tried = [{**asdict(each), "queue_kinds": each.queue_kinds.split()} for each in trials]
    return {**described(found), "trials": tried, "before": before.id if before else None}


@blueprint.delete(f"/versions/{NUMBER}")
@auth.needs("author", "reviewer", "administrator", tokens=True)
@fails("version.unknown", "version.other_author", "version.wrong_state")
@blueprint.response(204)
def discard(version: int) -> Response:
    """Throw one's own draft away; a reviewer and an administrator throw away anybody's."""
    here = parts()
    versions.discard(here.db, version, person=auth.signed_in(), now=here.now())
    return Response(status=204)


@blueprint.get(f"/versions/{NUMBER}/compiled")
@auth.needs(*ALL, tokens=True)
@fails("version.unknown")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def compiled(version: int) -> Response:
    """The compiled bytes with the signatures so far: what author and reviewer compare before they sign."""
    found, body = versions.compiled(parts().db, version)
    return signed_bytes(body, f"{found.sha}-{found.changed}", immutable=False)


@blueprint.get(f"/versions/{NUMBER}/source")
@auth.needs(*ALL, tokens=True)
@fails("version.unknown", "version.no_source")
@blueprint.response(200, BYTES, content_type=DOCUMENT)
def source(version: int) -> Response:
    """The source package with everything that the version was compiled of."""
    return Response(versions.source(parts().db, version), mimetype=DOCUMENT)


@blueprint.post(f"/versions/{NUMBER}/trials")
@auth.needs("author", "reviewer", tokens=True)
@fails("version.unknown", "version.wrong_state", "version.other_bytes")
@blueprint.arguments(form_schemas.NewTrial)
@blueprint.response(204)
def try_out(given: dict[str, Any], version: int) -> Response:
    """Keep what came out of a made-up interview with a draft, without any answer; it goes with the draft."""
    here = parts()
    kinds, by = " ".join(given["queue_kinds"]), auth.signed_in().id
    trial = Trial(given["outcome"], given["tier"], kinds, given["fired"], here.now(), by)
    versions.try_out(here.db, version, trial, sha=given["sha"])
    return Response(status=204)


@blueprint.post(f"/versions/{NUMBER}/submission")
@auth.needs("author", tokens=True)
@fails(*_SIGNATURES, "version.unknown", "version.other_author", "version.wrong_state", "version.other_bytes")
@fails("version.not_valid")
@takes(DOCUMENT)
@blueprint.response(200, form_schemas.Version)
@in_turn
def submit(version: int) -> dict[str, Any]:
    """Put one's own draft before a reviewer, with the author's signature over its compiled bytes (SPEC 4.2)."""
    here, person = parts(), auth.signed_in()
    return described(
        versions.submit(here.db, version, request.get_data(), person=person, validate=workshop.validate, now=here.now())
    )


@blueprint.delete(f"/versions/{NUMBER}/submission")
@auth.needs("author", tokens=True)
@fails("version.unknown", "version.other_author", "version.wrong_state")
@blueprint.response(200, form_schemas.Version)
def withdraw(version: int) -> dict[str, Any]:
    """Take back what one submitted; it is a draft again."""
    here = parts()
    return described(versions.withdraw(here.db, version, person=auth.signed_in(), now=here.now()))


@blueprint.post(f"/versions/{NUMBER}/return")
@auth.needs("reviewer", tokens=True)
@fails("version.unknown", "version.wrong_state")
@blueprint.arguments(form_schemas.Why)
@blueprint.response(200, form_schemas.Version)
def send_back(given: dict[str, str], version: int) -> dict[str, Any]:
    """Give what was submitted back to its author, and say why."""
    here, person = parts(), auth.signed_in()
    return described(versions.send_back(here.db, version, reason=given["reason"], person=person, now=here.now()))


@blueprint.post(f"/versions/{NUMBER}/approval")
@auth.needs("reviewer", tokens=True)
@fails(*_SIGNATURES, "version.unknown", "version.wrong_state", "version.own")
@fails("bundle.*", "bundle.demo_trust", "bundle.one_person", "form.problems", "table.name_used", "version.other_bytes")
@takes(DOCUMENT)
@blueprint.response(200, form_schemas.Version)
@in_turn
def approve(version: int) -> dict[str, Any]:
    """Approve what another person submitted, with the reviewer's signature; from now on nothing of it changes.

    Tables that came inside its package and that nobody published yet are published with it.
    """
    here, person = parts(), auth.signed_in()
    return described(
        versions.approve(here.db, version, request.get_data(), person=person, carried=versions.carried, now=here.now())
    )
