"""The OpenAPI 3.1 document of an API, built from its endpoints' decorators, problems.csv and texts.csv.

Both APIs call `register_blueprints`. docs_page.py renders the same document as HTML. This module must not implement
endpoints of the API itself.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from typing import Any, TypeVar

from flask import Flask, Response
from flask_smorest import Api, Blueprint

from server.api.coded_bytes import OnceMade
from server.problems import MEDIA_TYPE, find_type, install_error_handlers

Document = dict[str, Any]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

SESSION_SCHEME = {"type": "apiKey", "in": "cookie", "name": "chaski_session"}
TOKEN_SCHEME = {"type": "http", "scheme": "bearer"}
BYTES: Document = {}
"""The schema of a binary body: empty, because OpenAPI 3.1 describes binary data by its media type alone."""
REQUIRED_HEADER: Document = {"required": True, "schema": {"type": "string"}}
# Every endpoint may return these: for a malformed HTTP request, or while the server cannot work.
COMMON_PROBLEMS = (
    "http.bad_request",
    "http.length_required",
    "http.too_large",
    "http.head_too_large",
    "server.failed",
    "server.busy",
    "server.not_ready",
    "storage.failed",
    "storage.full",
    "storage.damaged",
    "storage.gone",
)
_UNSAFE_METHODS = ("post", "put", "patch", "delete")
_REQUEST_SCHEMAS = frozenset(
    {"AskChallenge", "SignIn", "Invite", "Close", "Decide", "NewTrial", "Why", "NewRing", "NewRollout", "NewToken"}
)


@dataclass(frozen=True)
class Description:
    """The description of an endpoint, a field or a schema, in Spanish and English."""

    es: str
    en: str


def _read_descriptions() -> dict[str, Description]:
    lines = resources.files("server.api").joinpath("texts.csv").read_text(encoding="utf-8").splitlines()
    return {row["name"]: Description(row["es"], row["en"]) for row in csv.DictReader(lines)}


DESCRIPTIONS = _read_descriptions()


# Decorators of endpoints


def annotate(endpoint: Endpoint, **members: Any) -> Endpoint:
    """Add members to an endpoint's operation object; flask-smorest copies them into the document."""
    documentation = deepcopy(getattr(endpoint, "_apidoc", {}))
    documentation["manual_doc"] = {**documentation.get("manual_doc", {}), **members}
    endpoint._apidoc = documentation  # type: ignore[attr-defined]
    return endpoint


def problems(*codes: str) -> Callable[[Endpoint], Endpoint]:
    """List the problem codes that an endpoint may return, in addition to COMMON_PROBLEMS."""

    def wrap(endpoint: Endpoint) -> Endpoint:
        before = getattr(endpoint, "_apidoc", {}).get("manual_doc", {}).get("x-codes", [])
        return annotate(endpoint, **{"x-codes": [*codes, *before]})

    return wrap


def accepts(media_type: str, *headers: str) -> Callable[[Endpoint], Endpoint]:
    """Declare that an endpoint takes a binary body of a media type, and which headers it requires."""
    body = {"required": True, "content": {media_type: BYTES}}
    named = [{"in": "header", "name": name, "required": True, "schema": {"type": "string"}} for name in headers]
    return lambda endpoint: annotate(endpoint, requestBody=body, **({"parameters": named} if named else {}))


# The document


def register_blueprints(app: Flask, *blueprints: Blueprint, title: str, guard: str = "") -> Callable[[], Document]:
    """Register blueprints on an app and serve its document at /openapi.json. Returns the function that builds it.

    The first call builds the document, so that the server starts without waiting for it. `guard`: the name of the
    header that every unsafe request must have; "" = none.
    """
    app.config.update(
        API_TITLE=title, API_VERSION=metadata.version("chaski"), OPENAPI_VERSION="3.1.0", OPENAPI_URL_PREFIX=None
    )
    api = Api(app)
    for each in blueprints:
        api.register_blueprint(each)
    # Api installs its own error bodies. Both APIs return problem documents instead.
    install_error_handlers(app)

    @cache
    def document() -> Document:
        # A copy, because two threads may call this at the same time.
        return complete_document(deepcopy(api.spec.to_dict()), guard)

    written = OnceMade(lambda: json.dumps(document(), ensure_ascii=False, sort_keys=True).encode())

    def openapi() -> Response:
        """Return the OpenAPI document of this API."""
        return written.answer("application/json")

    app.add_url_rule("/openapi.json", view_func=openapi)
    return document


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield method, path and operation object of each operation in a document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method, path, operation


