"""Tests that SPEC.md and the code agree: error codes, sections, typs, vocabulary, numbers."""

import ast
import json
import re
from pathlib import Path

from flask import Flask

from server import problems
from server.api import openapi, tablets
from server.database.sqlite import SqliteDatabase
from server.flows.intake.sync_request import MOST_SKIPPED
from sync.documents import (
    bundle,
    courier_receipt,
    device_order,
    enrolment,
    manifest,
    receipt,
    registry,
    sign_in,
    signed,
    trust,
)
from sync.envelope import seal
from sync.envelope.route import AUTHOR_FIELDS, PLAIN_BYTES, VOCABULARY
from sync.envelope.verify import MAX_CIPHERTEXT_BYTES, MAX_ENVELOPE_BYTES, SIGNATURE_TYP
from sync.exchange import messages
from sync.wire import encoding

ROOT = Path(__file__).parent.parent
SPEC = (ROOT / "sync" / "SPEC.md").read_text()
MODULES = sorted((ROOT / "sync").rglob("*.py"))


def section(number):
    """The text under one heading, with its subsections."""
    found = re.search(rf"^(#+) {re.escape(number)}\.? .*?(?=^#{{1,{number.count('.') + 2}}} |\Z)", SPEC, re.M | re.S)
    assert found, number
    return found[0]


def first_column(number):
    return set(re.findall(r"^\| `([a-z0-9_.]+)` \|", section(number), re.M))


