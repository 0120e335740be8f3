"""The documentation page of an API: its OpenAPI document as plain HTML, Spanish first.

The page must not contain a script or load anything. Then every browser can show it, and its Content-Security-Policy can
forbid everything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from http import HTTPStatus
from importlib import resources
from typing import Any

from flask import Flask, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from server import problems
from server.api.coded_bytes import OnceMade
from server.api.openapi import Document, operations

_templates = Environment(
    loader=PackageLoader("server.api", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_MEDIA_TYPES = {
    "application/x-chaski": {
        "description": "Un JSON canónico, o el mismo en gzip, firmado tal como viaja (SPEC 11).",
        "x-description-en": "Canonical JSON, plain or in gzip. The signature covers the sent bytes (SPEC 11).",
    },
    "application/octet-stream": {
        "description": "Los bytes exactos que alguien firmó (SPEC 4.3), o una clave pública (SPEC 3.1).",
        "x-description-en": "The exact bytes of a signed document (SPEC 4.3), or a public key (SPEC 3.1).",
    },
    "application/vnd.chaski.envelope": {
        "description": "Un sobre sellado en una tableta, que el servidor no puede abrir (SPEC 6).",
        "x-description-en": "An envelope that a tablet sealed and the server cannot open (SPEC 6).",
    },
}
_STYLE = resources.files("server.api").joinpath("page.css").read_text(encoding="utf-8")
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


def install(app: Flask, document: Callable[[], Document]) -> None:
    """Install the page at `/`. The server renders it at the first request."""
    written = OnceMade(lambda: render(document()).encode())

    def page() -> Response:
        response = written.answer("text/html")
        response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
        return response

    app.add_url_rule("/", view_func=page)


def render(document: Document) -> str:
    """Render an OpenAPI document as HTML."""
    all_operations = [(method.upper(), path, operation) for method, path, operation in operations(document)]
    named = {code for _, _, operation in all_operations for code in _problem_codes(document, operation)}
    return _templates.get_template("page.html").render(
        title=document["info"]["title"],
        style=_STYLE,
        operations=[
            (method, path, _anchor(method, path), operation, _problem_codes(document, operation))
            for method, path, operation in all_operations
        ],
        schemas=document["components"]["schemas"],
        problems={code: problems.find_type(code) for code in sorted(named)},
        bytes=_MEDIA_TYPES,
        kind=_type_in_words,
        phrase=lambda status: HTTPStatus(int(status)).phrase,
    )


def _anchor(method: str, path: str) -> str:
    return f"{method.lower()}{path}".replace("/", "-").replace("{", "").replace("}", "")


def _problem_codes(document: Document, operation: Document) -> list[str]:
    """List the problem codes that an operation may return."""
    shared = document["components"]["responses"]
    answers = (
        shared[status] if "$ref" in answer else answer
        for status, answer in operation["responses"].items()
        if status[0] in "45"
    )
    return [code for answer in answers for code in answer["x-codes"]]


def _type_in_words(schema: dict[str, Any]) -> tuple[str, str]:
    """Return the type of a value in Spanish words, and the name of the schema it refers to ("" = none)."""
    if parts := schema.get("allOf"):
        return _type_in_words(parts[0])
    if reference := schema.get("$ref"):
        return "", reference.rpartition("/")[2]
    if not schema:
        return "bytes", ""
    kinds = schema.get("type", "")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds:
        words, schema_name = _type_in_words(schema["items"])
        return f"lista de {words}".strip(), schema_name
    words = " o ".join(_TYPE_NAMES[each] for each in kinds if each in _TYPE_NAMES)
    return ", ".join(each for each in (words, _limits_in_words(schema)) if each), ""


_TYPE_NAMES = {
    "string": "texto",
    "integer": "número entero",
    "boolean": "sí o no",
    "object": "objeto",
    "null": "nada",
}


def _limits_in_words(schema: dict[str, Any]) -> str:
    """Return the constraints of a value in Spanish words."""
    if "const" in schema:
        return f"siempre {schema['const']}"
    if "enum" in schema:
        return "uno de: " + ", ".join(map(str, schema["enum"]))
    labels = {
        "minimum": "desde",
        "maximum": "hasta",
        "minLength": "letras, al menos",
        "maxLength": "letras, como máximo",
    }
    # Every path parameter has at least one letter, so the page does not list this limit.
    limits = [
        f"{word} {schema[name]}"
        for name, word in labels.items()
        if name in schema and (name, schema[name]) != ("minLength", 1)
    ]
    return ", ".join([*limits, *([f"de la forma {schema['pattern']}"] if "pattern" in schema else [])])
