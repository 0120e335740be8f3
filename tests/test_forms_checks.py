"""Form checks: every problem is reported at once, in its cell, with advice."""

import re
from pathlib import Path

import openpyxl
import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st

import screening_forms
from screening_forms.checks.run import blocking_problems, check_form
from screening_forms.errors import FormError
from screening_forms.problems import ADVICE
from screening_forms.translators.po_files import merge_into_file
from screening_forms.workbook.reader import SHEETS, Workbook, parse_markdown, read_workbook
from screening_forms.workbook.resources import load_built_in

VOCABULARY = {"province": frozenset[str](), "sex": frozenset({"female", "male", "no_answer"})}
FORM = """
| survey |
| | type | name | label::Español (es) | hint::Español (es) | relevant | required | choice_filter | route |
| | select_one region | region | ¿En qué región están? | | | yes | | |
| | select_one distrito | distrito | ¿En qué distrito están? | | | yes | region=${region} | province |
| | select_one sexo | sexo | ¿Mujer u hombre? | | | | | sex |
| | begin_group | g_trabajo | Su trabajo | | ${sexo}='female' | | | |
| | select_one si_no | golpes | ¿Le pegan? | No pida detalles. | | | | |
| | integer | horas | ¿Cuántas horas trabaja? | | ${golpes}='yes' | | | |
| | end_group | | | | | | | |
| | begin_group | score | Al final | | | | | |
| | note | gracias | Gracias. | | | | | |
| | end_group | | | | | | | |
| choices |
| | list_name | name | label::Español (es) | region |
| | region | 17 | Madre de Dios | |
| | distrito | 170204 | | 17 |
| | sexo | female | Mujer | |
| | sexo | male | Hombre | |
| | sexo | no_answer | No contesta | |
| | si_no | yes | Sí | |
| | si_no | no | No | |
| | si_no | no_answer | No contesta | |
| | si_no | does_not_know | No sabe | |
| settings |
| | form_id | form_title | version | default_language | indicator_set | policy | profile | languages | omit_route | ubigeo_lists |
| | f | F | 1 | Español (es) | ilo_delphi_2009 | pe_adult_2026_1 | adult_labour | es | | distrito |
| indicators |
| | code | when | note |
| | D5.04 | ${golpes}='yes' | |
| | D4.01 | ${horas} > 12 | |
| | minor | ${sexo}='no_answer' | |
"""  # noqa: E501

Found = tuple[str, int, str, str]


def found(workbook: Workbook) -> set[Found]:
    return {(p.sheet, p.row, p.column, p.code) for p in check_form(workbook, VOCABULARY)}


BASE = found(parse_markdown(FORM))


def changed(old: str, new: str) -> set[Found]:
    assert FORM.count(old) >= 1, old
    return found(parse_markdown(FORM.replace(old, new, 1))) - BASE


def test_a_sound_form_has_no_blocking_problem() -> None:
    assert blocking_problems(check_form(parse_markdown(FORM), VOCABULARY)) == []


