"""Every wrong the server can answer with: one catalogue (problems.csv), one body shape (RFC 9457). Flows raise Problem;
both doors turn it, the protocol's SyncError and anything else into the same document, which never tells content."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import dataclass
from importlib import resources
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from sync.errors import SyncError, in_one_line

MEDIA_TYPE = "application/problem+json"
_BY_STATUS = {
    404: "http.not_found",
    405: "http.method_not_allowed",
    413: "http.too_large",
    415: "http.unsupported_media",
    422: "http.invalid",
    429: "http.too_many",
}
_log = logging.getLogger("chaski")


@dataclass(frozen=True)
class Entry:
    """One code of the catalogue: the HTTP status, and what to tell a person in Spanish and English."""

    code: str
    status: int
    title_es: str
    title_en: str
    advice_es: str
    advice_en: str


def _read_catalogue() -> dict[str, Entry]:
    lines = resources.files("server").joinpath("problems.csv").read_text(encoding="utf-8").splitlines()
    return {row["code"]: Entry(status=int(row.pop("status")), **row) for row in csv.DictReader(lines)}


CATALOGUE = _read_catalogue()


class Problem(Exception):  # noqa: N818 (RFC 9457's own word)
    """A named wrong. `detail` says which thing, never what somebody answered; `members` are further body fields."""

    def __init__(self, code: str, detail: str = "", **members: Any) -> None:
        entry = entry_of(code)
        super().__init__(f"{code}: {in_one_line(entry.title_en, detail, entry.advice_en)}")
        self.code = code
        self.detail = detail
        self.members = members


def entry_of(code: str) -> Entry:
    """A code's entry; the protocol's codes (SPEC 14) share one per family, `trust.*` for `trust.wrong_pin`."""
    return CATALOGUE.get(code) or CATALOGUE[f"{code.partition('.')[0]}.*"]


def body(code: str, detail: str, language: str, members: dict[str, Any]) -> dict[str, Any]:
    """The problem document."""
    entry = entry_of(code)
    spanish = language != "en"
    return {
        "type": f"urn:chaski:problem:{code}",
        "status": entry.status,
        "code": code,
        "title": entry.title_es if spanish else entry.title_en,
        "detail": detail,
        "advice": entry.advice_es if spanish else entry.advice_en,
        **members,
    }


def install(app: Flask) -> None:
    """Answer every error of this app with a problem document."""
    app.register_error_handler(Problem, lambda wrong: _answer(wrong.code, wrong.detail, wrong.members))
    app.register_error_handler(SyncError, lambda wrong: _answer(wrong.code, wrong.detail, {}))
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _failed)


def _http(wrong: HTTPException) -> Response | HTTPException:
    status = wrong.code or 500
    if status < 400:
        return wrong
    if status >= 500:
        return _failed(wrong)
    # flask-smorest leaves the messages of a schema here: field names and our own words, never the values sent.
    fields = (getattr(wrong, "data", None) or {}).get("messages")
    return _answer(_BY_STATUS.get(status, "http.bad_request"), "", {"fields": fields} if fields else {})


def _failed(wrong: Exception) -> Response:
    # The exception's text may quote a row or a body, so the log gets only its type and where it was raised.
    trace, place = wrong.__traceback__, ""
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    _log.error("failed", extra={"fields": {"error": type(wrong).__name__, "at": place, "request": g.get("request_id")}})
    return _answer("server.failed", "", {"request": g.get("request_id", "")})


def _answer(code: str, detail: str, members: dict[str, Any]) -> Response:
    language = request.accept_languages.best_match(["es", "en"], "es")
    document = body(code, detail, language, members)
    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, document["status"], mimetype=MEDIA_TYPE)
