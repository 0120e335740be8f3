"""What a form author can get wrong: one function per thing, all problems at once, each in its cell.

The compiler and `forms check` call `check`; it changes nothing and stops at nothing. What is allowed is in
whitelist.py, codes and advice are in advice.py.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from screening_forms import places, translations
from screening_forms.advice import NOT_BLOCKING, problem, suggest
from screening_forms.calculates import FACTS
from screening_forms.cases import check_cases
from screening_forms.engine import RESULTS
from screening_forms.errors import FormError, FormProblem
from screening_forms.expressions import (
    COMPARISONS,
    NO_ANSWERS,
    ExpressionError,
    Token,
    comparisons,
    parse,
    parse_when,
    parts,
)
from screening_forms.indicators import PROFILES
from screening_forms.language_checks import check_recordings, check_translations
from screening_forms.languages import LANGUAGES, SOURCE
from screening_forms.policy import CONSENT_POLICIES
from screening_forms.shelf import SHIPPED, Shelf
from screening_forms.subject import RouteVocabulary, Subject
from screening_forms.translations import PARTS, PLACEHOLDER, cell, tag
from screening_forms.whitelist import (
    COLUMNS,
    FORBIDDEN_SETTINGS,
    GROUPS,
    HOMES,
    NEEDED,
    NEEDED_SETTINGS,
    NOT_LISTED,
    SELECTS,
    TEXTUAL,
    TYPES,
    UNANSWERED,
    WHY_FORBIDDEN,
    YES_NO,
)
from screening_forms.workbook import SHEETS, Row, Workbook

GIVEN = frozenset({*RESULTS, "consent_policy"})  # nodes that the compiler adds: conditions and texts may use them
MAX_WORDS = 20

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CHOICE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OUR_NAME = re.compile(r"[cdfipu]_.*")  # the prefixes of calculates.py
_FORM_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LINK = re.compile(r"https?:|www\.", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…](?:\s+|$)|\n+")
_WORD = re.compile(r"[^\W_]+(?:[’'.,-][^\W_]+)*")


def check(workbook: Workbook, route_vocabulary: RouteVocabulary, *, shelf: Shelf = SHIPPED) -> list[FormProblem]:
    """Find every problem of a form, in the order of its sheets and rows.

    `route_vocabulary`: the codes that a question may feed into each route field; no codes stand for the first four
    digits of a district code (sync.route.AUTHOR_FIELDS).
    """
    subject = Subject(workbook, route_vocabulary, shelf)
    problems = {found for function in CHECKS for found in function(subject)}
    return sorted(problems, key=lambda p: (SHEETS.index(p.sheet), p.row, p.column, p.code, p.advice_es))


def blocking(problems: list[FormProblem], channel: str = "training") -> list[FormProblem]:
    """Those that no form may be compiled with for a channel: people in the field get no form without cases."""
    passed = NOT_BLOCKING if channel == "field" else (*NOT_BLOCKING, "case.none")
    return [found for found in problems if not found.code.startswith(passed)]


def check_settings(subject: Subject) -> Iterator[FormProblem]:
    """form_id, version and the tables the form rests on are there, and name what exists."""
    one_of: Mapping[str, Collection[str]] = {
        "default_language": (LANGUAGES[SOURCE],),
        "indicator_set": sorted(subject.shelf.indicator_sets),
        "policy": sorted(subject.shelf.policies),
        "profile": PROFILES,
        "consent_policy": CONSENT_POLICIES,
    }
    some_of: Mapping[str, Collection[str]] = {"languages": LANGUAGES, "ubigeo_lists": subject.lists}
    row, settings = subject.settings, subject.workbook.settings
    for name in NEEDED_SETTINGS:
        if not settings.get(name):
            yield problem("settings.missing", row, name, name)
    if settings.get("form_id") and not _FORM_ID.fullmatch(settings["form_id"]):
        yield problem("settings.bad_value", row, "form_id", settings["form_id"], "a-z 0-9 _ (40)")
    given = [(name, settings[name], values) for name, values in one_of.items() if name in settings]
    given += [(name, value, some_of[name]) for name in some_of for value in settings.get(name, "").split()]
    for name, value, values in given:
        if value not in values:
            yield problem("settings.bad_value", row, name, value, ", ".join(values))


def check_forbidden_settings(subject: Subject) -> Iterator[FormProblem]:
    """A form may not choose where answers go: that is the envelope's business."""
    for name in subject.workbook.headings.get("settings", ()):
        if name.partition("::")[0] in FORBIDDEN_SETTINGS:
            yield problem("settings.forbidden", subject.settings, name, name)