def complete_document(document: Document, guard: str) -> Document:
    """Add to the document of flask-smorest: all problems, required members, and a description for each name."""
    components = document["components"]
    components["schemas"] = {
        name: _closed_schema(name, each) for name, each in components["schemas"].items() if name in DESCRIPTIONS
    }
    components["schemas"]["Problem"] = _problem_schema()
    components["responses"] = {
        str(status): _problem_response(codes) for status, codes in _group_by_status(COMMON_PROBLEMS).items()
    }
    components.pop("parameters", None)
    schemes: set[str] = set()
    for method, path, operation in operations(document):
        shared = document["paths"][path].get("parameters", ())
        guards = [_guard_header(guard)] if guard and method in _UNSAFE_METHODS else []
        operation["parameters"] = [
            {**each, **_described(each["name"])} for each in (*shared, *operation.get("parameters", ()), *guards)
        ]
        operation["description"] = " ".join([operation.get("summary", ""), operation.get("description", "")]).strip()
        operation["summary"] = DESCRIPTIONS[f"{method.upper()} {path}"].es
        operation["responses"] = _responses(operation)
        schemes |= {name for allowed in operation.get("security", ()) for name in allowed}
    for item in document["paths"].values():
        item.pop("parameters", None)
    if schemes:
        known = {"session": SESSION_SCHEME, "token": TOKEN_SCHEME}
        components["securitySchemes"] = {name: known[name] for name in sorted(schemes)}
    whole: Document = _anchor_patterns(document)
    return whole


def _responses(operation: Document) -> Document:
    good = {status: each for status, each in operation["responses"].items() if status[0] in "23"}
    codes = [*operation.get("x-codes", ()), *_implied_problems(operation)]
    own = {str(status): codes for status, codes in _group_by_status([*COMMON_PROBLEMS, *codes]).items()}
    common = {str(status): codes for status, codes in _group_by_status(COMMON_PROBLEMS).items()}
    return good | {
        status: {"$ref": f"#/components/responses/{status}"}
        if common.get(status) == codes
        else _problem_response(codes)
        for status, codes in sorted(own.items())
    }


def _implied_problems(operation: Document) -> Iterator[str]:
    """Yield the problem codes that follow from an operation's parameters, body and security."""
    places = {each["in"] for each in operation["parameters"]}
    if "path" in places:
        yield "http.not_found"
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        yield from ("encoding.*", "http.invalid")
    elif "query" in places:
        yield "http.invalid"
    if "security" in operation:
        yield "session.missing"
        if operation.get("x-roles"):
            yield "role.missing"
        if {"token": []} in operation["security"]:
            yield from ("token.refused", "session.too_many")
    if any(each["schema"].get("const") for each in operation["parameters"]):
        yield "session.foreign_request"


def _group_by_status(codes: Sequence[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in sorted(set(codes)):
        found.setdefault(find_type(code).status, []).append(code)
    return found


def _problem_response(codes: Sequence[str]) -> Document:
    """Build the response object for problem codes of the same status."""
    patterns = [{"pattern": f"^{code[:-1]}[a-z_]+$"} for code in codes if code.endswith(".*")]
    code: Document = {"anyOf": [{"enum": [each for each in codes if not each.endswith(".*")]}, *patterns]}
    narrowed = {"properties": {"code": code, "status": {"const": find_type(codes[0]).status}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]}
    described = "; ".join(f"`{each}`: {find_type(each).title_es}" for each in codes)
    return {"description": described, "content": {MEDIA_TYPE: {"schema": schema}}, "x-codes": list(codes)}


def _problem_schema() -> Document:
    texts = {name: {"type": "string"} for name in ("type", "code", "title", "detail", "advice")}
    schema = {"type": "object", "properties": {**texts, "status": {"type": "integer"}}, "required": [*texts, "status"]}
    return _closed_schema("Problem", schema) | {"additionalProperties": True}


def _closed_schema(name: str, schema: Document) -> Document:
    """Close a schema: no additional properties. In a response schema every field is required."""
    properties = {
        field: {**({"allOf": [each]} if "$ref" in each else each), **_described(field, name)}
        for field, each in schema.get("properties", {}).items()
    }
    always = {} if name in _REQUEST_SCHEMAS else {"required": sorted(properties)}
    return {**schema, "properties": properties, "additionalProperties": False, **_described(name), **always}


def _guard_header(header: str) -> Document:
    return {"in": "header", "name": header, "required": True, "schema": {"const": "1"}}


def _described(name: str, where: str = "") -> Document:
    text = DESCRIPTIONS.get(f"{where}.{name}") or DESCRIPTIONS[name]
    return {"description": text.es, "x-description-en": text.en}


def _anchor_patterns(part: Any) -> Any:
    """Replace the `\\Z` of Python's patterns by `^...$`: JSON Schema finds a pattern anywhere in a text."""
    if isinstance(part, list):
        return [_anchor_patterns(each) for each in part]
    if not isinstance(part, Mapping):
        return part
    pattern = part.get("pattern")
    whole = {"pattern": f"^{pattern[:-2]}$"} if isinstance(pattern, str) and pattern.endswith(r"\Z") else {}
    return {name: _anchor_patterns(each) for name, each in part.items()} | whole