ES = "label::Español (es)"
LAST = "| si_no | does_not_know | No sabe |"
UNUSED = ("choices", 11, "list_name", "choice.unused_list")
UNKNOWN_PLACE = ("choices", 3, "name", "choice.unknown_place")
NO_PLACE = ("choices", 3, "name", "route.outside_vocabulary")
NEVER = ("survey", 7, "relevant", "expression.never")
REQUIRED_NOTE = ("survey", 10, "required", "question.required_note")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # The six most frequent mistakes.
        ("| ¿Le pegan? |", "| |", ("survey", 6, ES, "label.missing")),
        ("| si_no | yes | Sí |", "| si_no | yes | |", ("choices", 7, ES, "label.missing")),
        ("| relevant |", "| relevent |", ("survey", 1, "relevent", "column.unknown")),
        ("| f | F |", "| | F |", ("settings", 2, "form_id", "settings.missing")),
        ("| F | 1 |", "| F | |", ("settings", 2, "version", "settings.missing")),
        ("| D5.04 |", "| D5.40 |", ("indicators", 2, "code", "indicator.unknown")),
        ("integer | horas", "geopoint | horas", ("survey", 7, "type", "type.place")),
        ("| province |", "| provinse |", ("survey", 3, "route", "route.unknown_field")),
        ("| es | | distrito", "| es | sexx | distrito", ("settings", 2, "omit_route", "route.unknown_field")),
        # Types and metadata that would store a person's name, image, voice or location.
        *(
            ("integer | horas", f"{kind} | horas", ("survey", 7, "type", code))
            for kind, code in (
                ("image", "type.recording"),
                ("audio", "type.recording"),
                ("audit", "type.recording"),
                ("start-geopoint", "type.place"),
                ("deviceid", "type.identifies"),
                ("phonenumber", "type.identifies"),
                ("hidden", "type.forbidden"),
                ("decimal", "type.forbidden"),
                ("rank si_no", "type.no_refusal"),
                ("range", "type.no_refusal"),
                ("begin_repeat", "type.repeat"),
                ("begin repeat", "type.repeat"),
                ("csv-external", "type.from_file"),
                ("select_one_from_file a.csv", "type.from_file"),
                ("select_one", "choice.no_list"),
                ("select_one si_no or_other", "type.or_other"),
            )
        ),
        ("integer | horas", "text | horas", ("survey", 7, "reason", "type.text_without_reason")),
        ("| integer | horas", "| | horas", ("survey", 7, "type", "type.missing")),
        # Settings.
        ("| omit_route |", "| submission_url |", ("settings", 2, "submission_url", "settings.forbidden")),
        ("| omit_route |", "| public_key |", ("settings", 2, "public_key", "settings.forbidden")),
        ("| omit_route |", "| auto_send |", ("settings", 2, "auto_send", "settings.forbidden")),
        ("| omit_route |", "| omitroute |", ("settings", 1, "omitroute", "column.unknown")),
        ("| pe_adult_2026_1 |", "| pe_adult |", ("settings", 2, "policy", "settings.bad_value")),
        ("| ilo_delphi_2009 |", "| |", ("settings", 2, "indicator_set", "settings.missing")),
        ("| ilo_delphi_2009 |", "| ilo |", ("settings", 2, "indicator_set", "settings.bad_value")),
        ("| adult_labour |", "| adult |", ("settings", 2, "profile", "settings.bad_value")),
        ("| f | F |", "| F 1 | F |", ("settings", 2, "form_id", "settings.bad_value")),
        ("| adult_labour |", "| site |", ("settings", 2, "profile", "settings.profile_not_in_set")),
        ("| pe_adult_2026_1 |", "| pe_site_2026_1 |", ("settings", 2, "policy", "policy.not_of_this_set")),
        ("| es | |", "| es quy | |", ("settings", 2, "languages", "settings.bad_value")),
        # Columns.
        ("| code | when |", "| code | wenn |", ("indicators", 1, "wenn", "column.unknown")),
        (ES, "label::Quechua (quz)", ("survey", 1, "label::Quechua (quz)", "column.unknown_language")),
        (
            "| hint::Español (es) |",
            "| hint::English (en) |",
            ("survey", 1, "hint::English (en)", "column.unknown_language"),
        ),
        ("| hint::Español (es) |", "| relevant |", ("survey", 1, "relevant", "column.duplicate")),
        ("| type | name |", "| Type | name |", ("survey", 1, "Type", "column.wrong_case")),
        ("| list_name | name |", "| List Name | name |", ("choices", 1, "List Name", "column.wrong_case")),
        (ES, "LABEL::Español (es)", ("survey", 1, "LABEL::Español (es)", "column.wrong_case")),
        ("| hint::Español (es) |", "| media::image |", ("survey", 1, "media::image", "column.media")),
        # Names and groups.
        ("| horas |", "| golpes |", ("survey", 7, "name", "name.duplicate")),
        ("| horas |", "| |", ("survey", 7, "name", "name.missing")),
        ("| horas |", "| Horas |", ("survey", 7, "name", "name.bad")),
        ("| gracias |", "| outcome |", ("survey", 10, "name", "name.reserved")),
        ("| gracias |", "| meta |", ("survey", 10, "name", "name.reserved")),
        ("| gracias |", "| i_d5 |", ("survey", 10, "name", "name.reserved")),
        (
            "| | begin_group | g_trabajo | Su trabajo | | ${sexo}='female' | | | |\n",
            "",
            ("survey", 7, "type", "group.not_open"),
        ),
        ("| | end_group | | | | | | | |\n", "", ("survey", 5, "type", "group.not_closed")),
        ("| score |", "| final |", ("survey", 0, "name", "group.no_score")),
        (
            "| | end_group | | | | | | | |\n| | begin_group | score",
            "| | end_group | g_otro | | | | | | |\n| | begin_group | score",
            ("survey", 8, "name", "group.closes_another"),
        ),
        (
            "| | begin_group | score",
            "| | begin_group | vacio | Nada | | | | | |\n| | end_group | | | | | | | |\n| | begin_group | score",
            ("survey", 9, "type", "group.empty"),
        ),
        ("| note | gracias | Gracias. | | | |", "| note | gracias | Gracias. | | | yes |", REQUIRED_NOTE),
        # Choices.
        ("| sexo | female |", "| se'xo | female |", ("choices", 4, "list_name", "choice.bad_list")),
        (LAST, f"{LAST} |\n| | otra | a | A |", UNUSED),
        ("| sexo | male |", "| sexo | Female |", ("choices", 5, "name", "choice.case_twin")),
        ("region=${region}", "list_name=${region}", ("survey", 3, "choice_filter", "choice.filter_column")),
        ("region=${region}", "regon=${region}", ("survey", 3, "choice_filter", "choice.filter_column")),
        ("select_one si_no", "select_one sino", ("survey", 6, "type", "choice.unknown_list")),
        ("| sexo | male |", "| sexo | female |", ("choices", 5, "name", "choice.duplicate")),
        ("| distrito | 170204 |", "| distrito | 170299 |", ("choices", 3, "name", "choice.unknown_place")),
        ("| sexo | male |", "| sexo | ma le |", ("choices", 5, "name", "choice.bad_name")),
        ("| si_no | no_answer | No contesta | |\n", "", ("survey", 6, "type", "choice.not_refusable")),
        (
            "| ${golpes}='yes' | | | |",
            "| ${golpes}='yes' | yes | | |",
            ("survey", 7, "required", "question.not_refusable"),
        ),
        # Texts.
        ("Gracias.", " ".join(["palabra"] * 21) + ".", ("survey", 10, ES, "text.long_sentence")),
        ("No pida detalles.", "Vea https://x.pe", ("survey", 6, "hint::Español (es)", "text.link")),
        ("Gracias.", "Bien. " * 70, ("survey", 10, ES, "text.too_long")),
        *(
            ("Gracias.", text, ("survey", 10, ES, "text.markup"))
            for text in ("<b>Gracias</b>", "**Gracias**", "# Gracias", "[Gracias](aquí)", "Gracias&nbsp;")
        ),
        # Expressions and references.
        ("${golpes}='yes' | | | |", "${golpes}=‘yes’ | | | |", ("survey", 7, "relevant", "expression.curly_quotes")),
        ("${golpes}='yes' | | | |", "${golpes}=“yes” | | | |", ("survey", 7, "relevant", "expression.curly_quotes")),
        ("${golpes}='yes' | | | |", "now() > 1 | | | |", ("survey", 7, "relevant", "expression.function")),
        ("${sexo}='female'", "pulldata('a', 'b')='c'", ("survey", 5, "relevant", "expression.function")),
        ("${sexo}='female'", "instance('a')/b = 1", ("survey", 5, "relevant", "expression.function")),
        ("${sexo}='female'", "${golpes}='yes'", ("survey", 5, "relevant", "reference.forward")),
        ("${golpes}='yes' | | | |", "${horas}=1 | | | |", ("survey", 7, "relevant", "reference.forward")),
        ("${golpes}='yes' | | | |", "${outcome}='positive' | | | |", ("survey", 7, "relevant", "reference.forward")),
        ("${golpes}='yes' | | | |", "${golpes}='yes' and ${golpes}='no' | | | |", NEVER),
        ("${golpes}='yes' | | | |", "${golpes}='yes' and ${sexo}='male' | | | |", NEVER),
        ("${golpes}='yes' | | | |", "${golpes}='yes' or ${sexo}='male' | | | |", None),
        ("| ${horas} > 12 |", "| ${horas} > 12 and ${horas} < 13 |", ("indicators", 3, "when", "expression.never")),
        ("| ${horas} > 12 |", "| ${horas} > 12 and ${horas} < 14 |", None),
        ("${golpes}='yes' | | | |", "${golpe}='yes' | | | |", ("survey", 7, "relevant", "reference.unknown")),
        ("Gracias.", "Gracias, ${golpes}.", ("survey", 10, ES, "text.reference")),
        ("${golpes}='yes' | | | |", "${gracias}='OK' | | | |", ("survey", 7, "relevant", "reference.no_question")),
        ("${sexo}='female'", ". = 'female'", ("survey", 5, "relevant", "expression.misplaced")),
        ("${sexo}='female'", "sexo = 'female'", ("survey", 5, "relevant", "expression.misplaced")),
        ("integer | horas", "calculate | horas", ("survey", 7, "calculation", "question.no_calculation")),
        ("${sexo}='female'", "${sexo}", ("survey", 5, "relevant", "expression.bare_condition")),
        ("${sexo}='female'", "${sexo}='female' or 1", ("survey", 5, "relevant", "expression.bare_condition")),
        ("| yes | | |", "| si | | |", ("survey", 2, "required", "expression.bare_condition")),
        ("| ${horas} > 12 |", "| ${hora} > 12 |", ("indicators", 3, "when", "reference.unknown")),
        ("${sexo}='female'", "${sexo}='femal'", ("survey", 5, "relevant", "reference.unknown_choice")),
        ("| D5.04 | ${golpes}='yes'", "| D5.04 | ${golpes}!='no'", ("indicators", 2, "when", "when.negation")),
        ("${sexo}='female'", "'femal'=${sexo}", ("survey", 5, "relevant", "reference.unknown_choice")),
        ("${sexo}='female'", "concat(${sexo}, 'x')='femalex'", None),
        ("${sexo}='female'", "${sexo}='female", ("survey", 5, "relevant", "expression.syntax")),
        ("| D4.01 | ${horas} > 12 |", "| D4.01 | |", ("indicators", 3, "when", "indicator.no_when")),
        # The route.
        ("| sexo | male |", "| sexo | man |", ("choices", 5, "name", "route.outside_vocabulary")),
        ("| province |", "| sex |", ("survey", 4, "route", "route.duplicate")),
        ("| ${golpes}='yes' | | | |", "| ${golpes}='yes' | | | sex |", ("survey", 7, "route", "route.duplicate")),
        ("| ¿Mujer u hombre? | | | | | sex |", "| ¿Mujer u hombre? | | | | | |", None),
        # A place is a district, a province or a region; a region or province that INEI does not know reaches no desk.
        *(
            ("| distrito | 170204 |", f"| distrito | {code} |", None)
            for code in ("1702", "1700", "170000", "170200", "17")
        ),
        *(
            ("| distrito | 170204 | |", f"| distrito | {code} | Un lugar |", UNKNOWN_PLACE)
            for code in ("2601", "1709", "1799", "000000", "990101", "00")
        ),
        *(
            ("| distrito | 170204 | |", f"| distrito | {code} | Un lugar |", NO_PLACE)
            for code in ("801", "80101", "ZZ0000", "17020", "8", "otro", "١٧٠٢")
        ),
    ],
)
def test_each_mistake_is_reported_in_its_cell(old: str, new: str, problem: Found | None) -> None:
    problems = changed(old, new)
    assert problem in problems if problem else not problems


