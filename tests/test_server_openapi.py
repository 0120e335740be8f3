"""The complete OpenAPI 3.1 document of each API, and its accessible documentation page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient

from server import app, problems
from server.api.openapi import DESCRIPTIONS, operations
from support.intake import Field

APPS = ("tablet_api", "staff_api")
OWN = {"/", "/openapi.json", "/metrics"}
Document = dict[str, Any]


@pytest.fixture(params=APPS)
def client(field: Field, request: pytest.FixtureRequest) -> FlaskClient:
    made: FlaskClient = getattr(app, request.param)(field.services).test_client()
    return made


@pytest.fixture
def document(client: FlaskClient) -> Document:
    said: Document = client.get("/openapi.json").json  # type: ignore[assignment]
    return said


def every(part: Any, name: str) -> Iterator[Any]:
    """Yield each value of a member with this name, at any depth."""
    if isinstance(part, dict):
        yield from ([part[name]] if name in part else [])
        for each in part.values():
            yield from every(each, name)
    elif isinstance(part, list):
        for each in part:
            yield from every(each, name)


def test_the_document_is_valid_openapi_3_1(document: Document) -> None:
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()


def test_the_document_contains_exactly_the_endpoints_of_the_api(client: FlaskClient, document: Document) -> None:
    served = {
        (method.lower(), re.sub(r"<(?:[^:<>]+(?:\([^)]*\))?:)?([a-z0-9_]+)>", r"{\1}", rule.rule))
        for rule in client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule not in OWN
    }
    assert {(method, path) for method, path, _ in operations(document)} == served


def test_every_documented_problem_is_in_the_catalogue_with_its_status(document: Document) -> None:
    answers = [document["components"]["responses"], *(each["responses"] for _, _, each in operations(document))]
    announced = {
        (int(status), code)
        for group in answers
        for status, answer in group.items()
        for code in answer.get("x-codes", ())
    }
    assert len(announced) > 20
    for status, code in announced:
        assert problems.find_type(code).status == status, code


def test_a_binary_body_is_documented_with_its_signature_header(field: Field) -> None:
    said: Document = app.tablet_api(field.services).test_client().get("/openapi.json").json  # type: ignore[assignment]
    sync = said["paths"]["/v1/sync"]["post"]
    assert sync["requestBody"]["content"] == {"application/x-chaski": {}}
    assert [(each["in"], each["name"], each["required"]) for each in sync["parameters"]] == [
        ("header", "Chaski-Signature", True)
    ]
    assert sync["responses"]["200"]["content"].keys() == {"application/x-chaski"}
    assert sync["responses"]["200"]["headers"]["Chaski-Signature"]["required"]


def test_every_name_has_a_text_in_both_languages_and_no_text_is_unused(field: Field) -> None:
    used: set[str] = set()
    for door in APPS:
        said: Document = getattr(app, door)(field.services).test_client().get("/openapi.json").json
        for method, path, operation in operations(said):
            used.add(f"{method.upper()} {path}")
            assert operation["summary"], path
            assert operation["description"], path
            used |= {each["name"] for each in operation["parameters"]}
        for name, schema in said["components"]["schemas"].items():
            used |= {name} | {
                f"{name}.{each}" if f"{name}.{each}" in DESCRIPTIONS else each for each in schema["properties"]
            }
        assert all(every(said["components"]["schemas"], "x-description-en"))
    assert DESCRIPTIONS.keys() == used
    assert all(text.es and (text.en or " /" in name) for name, text in DESCRIPTIONS.items())


class Page(HTMLParser):
    """The elements of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, name: str) -> list[str]:
        return [said[name] for _, said in self.tags if name in said]


def test_the_page_names_every_endpoint_and_every_problem_with_its_advice(
    client: FlaskClient, document: Document
) -> None:
    text = client.get("/").text
    for method, path, operation in operations(document):
        assert f"<code>{method.upper()} {path}</code>" in text
        assert operation["summary"].split("`")[0] in text
    for code in {code for codes in every(document, "x-codes") for code in codes}:
        assert f'id="p-{code}"' in text
        assert problems.find_type(code).advice_es.split("`")[0] in text


def test_the_page_works_with_screen_reader_and_keyboard_and_is_in_spanish_first(client: FlaskClient) -> None:
    page = Page(client.get("/").text)
    names = [tag for tag, _ in page.tags]
    assert ("html", {"lang": "es"}) in page.tags
    assert names.count("h1") == names.count("main") == names.count("nav") == 1
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.all("href") if link.startswith("#")} <= set(ids)
    assert set(page.all("aria-labelledby")) <= set(ids)
    assert page.tags[[tag for tag, _ in page.tags].index("a")][1] == {"class": "skip", "href": "#addresses"}
    assert not set(page.all("tabindex"))
    assert {said["lang"] for _, said in page.tags if "lang" in said} == {"es", "en"}


def test_the_page_has_no_script_and_loads_nothing(client: FlaskClient) -> None:
    answer = client.get("/")
    page = Page(answer.text)
    assert not {"script", "img", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, said in page.tags for name in said if name.startswith("on") or name in ("src", "style")]
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "style-src 'sha256-" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/healthz", "/nowhere", "/v1/trusts"])
def test_every_response_that_browsers_show_forbids_to_load_or_to_sniff(client: FlaskClient, path: str) -> None:
    said = client.get(path).headers
    assert "default-src 'none'" in said["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in said["Content-Security-Policy"]
    assert (said["X-Content-Type-Options"], said["Referrer-Policy"]) == ("nosniff", "no-referrer")


def test_bytes_that_browsers_never_show_forbid_only_to_sniff(client: FlaskClient) -> None:
    answer = client.get("/v1/trust")
    assert (answer.mimetype, answer.headers["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")
    assert not {"Content-Security-Policy", "Referrer-Policy"} & {*answer.headers.keys()}


def test_a_problem_contains_the_request_number_of_the_log(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    number = client.get("/nowhere").headers["Chaski-Request-Id"]
    assert [record.fields["request"] for record in caplog.records if record.msg == "request"] == [number]  # type: ignore[attr-defined]
