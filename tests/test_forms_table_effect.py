"""New versions of indicator sets and policies: the rules for them, and their effect on forms."""

from __future__ import annotations

import csv
import io

import openpyxl
import pytest

from screening_forms.checks.table_versions import (
    MOST_BYTES,
    MOST_ROWS,
    previous_version,
    read_table_text,
    version_problems,
)
from screening_forms.errors import FormError
from screening_forms.impact.table_effect import effect_on_forms, forms_using, table_changes, with_table
from screening_forms.sandbox import client as sandbox
from screening_forms.sandbox.tasks import CheckTable, FindTableEffects, KnownTables, ReplaceTable
from screening_forms.workbook.editor import add_row
from screening_forms.workbook.package import Package, pack_package, parse_package
from screening_forms.workbook.reader import parse_markdown, parse_workbook
from screening_forms.workbook.resources import BUILT_IN, Resources
from support.forms import SMALL
from sync.envelope.route import AUTHOR_FIELDS

SET, POLICY = BUILT_IN.indicator_sets["ilo_delphi_2009"], BUILT_IN.policies["pe_adult_2026_1"]
NEXT_SET, NEXT_POLICY = "ilo_delphi_2027_1", "pe_adult_2027_1"


def codes(kind: str, name: str, text: str, earlier: Resources = BUILT_IN) -> list[str]:
    return [each.code for each in version_problems(kind, name, text, earlier, year=2026)]


def edited(text: str, code: str, **cells: str) -> str:
    """Return the set with some cells of one indicator changed."""
    rows = list(csv.DictReader(io.StringIO(text)))
    changed = [{**row, **cells} if row["code"] == code else row for row in rows]
    assert changed != rows
    written = io.StringIO()
    table = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(changed)
    return written.getvalue()


def with_column(text: str, column: str, code: str, cell: str) -> str:
    """Return the set with one more column, filled in for one indicator."""
    heading, *lines = text.splitlines()
    rows = [f"{line},{cell if line.startswith(f'{code},') else ''}" for line in lines]
    return "\n".join([f"{heading},{column}", *rows])


# The rules


def test_a_valid_table_has_no_problem() -> None:
    assert codes("set", NEXT_SET, edited(SET, "D5.03", adult_labour="M")) == []
    assert codes("policy", NEXT_POLICY, POLICY.replace("outcome,D4,labour_rights", "outcome,D4,review")) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("my_set", "indicator_set.bad_name"),
        ("ilo_delphi_2009", "indicator_set.name_used"),
        ("ilo_delphi_2008_1", "indicator_set.not_newer"),
        ("ilo_delphi_2028_1", "indicator_set.skips"),
        ("ilo_delphi_2027_2", "indicator_set.skips"),
        ("ilo_delphi_2999_999", "indicator_set.skips"),
    ],
)
def test_a_table_never_changes_under_its_name(name: str, code: str) -> None:
    assert codes("set", name, edited(SET, "D5.03", adult_labour="M")) == [code]
    assert codes("set", "ilo_delphi_2009", SET) == [], "the same table again"


def test_a_family_always_has_a_next_number() -> None:
    known = Resources({NEXT_SET: SET}).with_fallback(BUILT_IN)
    for name in ("ilo_delphi_2027_2", "new_family_2026_1", "new_family_2026"):
        assert codes("set", name, SET, known) == []
    assert codes("set", "new_family_2026_2", SET, known) == ["indicator_set.skips"]
    assert version_problems("set", "new_family_2026_2", SET, known) == [], (
        "an author's machine knows not what came before"
    )


def test_a_table_that_is_too_large_is_rejected() -> None:
    (problem,) = version_problems("set", NEXT_SET, SET + "x" * MOST_BYTES, BUILT_IN, year=2026)
    assert problem.code == "indicator_set.too_large"
    assert codes("policy", NEXT_POLICY, POLICY + "\n" * MOST_ROWS) == ["policy.too_large"]


def test_an_old_unreadable_table_does_not_block_its_family() -> None:
    known = Resources({"ilo_delphi_2026_9": SET.replace("code,", "kode,", 1)}).with_fallback(BUILT_IN)
    assert codes("set", NEXT_SET, SET, known) == []
    assert table_changes("set", "ilo_delphi_2026_9", known.indicator_sets["ilo_delphi_2026_9"], NEXT_SET, SET) == []