def check_columns(subject: Subject) -> Iterator[FormProblem]:
    """pyxform ignores a column that it does not know: a misspelt `relevent` would ask everybody everything."""
    filters = " ".join(row.get("choice_filter") for row in subject.workbook.survey)
    for sheet, headings in subject.workbook.headings.items():
        heading_row = Row(sheet, 1, {})
        known = {*COLUMNS[sheet], *(FORBIDDEN_SETTINGS if sheet == "settings" else ())}
        if sheet == "choices":
            known.update(re.findall(r"\w+", filters))
        if sheet == "cases":
            known.update(headings)  # `check_cases` speaks of those that are no question
        for heading in headings:
            base = heading.partition("::")[0]
            if base not in known:
                yield problem("column.unknown", heading_row, heading, heading, **suggest(base, known))
            elif base in PARTS and tag(heading) not in (SOURCE, *translations.languages(subject.workbook)):
                languages = subject.workbook.settings.get("languages") or SOURCE
                yield problem("column.unknown_language", heading_row, heading, heading, languages)
        for heading in dict.fromkeys(heading for heading in headings if headings.count(heading) > 1):
            yield problem("column.duplicate", heading_row, heading, heading)
        bases = {heading.partition("::")[0] for heading in headings}
        if bases <= known:  # else the misspelt one is likely the missing one
            for needed in NEEDED.get(sheet, ()):
                if needed not in bases:
                    yield problem("column.missing", heading_row, needed, needed)


def check_types(subject: Subject) -> Iterator[FormProblem]:
    """Only questions that cannot name, show, hear or locate anybody."""
    for row in subject.workbook.survey:
        given = row.get("type")
        kind, _, rest = given.partition(" ")
        plain = kind in TYPES and (len(rest.split()) == 1 if kind in SELECTS else not rest)
        if not given:
            yield problem("type.missing", row, "type")
        elif given not in GROUPS and not plain:
            why_es, why_en = WHY_FORBIDDEN.get(kind, NOT_LISTED)
            hint = suggest(kind, {*TYPES, *GROUPS} - {kind}) if kind not in WHY_FORBIDDEN else suggest("", ())
            yield problem("type.forbidden", row, "type", given, why_es=why_es, why_en=why_en, **hint)
        elif kind == "calculate" and not row.get("calculation"):
            yield problem("question.no_calculation", row, "calculation")
        elif kind in SELECTS and rest not in subject.lists:
            yield problem("choice.unknown_list", row, "type", rest, **suggest(rest, subject.lists))


def check_names(subject: Subject) -> Iterator[FormProblem]:
    """Every question has a name of its own, and none of the compiler's."""
    seen: dict[str, int] = {}
    for row in subject.workbook.survey:
        name = row.get("name")
        if row.get("type") in ("end_group", "end group"):
            continue
        if not name:
            yield problem("name.missing", row, "name")
        elif name in GIVEN or _OUR_NAME.fullmatch(name):
            yield problem("name.reserved", row, "name", name)
        elif name in seen:
            yield problem("name.duplicate", row, "name", name, seen[name])
        elif not _NAME.fullmatch(name):
            yield problem("name.bad", row, "name", name)
        seen.setdefault(name, row.number)


def check_groups(subject: Subject) -> Iterator[FormProblem]:
    """Groups close as they opened, and one is named `score`: that is where the outcome is written."""
    opened: list[Row] = []
    for row in subject.workbook.survey:
        kind = row.get("type").replace(" ", "_")
        if kind == "begin_group":
            opened.append(row)
        elif kind == "end_group" and not opened:
            yield problem("group.not_open", row, "type")
        elif kind == "end_group":
            opened.pop()
    yield from (problem("group.not_closed", row, "type", row.get("name")) for row in opened)
    score = subject.questions.get("score")
    if score is None or score.get("type").replace(" ", "_") != "begin_group":
        yield problem("group.no_score", Row("survey", 0, {}), "name")