def test_a_free_text_question_needs_only_a_reason() -> None:
    with_reason = FORM.replace("| route |", "| route | reason |", 1).replace("integer | horas", "text | otro_lugar")
    with_reason = with_reason.replace("| ${golpes}='yes' | | | |", "| ${golpes}='yes' | | | | Solo hay lugares. |")
    with_reason = with_reason.replace("| | D4.01 | ${horas} > 12 | |\n", "")
    assert blocking_problems(check_form(parse_markdown(with_reason), VOCABULARY)) == []


def test_unreached_on_purpose_hides_indicators_but_never_facts() -> None:
    on_purpose = FORM.replace("| omit_route |", "| unreached_on_purpose |").replace("| es | |", "| es | yes |")
    told = check_form(parse_markdown(on_purpose), VOCABULARY)
    assert "indicator.unreached" not in {p.code for p in told}
    facts = [p.advice_es for p in told if p.code == "fact.missing"]
    assert [text.split("»")[0] for text in facts] == [
        f"falta la fila «{fact}" for fact in ("consent", "danger", "place")
    ]


def test_a_circular_calculation_is_reported_in_its_cell() -> None:
    form = FORM.replace("| route |", "| calculation |", 1).replace("| province |", "| |").replace("| | sex |", "| | |")
    rows = (
        "| | calculate | uno | | | {} | | | {} |\n| | calculate | dos | | | | | | ${{uno}} + 1 |\n| | integer | horas"
    )
    for relevant, formula, rows_told in (
        ("", "${dos} + 1", [7, 8]),
        ("${dos}=1", "1", [7, 8]),
        ("", "${horas} + 1", []),
    ):
        circle = form.replace("| | integer | horas", rows.format(relevant, formula))
        told = [p for p in check_form(parse_markdown(circle), VOCABULARY) if p.code == "expression.circle"]
        assert [p.row for p in told] == rows_told