def test_a_code_keeps_its_words_unless_the_author_says_that_they_mean_the_same() -> None:
    reworded = edited(SET, "D1.02", label_es="Engañada sobre el trabajo")
    (problem,) = version_problems("set", NEXT_SET, reworded, BUILT_IN)
    assert (problem.code, problem.row, problem.column) == ("indicator_set.code_reused", 3, "code")
    assert "same_meaning" in problem.advice_es
    assert "ilo_delphi_2009" in problem.advice_en or "pe_sexual_2026_2" in problem.advice_en
    assert codes("set", NEXT_SET, with_column(reworded, "same_meaning", "D1.02", "yes")) == []
    assert codes("set", NEXT_SET, with_column(reworded, "same_meaning", "D1.02", "no")) == ["indicator_set.code_reused"]
    assert "indicator_set.bad_same_meaning" in codes("set", NEXT_SET, with_column(SET, "same_meaning", "D1.02", "sure"))


def test_a_code_of_any_other_set_is_used_up_as_well() -> None:
    other = Resources({"other_2026_1": edited(SET, "D1.02", label_es="Otra cosa", label_en="Something else")})
    taken = edited(SET, "D1.02", label_es="Engañada", label_en="Deceived")
    (problem,) = version_problems("set", NEXT_SET, taken, other)
    assert "other_2026_1" in problem.advice_en


def test_a_label_once_marked_as_the_same_meaning_may_return() -> None:
    reworded = edited(SET, "D1.02", label_es="Engañada sobre el trabajo")
    known = Resources({NEXT_SET: with_column(reworded, "same_meaning", "D1.02", "yes")}).with_fallback(BUILT_IN)
    assert codes("set", "ilo_delphi_2027_2", SET, known) == []


def test_another_sign_is_another_meaning_even_with_same_meaning_yes() -> None:
    forced = BUILT_IN.indicator_sets["ilo_hard_to_see_2012"]
    rows = [line for line in forced.splitlines() if "involuntariness" in line]
    code = rows[0].split(",")[0]
    turned = forced.replace(rows[0], rows[0].replace("involuntariness", "penalty"))
    said = with_column(turned, "same_meaning", code, "yes")
    assert codes("set", "ilo_hard_to_see_2027_1", said) == ["indicator_set.code_reused"]


def test_a_row_without_source_or_provenance_is_rejected() -> None:
    assert codes("policy", NEXT_POLICY, POLICY.replace(",one source\n", ",\n", 1)) == ["policy.empty"]


def test_a_table_may_be_a_sheet_of_a_workbook() -> None:
    book = openpyxl.Workbook()
    for number, line in enumerate(POLICY.splitlines()):
        if number == 0:
            book.active.title = "policy"
        book.active.append(line.split(","))
    book.create_sheet("notes").append(["mine"])
    written = io.BytesIO()
    book.save(written)
    text = read_table_text(written.getvalue(), "pe_adult_2027_1.xlsx", "policy")
    assert text == POLICY
    with pytest.raises(FormError) as refused:
        read_table_text(written.getvalue(), "x.xlsx", "set")
    assert refused.value.problems[0].code == "indicator_set.no_sheet"


# The effect on forms


def test_changed_rows_are_described_in_words() -> None:
    text = edited(SET, "D5.03", adult_labour="M")
    assert previous_version("set", NEXT_SET, BUILT_IN) == "ilo_delphi_2026_1"
    name, weaker = table_changes("set", "ilo_delphi_2009", SET, NEXT_SET, text)
    assert name.code == "set.name"
    assert weaker.en.endswith("strong -> medium for adult_labour")


def small(content: bytes = SMALL.encode(), name: str = "form.md") -> Package:
    return parse_package(content, name)