def check_choices(subject: Subject) -> Iterator[FormProblem]:
    """Every choice has a name of its own in its list."""
    for rows in subject.lists.values():
        seen: dict[str, int] = {}
        for row in rows:
            name = row.get("name")
            if not name or not row.get("list_name"):
                yield problem("name.missing", row, "name" if not name else "list_name")
            elif name in seen:
                yield problem("choice.duplicate", row, "name", name, seen[name])
            elif not _CHOICE_NAME.fullmatch(name):
                yield problem("choice.bad_name", row, "name", name)
            seen.setdefault(name, row.number)


def check_spanish(subject: Subject) -> Iterator[FormProblem]:
    """Whatever is shown has a Spanish text, the source of all others; INEI's names stand in for places."""
    named_by_inei = subject.workbook.settings.get("ubigeo_lists", "").split()
    asked = [row for row in subject.workbook.survey if row.get("type").partition(" ")[0] in TEXTUAL]
    for row in (*asked, *subject.workbook.choices):
        headings = [h for h in subject.workbook.headings[row.sheet] if h.partition("::")[0] == "label"]
        if not headings or cell(row, "label", SOURCE):
            continue  # `check_columns` speaks of a missing column once, not in every row
        if row.get("list_name") not in named_by_inei:
            column = next((heading for heading in headings if tag(heading) == SOURCE), f"label::{LANGUAGES[SOURCE]}")
            yield problem("label.missing", row, column)
        elif not places.name(row.get("name")):
            yield problem("choice.unknown_place", row, "name", row.get("name"))


def check_sentences(subject: Subject) -> Iterator[FormProblem]:
    """Read aloud to a tired person: no Spanish sentence over 20 words."""
    for row, column, text in subject.texts():
        if tag(column) == SOURCE:
            counts = (len(_WORD.findall(PLACEHOLDER.sub("x", s))) for s in _SENTENCE_END.split(text))
            if (longest := max(counts)) > MAX_WORDS:
                yield problem("text.long_sentence", row, column, longest)


def check_links(subject: Subject) -> Iterator[FormProblem]:
    """A link would take the person off the form, or tell another server about her; a text is the same for everybody."""
    for row, column, text in subject.texts():
        if _LINK.search(text):
            yield problem("text.link", row, column)
        if PLACEHOLDER.search(text):
            yield problem("text.reference", row, column)


def check_references(subject: Subject) -> Iterator[FormProblem]:
    """Every `${question}` exists, and what it is compared with is one of its choices."""
    known = {*subject.questions, *GIVEN}
    for row, column, text in subject.expressions():
        for name in dict.fromkeys(PLACEHOLDER.findall(text)):
            if name not in known:
                yield problem("reference.unknown", row, column, name, **suggest(name, known))
            elif name not in GIVEN and subject.questions[name].get("type") in UNANSWERED:
                yield problem("reference.no_question", row, column, name)
        for name, chosen in _compared(text):
            choices = {choice.get("name") for choice in subject.choices_of(subject.questions.get(name, row))}
            if name in subject.questions and choices and chosen and chosen not in choices:
                yield problem("reference.unknown_choice", row, column, chosen, name, **suggest(chosen, choices))


def _compared(text: str) -> list[tuple[str, str]]:
    try:
        return list(comparisons(parse(text)))
    except ExpressionError:
        return []  # `check_expressions` speaks of it


def check_expressions(subject: Subject) -> Iterator[FormProblem]:
    """Every expression is in the small language that all our engines read alike."""
    for row, column, text in subject.expressions():
        try:
            if column == "when":
                parse_when(row, fact=row.get("code") in FACTS)
            elif column != "required" or text not in YES_NO:
                token = parse(text)
                if column != "calculation" and not _is_condition(token):
                    yield problem("expression.bare_condition", row, column, text)
                if any(HOMES.get(part.symbol, column) != column for part in parts(token)):
                    yield problem("expression.misplaced", row, column, text)
        except FormError as error:
            yield from error.problems
        except ExpressionError as error:
            yield error.at(row, column)


def _is_condition(token: Token) -> bool:
    """Whether it is made of comparisons alone: engines differ on which other values are true."""
    if token.symbol in ("and", "or", "(", "not"):
        return all(_is_condition(part) for part in token)
    return token.symbol in (*COMPARISONS, "true", "false", "selected")