@pytest.mark.parametrize(("appearance", "told"), [("minimal", 0), ("ex:com.other.app", 1), ("search('a')", 1)])
def test_an_appearance_that_starts_another_program_is_rejected(appearance: str, told: int) -> None:
    form = FORM.replace("| route |", "| appearance |", 1).replace("| province |", f"| {appearance} |")
    codes = [p.code for p in check_form(parse_markdown(form.replace("| | sex |", "| | |", 1)), VOCABULARY)]
    assert codes.count("question.appearance") == told


def test_a_form_has_exactly_one_consent_policy() -> None:
    form = FORM.replace("| omit_route |", "| consent_policy |")
    for policies, problems in (("duty_to_report", 0), ("duty_to_report person_decides", 1)):
        named = found(parse_markdown(form.replace("| es | |", f"| es | {policies} |")))
        assert (("settings", 2, "consent_policy", "settings.bad_value") in named) == problems


def test_a_missing_required_column_is_reported() -> None:
    without = FORM.replace("| | list_name | name | label::Español (es) | region |", "| | list_name | name | region |")
    assert ("choices", 1, "label", "column.missing") in found(parse_markdown(without.replace("| Madre de Dios ", "")))


def test_a_form_without_indicators_is_a_problem_and_not_a_negative_result() -> None:
    assert ("indicators", 0, "", "indicator.none") in found(parse_markdown(FORM.partition("| indicators |")[0]))


