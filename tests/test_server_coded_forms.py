"""Form versions over HTTP by RFC 9842, as a browser asks for them (SPEC 12.3), and bounds of what strangers ask for."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from server.api.coded_bytes import CODED
from server.app import tablet_api
from server.store import versions
from support.clients import FORM, Office
from sync.exchange import codings
from sync.exchange.bundle_stream import MAX_WANTED, StreamReader, Wanted, address

MOST = 4 * 1024 * 1024


class Forms:
    """Two versions of one form on a server, and requests for them."""

    def __init__(self, office: Office) -> None:
        self.http = tablet_api(office.field.services).test_client()
        self.db = office.field.services.db
        self.first, self.second = office.field.form_sha, office.publish("2")

    def body(self, sha: str) -> bytes:
        """The bytes of a version."""
        body = versions.find_bytes_in_use(self.db.read(), sha)
        assert body is not None
        return body

    def get(self, sha: str, **headers: str) -> TestResponse:
        """Ask for a version with these headers."""
        return self.http.get(f"/v1/forms/{FORM}/{sha}", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def delta(self, dictionary: bytes, version: str, accepted: str = "gzip, zstd, dcz") -> TestResponse:
        """Ask for the second version with a dictionary."""
        named = f":{b64encode(hashlib.sha256(dictionary).digest()).decode()}:"
        return self.get(self.second, Accept_Encoding=accepted, Available_Dictionary=named, Dictionary_ID=f'"{version}"')


@pytest.fixture
def forms(office: Office) -> Iterator[Forms]:
    return Forms(office)


def test_a_version_is_the_dictionary_of_the_next_one(forms: Forms) -> None:
    first = forms.get(forms.first)
    assert first.headers["Use-As-Dictionary"] == f'match="/v1/forms/{FORM}/*", id="{forms.first}"'
    assert first.cache_control.max_age
    second = forms.delta(first.data, forms.first)
    assert (second.headers["Content-Encoding"], second.headers["Vary"]) == (
        "dcz",
        "Accept-Encoding, Available-Dictionary",
    )
    assert len(second.data) < 600
    assert codings.decode(second.data, "dcz", most=MOST, dictionary=first.data) == forms.body(forms.second)


def test_the_starter_dictionary_serves_a_client_without_a_version(forms: Forms) -> None:
    answer = forms.delta(codings.starter_dictionary(), "")
    assert answer.headers["Content-Encoding"] == "dcz"
    assert len(answer.data) < 11_000


@pytest.mark.parametrize(
    ("dictionary", "version", "accepted", "coding"),
    [
        (b"never published", "0" * 64, "dcz, zstd", "zstd"),
        (b"never published", "", "dcz, gzip", "gzip"),
        (None, "0" * 64, "dcz, zstd, gzip", "zstd"),
        (None, None, "zstd, gzip", "zstd"),
        (None, None, "", None),
    ],
)
def test_a_dictionary_that_does_not_serve_is_left_out(
    forms: Forms, dictionary: bytes | None, version: str | None, accepted: str, coding: str | None
) -> None:
    held = dictionary or forms.body(forms.first)
    answer = forms.delta(held, forms.first if version is None else version, accepted)
    assert answer.headers.get("Content-Encoding") == coding
    assert codings.decode(answer.data, coding or "", most=MOST) == forms.body(forms.second)


@pytest.mark.parametrize("named", ["", ":", "::", ":AAAA:", "x", ":" + "A" * 44 + ":", ":" + "=" * 43 + ":", "ñ"])
def test_a_malformed_dictionary_is_no_dictionary(forms: Forms, named: str) -> None:
    answer = forms.get(forms.second, Accept_Encoding="dcz", Available_Dictionary=named)
    assert (answer.status_code, answer.data) == (200, forms.body(forms.second))


def test_the_rest_of_a_coded_version_can_be_asked_for(forms: Forms) -> None:
    whole = forms.get(forms.first, Accept_Encoding="zstd")
    asked = {"Accept_Encoding": "zstd", "Range": "bytes=100-"}
    rest = forms.get(forms.first, **asked, If_Range=whole.headers["ETag"])
    assert (rest.status_code, whole.data[:100] + rest.data) == (206, whole.data)
    assert forms.get(forms.first, **asked, If_Range='"other"').data == whole.data
    assert forms.get(forms.first, **{**asked, "Range": "bytes=9999999-"}).status_code == 416


def test_a_stream_has_each_version_once_coded_and_names_what_does_not_exist(forms: Forms) -> None:
    held = hashlib.sha256(forms.body(forms.first)).hexdigest()
    wanted = [Wanted(forms.second, held, forms.first), Wanted("0" * 64), Wanted(forms.first, "1" * 64, "2" * 64)]
    answer = forms.http.get(address(wanted))
    delta, unknown, whole = StreamReader.of({each.sha for each in wanted}).feed(answer.data)
    assert (delta.coding, unknown.code, whole.coding) == ("dcz", "form.unknown", "zstd")
    assert codings.decode(whole.body, "zstd", most=MOST) == forms.body(forms.first)
    assert forms.http.get(address(wanted)).headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize("dictionary", ["", "1" * 64])
def test_a_version_named_many_times_comes_once_as_it_was_named_first(forms: Forms, dictionary: str) -> None:
    first = Wanted(forms.first)
    wanted = [first, Wanted(forms.second), *[replace(first, dictionary=dictionary)] * (MAX_WANTED - 2)]
    assert forms.http.get(address(wanted)).data == forms.http.get(address(wanted[:2])).data


def test_a_key_named_many_times_comes_once(forms: Forms) -> None:
    name = forms.db.read().execute("select sha256 from keyring_keys limit 1").fetchone()[0]
    for others in ([], ["0" * 64]):
        answer = forms.http.get(f"/v1/keys?want={','.join([name, *others, *[name] * 60])}")
        assert len(answer.json["keys"]) == 1  # type: ignore[index]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_any_number_of_key_lists_displace_no_coding_of_a_form(forms: Forms, coding: str) -> None:
    forms.get(forms.first, Accept_Encoding=coding)
    kept, names = CODED.held(), [row[0] for row in forms.db.read().execute("select sha256 from keyring_keys")]
    for count in range(1, len(names) + 1):
        forms.http.get(f"/v1/keys?want={','.join(names[:count])}", headers={"Accept-Encoding": coding})
    assert CODED.held() == kept


TOO_MANY = ",".join(["0" * 43] * (MAX_WANTED + 1))


@pytest.mark.parametrize("want", ["", "x", "0" * 42, "0" * 64, "0" * 42 + "1", "0" * 43 + ".", TOO_MANY])
def test_a_request_for_too_many_or_malformed_versions_is_refused(forms: Forms, want: str) -> None:
    answer = forms.http.get(f"/v1/forms?want={want}")
    assert (answer.status_code, answer.json["code"]) == (422, "http.invalid")  # type: ignore[index]