def check_indicators(subject: Subject) -> Iterator[FormProblem]:
    """Every row of the sheet `indicators` names an indicator of the set, or a fact, and says when."""
    if not subject.workbook.indicators:
        yield problem("indicator.none", Row("indicators", 0, {}), "")
    if not subject.indicator_set:
        return
    known = {*subject.indicator_set.indicators, *FACTS}
    for row in subject.workbook.indicators:
        code = row.get("code")
        if code not in known:
            near = suggest(code.upper(), known)
            yield problem("indicator.unknown", row, "code", code, subject.indicator_set.name, **near)
        if not row.get("when"):
            yield problem("indicator.no_when", row, "when")


def check_reach(subject: Subject) -> Iterator[FormProblem]:
    """Every indicator of the profile, and every fact, can be found by some row."""
    profile = subject.workbook.settings.get("profile", "")
    if not subject.indicator_set or profile not in PROFILES:
        return
    reached = {row.get("code") for row in subject.workbook.indicators}
    missing = [code for code in (*subject.indicator_set.used(profile), *sorted(FACTS)) if code not in reached]
    if missing:
        yield problem("indicator.unreached", Row("indicators", 0, {}), "code", ", ".join(missing))


def check_refusable(subject: Subject) -> Iterator[FormProblem]:
    """A question that scores can be refused, so that silence is never a yes or a no."""
    scoring = [row for row in subject.workbook.indicators if row.get("code") not in FACTS]
    for name in dict.fromkeys(name for row in scoring for name in PLACEHOLDER.findall(row.get("when"))):
        row = subject.questions.get(name)
        if row is None:
            continue
        if YES_NO.get(row.get("required"), True):
            yield problem("question.not_refusable", row, "required")
        choices = {choice.get("name") for choice in subject.choices_of(row)}
        lacking = [code for code in NO_ANSWERS if code not in choices]
        if choices and lacking:
            yield problem("choice.not_refusable", row, "type", row.get("type").split()[1], ", ".join(lacking))


def check_guidance(subject: Subject) -> Iterator[FormProblem]:
    """The note that a policy row shows to the interviewer exists."""
    for row in subject.policy.step("referral") if subject.policy else ():
        if row.guidance not in subject.questions and subject.policy:
            yield problem("policy.guidance_missing", Row("survey", 0, {}), "name", row.guidance, subject.policy.name)


def check_route(subject: Subject) -> Iterator[FormProblem]:
    """The route is what a server may read: closed fields, closed codes, nothing else."""
    vocabulary = subject.route_vocabulary
    for field in subject.workbook.settings.get("omit_route", "").split():
        if field not in vocabulary:
            yield problem("route.unknown_field", subject.settings, "omit_route", field, **suggest(field, vocabulary))
    seen: dict[str, int] = {}
    for row in subject.workbook.survey:
        field = row.get("route")
        if not field:
            continue
        if field not in vocabulary:
            yield problem("route.unknown_field", row, "route", field, **suggest(field, vocabulary))
        elif field in seen:
            yield problem("route.duplicate", row, "route", field, seen[field])
        elif not row.get("type").startswith("select_one "):
            yield problem("route.not_a_choice", row, "route", field)
        else:
            yield from _route_choices(subject, row, field)
        seen.setdefault(field, row.number)


def _route_choices(subject: Subject, row: Row, field: str) -> Iterator[FormProblem]:
    codes = subject.route_vocabulary[field]
    for choice in subject.choices_of(row):
        name = choice.get("name")
        if name not in codes if codes else not re.fullmatch(r"\d{6}|[A-Z]{2}0000|\d{2}0000", name):
            yield problem("route.outside_vocabulary", choice, "name", name, field, **suggest(name, codes))


CHECKS: tuple[Callable[[Subject], Iterator[FormProblem]], ...] = (
    check_settings,
    check_forbidden_settings,
    check_columns,
    check_types,
    check_names,
    check_groups,
    check_choices,
    check_spanish,
    check_sentences,
    check_links,
    check_references,
    check_expressions,
    check_indicators,
    check_reach,
    check_refusable,
    check_guidance,
    check_route,
    check_cases,
    check_translations,
    check_recordings,
)