CELLS = [cell for cell in re.findall(r"(?<=\| )[^|\n]+(?= \|)", FORM) if cell not in SHEETS]


@given(
    st.sampled_from(CELLS), st.sampled_from([*CELLS, "", "(", "${", "${}", "select_one", "end_group", "'", "\\", "1"])
)
def test_strange_input_gives_problems_and_never_breaks_the_checks(old: str, new: str) -> None:
    try:
        problems = check_form(parse_markdown(FORM.replace(f"| {old} |", f"| {new} |", 1)), VOCABULARY)
    except FormError as error:
        problems = error.problems  # the reader rejects a workbook without settings or survey
    assert all(problem.advice_es and problem.advice_en and problem.code for problem in problems)


def test_only_choices_feed_the_route() -> None:
    without = FORM.replace("| | sex |", "| | |", 1)
    numbers = parse_markdown(without.replace("${golpes}='yes' | | | |", "${golpes}='yes' | | | sex |", 1))
    assert ("survey", 7, "route", "route.not_a_choice") in found(numbers)


def test_one_typing_error_gives_one_problem() -> None:
    assert changed("| relevant |", "| relevent |") == {("survey", 1, "relevent", "column.unknown")}
    assert changed("label::Español (es)", "lable::Español (es)") == {
        ("survey", 1, "lable::Español (es)", "column.unknown")
    }


def test_the_nearest_right_name_is_suggested_in_both_languages() -> None:
    for old, new, right in (
        ("| relevant |", "| relevent |", "relevant"),
        ("| D5.04 |", "| d5.04 |", "D5.04"),
        ("integer | horas", "interger | horas", "integer"),
        ("| province |", "| provinse |", "province"),
        ("${horas} > 12", "${oras} > 12", "horas"),
    ):
        problems = blocking_problems(check_form(parse_markdown(FORM.replace(old, new, 1)), VOCABULARY))
        assert f"¿quiso decir «{right}»?" in problems[0].advice_es
        assert f"did you mean '{right}'?" in problems[0].advice_en


def test_all_problems_are_reported_at_once_in_the_order_of_the_sheets() -> None:
    wrong = FORM.replace("¿Le pegan?", "").replace("| f | F | 1 |", "| | F | |").replace("D5.04", "D9.99")
    wrong = wrong.replace("integer | horas", "geopoint | horas").replace("| province |", "| provinse |")
    codes = [p.code for p in blocking_problems(check_form(parse_markdown(wrong), VOCABULARY))]
    assert codes == [
        "route.unknown_field",
        "label.missing",
        "type.place",
        "settings.missing",
        "settings.missing",
        "indicator.unknown",
    ]


