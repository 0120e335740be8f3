"""SPEC.md and the code say the same: error codes, sections, typs, vocabulary, numbers."""

import ast
import json
import re
from pathlib import Path

from server.db import Db, rows
from sync import bundle, enrolment, envelope, exchange, manifest, order, receipt, registry, route, trust
from sync.route import VOCABULARY

ROOT = Path(__file__).parent.parent
SPEC = (ROOT / "sync" / "SPEC.md").read_text()
MODULES = sorted((ROOT / "sync").glob("*.py"))


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
    types = {module.TYP for module in (bundle, manifest, order, receipt, registry, trust)}
    types |= {enrolment.REQUEST_TYP, enrolment.CERTIFICATE_TYP, envelope.SIGNATURE_TYP}
    types |= {exchange.REQUEST_TYP, exchange.RESPONSE_TYP}
    assert set(re.findall(r"^\| `(chaski-1/[a-z]+\+jws)`", section("4.2"), re.M)) == types


def test_the_vocabulary_of_the_spec_is_that_of_the_code_in_its_order():
    rows = re.findall(r"^\| `([a-z_]+)`(?: \*)? \| (.*) \|$", section("7.1"), re.M)
    assert [name for name, _ in rows] == list(VOCABULARY)
    for name, values in rows:
        allowed = VOCABULARY[name]
        if isinstance(allowed, frozenset):
            assert set(re.findall(r"`(\w+)`", values)) == allowed
    fed = set(re.findall(r"^\| `([a-z_]+)` \* \|", section("7.1"), re.M))
    assert fed == set(route.AUTHOR_FIELDS)


def test_the_server_stores_of_a_screening_what_the_spec_says_and_nothing_else(tmp_path):
    connection = Db(tmp_path / "chaski.db").read()
    stored = {
        table: {column["name"] for column in rows(connection, f"pragma table_info({table})")}
        for table in ("envelopes", "routes")
    }
    assert stored["routes"] == {"envelope", *VOCABULARY}
    assert stored["envelopes"] == set(re.findall(r"`([a-z]+)`", section("7.3")))


def test_outcomes_and_limits_are_those_of_the_spec():
    rows = [row for row in section("10").splitlines() if row.startswith("| `")]
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])} == receipt.OUTCOMES
    for number in (f"{envelope.MAX_BYTES:,}", f"{route.PLAIN_BYTES} bytes", f"{exchange.MAX_ENVELOPES} envelopes"):
        assert number in section("13")