def test_forms_of_the_family_are_compiled_with_the_table_and_compared() -> None:
    policy = POLICY.replace("outcome,D4,labour_rights,T3", "outcome,D4,review,T4")
    packages = {"small": small(), "child": small(SMALL.replace("pe_adult_2026_1", "pe_child_2026_1").encode())}
    assert forms_using("policy", NEXT_POLICY, packages) == ["small"]
    told: list[tuple[int, int]] = []
    (found,) = effect_on_forms(
        "policy",
        NEXT_POLICY,
        policy,
        packages,
        route_vocabulary=AUTHOR_FIELDS,
        count=150,
        progress=lambda done, of: told.append((done, of)),
    )
    assert (found.form_id, found.former, found.problems) == ("small", "pe_adult_2026_1", ())
    assert {each.code for each in found.changes} >= {"policy.name", "policy.row_changed"}
    assert found.impact is not None
    assert {pair for pair in found.impact.outcomes if pair[0] != pair[1]} == {("labour_rights", "review")}
    assert told[-1][0] == told[-1][1]
    assert found.as_dict()["impact"]["moved_outcomes"] > 0


def test_a_form_that_the_table_breaks_is_listed_with_its_problems() -> None:
    without = "\n".join(line for line in SET.splitlines() if not line.startswith("D5.14,"))
    (found,) = effect_on_forms("set", NEXT_SET, without, {"small": small()}, route_vocabulary=AUTHOR_FIELDS, count=10)
    assert found.impact is None
    assert "D5.14" in " ".join(problem.advice_en for problem in found.problems)


# Writing into an author's workbook


def test_a_new_draft_has_the_table_in_its_settings_and_no_other_change() -> None:
    found = with_table(small(), "policy", NEXT_POLICY, POLICY, version="2")
    before, after = SMALL.splitlines(), found.content.decode().splitlines()
    differing = [line for line in after if line not in before]
    assert len(differing) <= 2
    assert (found.workbook.settings["policy"], found.workbook.settings["version"]) == (NEXT_POLICY, "2")
    assert parse_package(pack_package(found)).resources.policies[NEXT_POLICY] == POLICY


def test_an_excel_workbook_gets_the_table_in_its_settings_too() -> None:
    book = openpyxl.Workbook()
    for sheet in ("survey", "choices", "settings", "indicators"):
        parsed = getattr(parse_markdown(SMALL), sheet)
        rows = [parsed] if sheet == "settings" else [row.cells for row in parsed]
        headings = list(dict.fromkeys(heading for row in rows for heading in row))
        made = book.create_sheet(sheet)
        made.append(headings)
        for row in rows:
            made.append([row.get(heading, "") for heading in headings])
    written = io.BytesIO()
    book.save(written)
    found = with_table(small(written.getvalue(), "form.xlsx"), "policy", NEXT_POLICY, POLICY)
    assert found.workbook.settings["policy"] == NEXT_POLICY
    assert len(found.workbook.survey) == len(parse_markdown(SMALL).survey)
    added = add_row(found.content, "form.xlsx", "cases", {"case": "one", "peligro": "yes"})
    again = add_row(added, "form.xlsx", "cases", {"case": "two", "edad": "14_17"})
    assert [row.cells for row in parse_workbook(again, "form.xlsx").cases] == [
        {"case": "one", "peligro": "yes"},
        {"case": "two", "edad": "14_17"},
    ]


def test_the_sandbox_checks_compares_and_replaces_tables() -> None:
    book = openpyxl.Workbook()
    for line in POLICY.replace("outcome,D4,labour_rights", "outcome,D4,review").splitlines():
        book.active.append(line.split(","))
    written = io.BytesIO()
    book.save(written)
    known = KnownTables({}, {}, 2026)
    read = sandbox.run(CheckTable(written.getvalue(), "policy", NEXT_POLICY, f"{NEXT_POLICY}.xlsx", known))
    assert (read.problems, read.former) == ([], "pe_adult_2026_2")
    assert read.changes[-1]["code"] == "policy.row_changed"
    vocabulary = {name: sorted(codes) for name, codes in AUTHOR_FIELDS.items()}
    sources = {"small": pack_package(small())}
    request = FindTableEffects(read.text.encode(), "policy", NEXT_POLICY, sources, 50, vocabulary)
    (found,) = sandbox.run(request).effects
    assert found["impact"]["made_up"] == 50
    renewed = sandbox.run(ReplaceTable(sources["small"], "policy", NEXT_POLICY, read.text, "2"))
    assert parse_package(renewed.source).workbook.settings["policy"] == NEXT_POLICY