def test_row_numbers_are_those_of_the_spreadsheet(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for table in re.split(r"\n(?=\| \w+ \|\n)", FORM.strip().replace("integer | horas", "geopoint | horas")):
        lines = [line.strip().strip("|").split("|") for line in table.strip().splitlines()]
        sheet = book.create_sheet(lines[0][0].strip())
        for line in lines[1:]:
            sheet.append([cell.strip() for cell in line[1:]])
    book.save(tmp_path / "f.xlsx")
    assert ("survey", 7, "type", "type.place") in found(read_workbook(tmp_path / "f.xlsx"))


def test_what_a_form_for_training_may_lack_is_reported_and_does_not_stop_it() -> None:
    found = check_form(parse_markdown(FORM), VOCABULARY)
    problems = {p.code: p for p in found}
    assert set(problems) == {
        *("case.none", "fact.missing", "indicator.unreached", "policy.guidance_missing", "question.unbounded"),
        *("method.no_age", "method.no_consent", "method.no_referral_consent"),
        *("policy.superseded", "indicator_set.superseded"),
    }
    assert blocking_problems(found) == []
    assert blocking_problems(found, "field") == found
    assert "D1.01" in problems["indicator.unreached"].advice_es
    assert "D5.04" not in problems["indicator.unreached"].advice_es


def test_a_text_missing_in_one_language_is_reported(tmp_path: Path) -> None:
    workbook = parse_markdown(FORM.replace("| es | |", "| es quz | |"))
    assert "translation.none" in {p.code for p in check_form(workbook, VOCABULARY, resources=load_built_in(tmp_path))}
    merge_into_file(workbook, "quz", tmp_path)
    path = tmp_path / "quz" / "LC_MESSAGES" / "forms.po"
    po = polib.pofile(str(path))
    texts = {"f/golpes/label": "¿Maqasunkichu?", "f/horas/label": "qolqe"}
    for entry in po:
        entry.msgstr = texts.get(entry.msgctxt, "" if entry.msgctxt == "f/golpes/hint" else "ari")
    po.save()
    found = check_form(workbook, VOCABULARY, resources=load_built_in(tmp_path))
    problems = [p for p in found if p.code.startswith("translation")]
    assert [(p.sheet, p.row, p.column, p.code) for p in problems] == [
        ("survey", 6, "hint::Runasimi (quz)", "translation.missing"),
        ("survey", 7, "label::Runasimi (quz)", "translation.spelling"),
    ]
    assert blocking_problems(problems) == []


def test_a_translation_of_another_spanish_text_is_reported(tmp_path: Path) -> None:
    workbook = parse_markdown(FORM.replace("| es | |", "| es quz | |"))
    merge_into_file(workbook, "quz", tmp_path)
    path = tmp_path / "quz" / "LC_MESSAGES" / "forms.po"
    po = polib.pofile(str(path))
    for entry in po:
        entry.msgstr = "ari"
        if entry.msgctxt == "f/horas/label":
            entry.msgid = "¿Y antes?"
    po.save()
    found = check_form(workbook, VOCABULARY, resources=load_built_in(tmp_path))
    problems = [p for p in found if p.code.startswith("translation")]
    assert [(p.sheet, p.row, p.code) for p in problems] == [("survey", 7, "translation.stale")]


def test_every_code_has_advice_in_both_languages_and_every_advice_is_used() -> None:
    sources = {str(path): path.read_text("utf-8") for path in Path(screening_forms.__file__).parent.rglob("*.py")}
    given = {
        code for text in sources.values() for code in re.findall(r'(?<![.\w])problem\(\s*"([a-z]+\.[a-z_]+)"', text)
    }
    elsewhere = "".join(sources.values())
    assert given <= set(ADVICE)
    assert [code for code in ADVICE if f'"{code}"' not in elsewhere] == []
    assert all(es and en and es != en for es, en in ADVICE.values())


def test_every_code_of_a_form_has_its_own_test() -> None:
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    of_languages = (
        "translation.",
        "audio.",
    )  # counted by their status: test_forms_translations.py, test_forms_recordings.py
    assert [code for code in ADVICE if f'"{code}"' not in tests and not code.startswith(of_languages)] == []
