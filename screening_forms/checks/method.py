"""Checks that a form of persons does no harm: danger, gate and consent come first. Called by `run.py`.

Source: WHO ethical and safety recommendations for interviewing trafficked women (2003). docs/do_no_harm.md shows which
check holds which rule. The problems block a form for the channel `field` only, so that authors can try unfinished ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from screening_forms.checks.context import CheckContext
from screening_forms.checks.persons import CONSENT, TOPIC_ROWS, PersonsForm, asks_persons
from screening_forms.checks.spanish_words import ACCUSING_QUESTIONS, fold
from screening_forms.checks.trial_form import TriedCondition
from screening_forms.errors import FormProblem
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.languages import SOURCE
from screening_forms.problems import Cell, problem
from screening_forms.rules.dimensions import FACTS
from screening_forms.workbook.columns import parse_heading
from screening_forms.workbook.reader import Row
from screening_forms.workbook.xlsform_subset import YES_NO

Problems = Iterator[FormProblem]

MINORS = ("under_14", "14_17", "in_doubt")
"""The age bands that count as a child (Palermo Protocol, art. 3 d; age in doubt counts as a child)."""

_SURVEY = Cell("survey")


def check_method(context: CheckContext) -> Problems:
    """A form of persons asks danger, gate and consent first, then the age, and consent to a referral."""
    if context.indicator_set is None or context.policy is None or not context.workbook.indicators:
        return  # other checks report it
    if not asks_persons(context):
        return
    form = PersonsForm(context)
    parts: tuple[Callable[[PersonsForm], Problems], ...] = (_danger, _consent, _gate, _age, _scored, _referral)
    for part in parts:
        yield from part(form)


def _danger(form: PersonsForm) -> Problems:
    """One question of the fact `danger` is asked in every interview, before the gate, and stops the interview."""
    if not form.danger:
        return  # `check_facts` reports it
    first = next(iter(form.gate), "") or form.consent
    early = [row.get("name") for row in form.before(first) if row.get("name") in form.danger]
    always = [name for name in early if form.paths.is_always_asked(name)]
    row = form.row((early or form.danger)[0])
    if not always:
        yield problem("method.danger_late", row, "relevant" if early else "name", row.get("name"))
    elif form.consent and not {*always} & {*form.stops}:
        yield _open(form, always[0])


def _consent(form: PersonsForm) -> Problems:
    """There is a consent to the interview, and no question that counts for an indicator is asked without its yes."""
    if not form.consent:
        yield problem("method.no_consent", _SURVEY, "name", TOPIC_ROWS[CONSENT]["example_es"])
        return
    reported: set[int] = set()
    for name in form.paths.interview_questions:
        if name not in form.gate and not form.follows_yes(name, form.consent):
            row = _to_correct(form, name)
            if row.number not in reported:
                reported.add(row.number)
                needed = _joined(row.get("relevant"), f"${{{form.consent}}}='{form.yes}'")
                yield problem("method.before_consent", row, "relevant", name, form.consent, needed)


def _to_correct(form: PersonsForm, name: str) -> Row:
    """Return the outermost group that holds only questions which the consent must lead to, or the question."""
    for group in form.paths.groups[name]:
        inside = [each for each, groups in form.paths.groups.items() if group in groups]
        rows = [form.row(each) for each in inside]
        fixed = {form.consent, *form.stops, *form.danger}
        if not fixed & {*inside} and not any(row.get("route") or form.paths.is_silent(row) for row in rows):
            return group
    return form.row(name)


def _gate(form: PersonsForm) -> Problems:
    """Before the consent, questions on every topic of the gate stop the interview, and nothing else is asked."""
    if not form.consent:
        return
    missing = [topic for topic in form.topics if topic not in form.topics_of(form.gate)]
    for row in form.before(form.consent):
        name, kind = row.get("name"), row.get("type")
        found = form.topics_of([name]) & {*missing}
        could_stop = kind.startswith("select_one ") and not row.get("route") and len(form.paths.codes(name)) > 1
        if found and could_stop and name not in (*form.stops, *form.danger):
            missing = [topic for topic in missing if topic not in found]
            yield _open(form, name)
    if missing:
        lacking = ", ".join(TOPIC_ROWS[topic]["es"] for topic in missing)
        lacking_en = ", ".join(TOPIC_ROWS[topic]["en"] for topic in missing)
        examples = " / ".join(TOPIC_ROWS[topic]["example_es"] for topic in missing)
        yield problem("method.no_gate", form.row(form.consent), "name", lacking, lacking_en, examples)
    yield from _good_answers(form)
    yield from _asked_too_early(form)


def _good_answers(form: PersonsForm) -> Problems:
    """Of each question of the gate with more than two answers, the good ones are named, and the others stop.

    `${interpreter} != 'none_found'` lets in the interpreter that the boss sends, and a blank.
    """
    needed = form.paths.needed(form.consent)
    for name in form.gate:
        codes, lead = form.paths.codes(name), needed[name]
        few = len(codes) > 3 and len(codes - lead) < 2
        unnamed = "" in lead or few or bool(form.lets_in(name) & lead)
        if len(codes) > 2 and form.topics_of([name]) and unnamed:
            row = _around(form, form.consent)
            better = _joined(row.get("relevant"), form.good_answers(name))
            yield problem("method.gate_lets_in", row, "relevant", name, ", ".join(sorted(lead & codes)), better)


def _asked_too_early(form: PersonsForm) -> Problems:
    first = next(iter(form.gate), "") or form.consent
    facts = {name for fact in FACTS for name in form.paths.fact(fact)}
    for row in form.before(first):
        if row.get("name") not in facts and not row.get("route") and not form.paths.is_silent(row):
            yield problem("method.before_gate", row, "name", row.get("name"), first)


def _open(form: PersonsForm, name: str) -> FormProblem:
    """Return the problem that no answer to a question leads away from the consent."""
    row = _around(form, form.consent)
    is_danger = name in form.danger
    good = "no" if is_danger else "yes"
    named = f"${{{name}}}='{good}'" if good in form.paths.codes(name) else form.good_answers(name)
    needed = _joined(row.get("relevant"), named)
    return problem("method.gate_open", row, "relevant", name, form.consent, needed)


def _around(form: PersonsForm, name: str) -> Row:
    """Return the outermost group around a question that holds no other question of danger and gate, or the question."""
    others = {row.get("name") for row in form.before(name)}
    for group in form.paths.groups[name]:
        if not any(group in form.paths.groups[other] for other in others):
            return group
    return form.row(name)


def _age(form: PersonsForm) -> Problems:
    """The age is asked for the route, and the fact `minor` counts every child and every doubt."""
    rows = [row for row in form.context.workbook.indicators if row.get("code") == "minor"]
    ages = [row for row in form.paths.asked if row.get("route") == "age_band"]
    if not ages:
        yield problem("method.no_age", _SURVEY, "route")
        return
    tried = TriedCondition(form.context, [row.get("when") for row in rows])
    if not rows or not tried.is_known:
        return
    age = ages[0].get("name")
    codes = [code for code in (*MINORS, *NO_ANSWERS) if code in form.paths.codes(age)]
    must = YES_NO.get(ages[0].get("required")) is True and form.paths.is_always_asked(age)
    lost = [code for code in (*codes, *(() if must else ("",))) if not tried.holds({age: code} if code else {})]
    if lost:
        needed = " or ".join((rows[0].get("when"), *(f"${{{age}}}='{code}'" for code in lost)))
        yield problem("method.age_in_doubt", rows[0], "when", ", ".join(lost) or "-", needed)


def _scored(form: PersonsForm) -> Problems:
    """Danger and children get a result whatever else is answered, without consent too."""
    score = form.context.questions.get("score")
    if score is None or not score.get("relevant"):
        return
    needed = []
    for fact in ("danger", "minor"):
        whens = [row.get("when") for row in form.context.workbook.indicators if row.get("code") == fact]
        tried = TriedCondition(form.context, whens)
        for name in (name for name in form.paths.fact(fact) if tried.is_known and form.paths.is_always_asked(name)):
            unscored = form.paths.answers_without(score).get(name, form.paths.codes(name))
            lost = [code for code in sorted(form.paths.codes(name) & unscored) if tried.holds({name: code})]
            needed += [f"${{{name}}}='{code}'" for code in lost]
    if needed:
        better = f"({score.get('relevant')}) or {' or '.join(needed)}"
        yield problem("method.not_scored", score, "relevant", ", ".join(needed), better)


def _referral(form: PersonsForm) -> Problems:
    """Where the policy asks for consent to a referral, the person is asked, and silence is no consent."""
    policy = form.context.policy
    if policy is None or CONSENT not in policy.names("referral"):
        return
    asked = [row.get("name") for row in form.paths.asked if row.get("route") == CONSENT]
    rows = [row for row in form.context.workbook.indicators if row.get("code") == CONSENT]
    if not asked or asked[0] == form.consent or NO_ANSWERS[0] not in form.paths.codes(asked[0]):
        yield problem("method.no_referral_consent", _SURVEY, "route")
        return
    tried = TriedCondition(form.context, [row.get("when") for row in rows])
    silent = ({}, *({asked[0]: code} for code in sorted(form.paths.codes(asked[0]) - {"yes"})))
    if rows and tried.is_known and (any(map(tried.holds, silent)) or asked[0] not in tried.names):
        yield problem("method.consent_assumed", rows[0], "when", asked[0])


def check_accusing(context: CheckContext) -> Problems:
    """No question accuses the person or gives her a label: it asks what happened (`accusing_questions.csv`)."""
    for row in context.workbook.survey:
        for column, text in row.cells.items():
            part, lang = parse_heading(column)
            if part in ("label", "hint", "guidance_hint") and lang == SOURCE:
                whole = [text] if part == "label" and is_question(row) else []
                if better := instead_of_accusing([*whole, *questions_in(text)]):
                    yield problem("method.accusing", row, column, text, better)


def instead_of_accusing(questions: list[str]) -> str:
    """Return a better question than the first one that accuses; empty if none does."""
    folded = [fold(text) for text in questions]
    found = (listed for pattern, listed in ACCUSING_QUESTIONS if any(map(pattern.search, folded)))
    return next((listed["instead_es"] for listed in found), "")


def is_question(row: Row) -> bool:
    """True if the whole label is read as a question, with or without question marks."""
    return row.get("type").partition(" ")[0] in ("select_one", "select_multiple", "integer", "date", "text")


def questions_in(text: str) -> list[str]:
    """Return the parts of a text that stand between question marks."""
    return [part.partition("?")[0] for part in text.split("¿")[1:]]


def _joined(before: str, needed: str) -> str:
    return f"({before}) and {needed}" if before else needed
