"""The server's problems: one catalogue of codes (problems.csv) and one format of error responses (RFC 9457).

Flows raise `Problem`. Both APIs convert it, the protocol's `SyncError` and any other exception into the same document.
A problem document must not contain answers of a respondent.
"""

from __future__ import annotations

import csv
import errno
import json
import logging
import sqlite3
from dataclasses import dataclass
from importlib import resources
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header

from server.database.connection import DatabaseBusyError, DatabaseDamagedError, DatabaseGoneError
from server.database.sqlite import is_damage
from sync.errors import SyncError, join_sentences

MEDIA_TYPE = "application/problem+json"
_CODE_BY_STATUS = {
    404: "http.not_found",
    405: "http.method_not_allowed",
    411: "http.length_required",
    413: "http.too_large",
    415: "http.unsupported_media",
    416: "http.range_not_satisfiable",
    422: "http.invalid",
    429: "http.too_many",
    431: "http.head_too_large",
    503: "server.busy",
}
RETRY_AFTER = {429: 60, 503: 10, 507: 300}
"""Retry-After in seconds, by status."""
_log = logging.getLogger("chaski")


@dataclass(frozen=True)
class ProblemType:
    """One code of the catalogue: its HTTP status, and its title and advice in Spanish and English."""

    code: str
    status: int
    title_es: str
    title_en: str
    advice_es: str
    advice_en: str


def _read_catalogue() -> dict[str, ProblemType]:
    lines = resources.files("server").joinpath("problems.csv").read_text(encoding="utf-8").splitlines()
    return {row["code"]: ProblemType(status=int(row.pop("status")), **row) for row in csv.DictReader(lines)}


PROBLEM_TYPES = _read_catalogue()


class Problem(Exception):  # noqa: N818 (RFC 9457's own word)
    """An error with a code. `detail` names the affected thing, never an answer. `members`: further body fields."""

    def __init__(self, code: str, detail: str = "", **members: Any) -> None:
        entry = find_type(code)
        super().__init__(f"{code}: {join_sentences(entry.title_en, detail, entry.advice_en)}")
        self.code = code
        self.detail = detail
        self.members = members


def find_type(code: str) -> ProblemType:
    """Return the entry of a code. Protocol codes (SPEC 14) may share one per family, such as `trust.*`."""
    return PROBLEM_TYPES.get(code) or PROBLEM_TYPES[f"{code.partition('.')[0]}.*"]


def build_document(code: str, detail: str, language: str, members: dict[str, Any]) -> dict[str, Any]:
    """Build a problem document in Spanish or, for language "en", in English."""
    entry = find_type(code)
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


def document_of_status(status: int, language: str) -> tuple[int, bytes]:
    """Build status and document for a request that never reaches an app: malformed, or one too many."""
    document = build_document(
        "server.failed" if status == 500 else _CODE_BY_STATUS.get(status, "http.bad_request"), "", language, {}
    )
    return document["status"], json.dumps(document, ensure_ascii=False).encode()


def choose_language(accepted: str) -> str:
    """Return the language for a response: "es", unless the Accept-Language header prefers "en"."""
    return parse_accept_header(accepted, LanguageAccept).best_match(["es", "en"], "es")


def install_error_handlers(app: Flask) -> None:
    """Make an app answer all errors with a problem document."""
    app.register_error_handler(Problem, respond)
    app.register_error_handler(SyncError, lambda error: _build_response(error.code, error.detail, {}))
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(Exception, _answer_unexpected)


def respond(error: Problem) -> Response:
    """Build the response to the current request that a problem stands for."""
    return _build_response(error.code, error.detail, error.members)


def _answer_http_error(error: HTTPException) -> Response | HTTPException:
    status = error.code or 500
    if status < 400:
        return error
    if status >= 500:
        return _answer_unexpected(error)
    # flask-smorest stores a schema's messages here: field names and our own texts, never the sent values.
    fields = (getattr(error, "data", None) or {}).get("messages")
    return _build_response(_CODE_BY_STATUS.get(status, "http.bad_request"), "", {"fields": fields} if fields else {})


def _storage_problem(error: Exception) -> Problem | None:
    """Return the problem for a disk or database error, None for other errors. The client may repeat the request."""
    if isinstance(error, DatabaseBusyError):
        return Problem("server.busy")
    if isinstance(error, DatabaseGoneError):
        return Problem("storage.gone")
    if isinstance(error, DatabaseDamagedError):
        return Problem("storage.damaged")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem("storage.full")
    if is_damage(error):
        return Problem("storage.damaged")
    code = getattr(error, "sqlite_errorcode", 0)
    if not isinstance(error, sqlite3.OperationalError):
        return None
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
        return Problem("storage.full")
    if code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return Problem("storage.failed")
    return Problem("server.busy") if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else None


def _answer_unexpected(error: Exception) -> Response:
    named = _storage_problem(error)
    if named is not None:
        _log.error("storage", extra={"fields": {"code": named.code, "request": g.get("request_id")}})
        return _build_response(named.code, "", {})
    # The exception's text may quote a row or a body, so the log contains only its type and its place in the code.
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    fields = {"error": type(error).__name__, "place": place, "request": g.get("request_id")}
    _log.error("failed", extra={"fields": fields})
    return _build_response("server.failed", "", {"request": g.get("request_id", "")})


def _build_response(code: str, detail: str, members: dict[str, Any]) -> Response:
    document = build_document(code, detail, choose_language(request.headers.get("Accept-Language", "")), members)
    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    response = Response(text, document["status"], mimetype=MEDIA_TYPE)
    if response.status_code in RETRY_AFTER:
        response.retry_after = members.get("retry_after", RETRY_AFTER[response.status_code])
    return response