def codes_raised(path):
    """Every literal first argument of SyncError(...), and of the constructor of its subclasses."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and "SyncError" in ast.unparse(node.func):
            yield ast.literal_eval(node.args[0])
        elif isinstance(node, ast.ClassDef) and any("SyncError" in ast.unparse(base) for base in node.bases):
            yield from re.findall(r"'([a-z]+\.[a-z_]+)'", ast.unparse(node))


def test_every_code_that_is_raised_is_in_the_spec_and_the_other_way_round():
    assert {code for path in MODULES for code in codes_raised(path)} == first_column("14")


def test_vectors_expect_codes_of_the_protocol():
    expected = {json.loads(path.read_text())["expect"] for path in (ROOT / "sync" / "vectors").glob("*.json")}
    assert expected - {"ok"} <= first_column("14.1") | set(re.findall(r"`([a-z]+\.[a-z_]+)` \d{3}", section("12")))


def test_the_table_of_the_vectors_names_what_each_of_them_gives():
    rows = [row.split("|") for row in section("15").splitlines() if re.match(r"\| `(?!do`)", row)]
    told = {do.strip(" `"): set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", given))) for _, do, given, *_ in rows}
    vectors = [json.loads(path.read_text()) for path in (ROOT / "sync" / "vectors").glob("*.json")]
    assert {vector["do"] for vector in vectors} == set(told)
    for vector in vectors:
        assert set(vector["given"]) == told[vector["do"]], vector["about"]


def test_the_tablet_api_returns_the_problems_that_the_spec_names():
    app = Flask("tablets")
    tablets.install_tablet_api(app)
    said = section("12")
    statuses = dict(re.findall(r"`([a-z]+\.[a-z_*]+)` (\d{3})", said))
    assert {code: str(problems.find_type(code).status) for code in statuses} == statuses
    rows = [row.split("|") for row in said.splitlines() if row.startswith("| `")]
    named = {re.findall(r"[A-Z]+ /[^`]*", row[1])[0]: set(re.findall(r"`(\w+\.[a-z_*]+)`", row[3])) for row in rows}
    common = set(re.findall(r"`(\w+\.[a-z_]+)`", said.partition("Of every address:")[2])) & set(statuses)
    assert set(openapi.COMMON_PROBLEMS) <= common
    for method, path, operation in openapi.operations(app.test_client().get("/openapi.json").json):
        if path == "/metrics":
            continue
        codes = {code for answer in operation["responses"].values() for code in answer.get("x-codes", ())}
        asked = f"{method.upper()} {path.replace('{kind}', 'trust')}"
        (address,) = [
            address for address in named if re.sub(r"<[^>]*>", "{}", address) == re.sub(r"{\w+}", "{}", asked)
        ]
        assert codes - common == named.pop(address), asked
    assert not named


def test_every_section_that_the_code_cites_is_there():
    cited = {
        number
        for folder in ("sync", "server", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for number in re.findall(r"\bSPEC (\d+(?:\.\d+)?)", path.read_text())
    }
    headings = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", SPEC, re.M))
    assert cited <= headings


def test_every_typ_is_in_the_spec():
    types = {
        module.TYP for module in (bundle, courier_receipt, manifest, device_order, receipt, registry, sign_in, trust)
    }
    types |= {enrolment.REQUEST_TYP, enrolment.CERTIFICATE_TYP, SIGNATURE_TYP}
    types |= {messages.REQUEST_TYP, messages.RESPONSE_TYP, messages.REFUSAL_TYP}
    assert set(re.findall(r"^\| `(chaski-1/[a-z]+\+jws)`", section("4.2"), re.M)) == types


def test_the_vocabulary_of_the_spec_is_that_of_the_code_in_its_order():
    rows = re.findall(r"^\| `([a-z_]+)`(?: \*)? \| (.*) \|$", section("7.1"), re.M)
    assert [name for name, _ in rows] == list(VOCABULARY)
    for name, values in rows:
        allowed = VOCABULARY[name]
        if isinstance(allowed, frozenset):
            assert set(re.findall(r"`(\w+)`", values)) == allowed
    fed = set(re.findall(r"^\| `([a-z_]+)` \* \|", section("7.1"), re.M))
    assert fed == set(AUTHOR_FIELDS)


def test_the_server_stores_of_a_screening_what_the_spec_says_and_nothing_else(tmp_path):
    connection = SqliteDatabase(tmp_path / "chaski.db", create=True).read()
    stored = {
        table: {column["name"] for column in connection.rows(f"pragma table_info({table})")}
        for table in ("envelopes", "routes")
    }
    # The row's own number, the time of arrival and a checksum: the text names them too.
    assert stored["routes"] == {"envelope", "number", "received", "digest", *VOCABULARY}
    assert stored["envelopes"] == set(re.findall(r"`([a-z]+)`", section("7.3")))


def test_the_preset_dictionary_is_that_of_the_spec():
    *first, last = re.search(r"```\n(.*?)\n```", section("8.2"), re.DOTALL)[1].split("\n")
    groups = "".join(f"</g{n}><g{n + 1}>" for n in range(1, 20))
    assert f"{groups}{''.join(first)}\n{last}".encode() == seal.DICTIONARY
    assert f"{len(seal.DICTIONARY)} bytes of ASCII" in section("8.2")


def test_outcomes_and_limits_are_those_of_the_spec():
    rows = [row for row in section("10").splitlines() if row.startswith("| `")]
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])} == receipt.OUTCOMES
    mib = 1024 * 1024
    for limit in (
        f"document | {signed.MAX_DOCUMENT_BYTES // mib} MiB, {signed.MAX_SIGNATURES} signatures",
        f"sent back | {enrolment.MAX_REQUEST_BYTES // 1024} KiB",
        f"envelope | {MAX_ENVELOPE_BYTES:,} bytes; content {seal.MAX_CONTENT_BYTES // mib} MiB",
        f"plaintext {MAX_CIPHERTEXT_BYTES // 1024} KiB",
        f"route | {PLAIN_BYTES} bytes",
        f"sync body | {messages.MAX_BODY_BYTES // mib} MiB, also inflated; {messages.MAX_ENVELOPES} envelopes",
        f"{messages.MAX_ENDED} chains in `ended`, {messages.MAX_REFUSED} versions in `refused`",
        f"versions in `refused`, {messages.MAX_INVENTORY} forms of `inventory`",
        f"{messages.MAX_RECEIPTED} chains in `receipted`, {messages.MAX_RANGES} ranges of a chain in `again`",
        f"recording | {bundle.MAX_RECORDING_BYTES // mib} MiB; {bundle.MAX_RECORDINGS:,} recordings",
        f"{bundle.MAX_SOUND_BYTES // mib} MiB of them",
        f"number of a request | 2^{MOST_SKIPPED.bit_length() - 1} above",
        f"everywhere; {encoding.MAX_VALUES:,} of",
    ):
        assert limit in section("13")
