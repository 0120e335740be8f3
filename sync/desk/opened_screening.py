"""An opened screening as values: answers beside their questions, fired indicators, and differences in the results.

`sync.desk.client` builds it from a verified form and a decrypted instance. Nothing here is written to disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from screening_forms.compiled_form import CompiledForm, split_mark
from screening_forms.engine.evaluator import RESULT_NODES, SEALED_RESULTS, Engine, FilledForm
from screening_forms.engine.xform_reader import Node, TextsByLanguage
from screening_forms.errors import AnswerError
from screening_forms.languages import SOURCE
from screening_forms.rules.dimensions import DIMENSIONS, UNCOUNTED
from screening_forms.rules.indicators import indicator_set_from_dict
from screening_forms.scoring.assessment import ANSWERS_DROPPED, NOT_SCORED, Assessment, explain_screening
from sync.envelope.dropped_answers import are_dropped, is_only_counted, kept_leaves

DROPPED = "dropped"


@dataclass(frozen=True)
class Answer:
    """One question and its answer, in Spanish (`_es`) and as the interviewer saw them in the interview's language.

    A state is `reviewed`, `draft` or `fallback`. `fallback` means that the screen showed Spanish because no translation
    exists.
    """

    question: str
    codes: tuple[str, ...]
    text_es: str
    answer_es: str
    text: str
    text_state: str
    answer: str
    answer_state: str


@dataclass(frozen=True)
class FiredIndicator:
    """An indicator that fired. `strength` is S, M or W in the form's profile, or - for a bright line."""

    code: str
    label_es: str
    strength: str


@dataclass(frozen=True)
class Difference:
    """A result for which the tablet's record and the desk's own computation differ."""

    name: str
    recorded: str
    computed: str


@dataclass(frozen=True)
class OpenedScreening:
    """A screening with its results computed again.

    `outcome`, `tier`, `urgency` and `queue_kinds` are the values that the tablet recorded. `assessment` is the desk's
    own result. `place` is INEI's code of the interview's place (6, 4 or 2 digits), empty if the form asks none.
    `differences` is empty if both agree. `dropped` is True if the tablet dropped the answers because the
    person did not agree (SPEC 8.1 step 0). Then `answers` are those of the route, and nothing is computed.
    """

    lang: str
    answers: tuple[Answer, ...] = field(repr=False)
    outcome: str = field(repr=False)
    tier: str = field(repr=False)
    urgency: str = field(repr=False)
    queue_kinds: tuple[str, ...] = field(repr=False)
    fired: Mapping[str, tuple[FiredIndicator, ...]] = field(repr=False)
    assessment: Assessment = field(repr=False)
    differences: tuple[Difference, ...] = field(repr=False)
    dropped: bool = False
    place: str = field(default="", repr=False)

    @property
    def agrees(self) -> bool:
        """Whether the form and the desk's assessment, given the answers, both produce the recorded results.

        True for dropped answers too, if the instance holds only what may stay: no result contradicts another.
        """
        return not self.differences


def read_screening(form: CompiledForm, scorer: Engine, instance: bytes) -> OpenedScreening:
    """Read an instance with its form version. Raise AnswerError if it is not an instance of that version.

    Answers that the form does not allow together are still shown. They also appear as a difference.
    """
    recorded, answers = scorer.read_values(instance), scorer.read_instance(instance)
    lang = recorded.get(form.route.get("lang", ""), SOURCE)
    dropped = are_dropped(instance)
    assessment, differences = (
        (ANSWERS_DROPPED, _not_droppable(form, recorded)) if dropped else _assess(form, scorer, recorded, answers)
    )
    return OpenedScreening(
        lang=lang,
        answers=tuple(
            build_answer(node, answers[node.name], lang) for node in scorer.questions if node.name in answers
        ),
        outcome=recorded.get("outcome", NOT_SCORED.outcome),
        tier=recorded.get("tier", ""),
        urgency=recorded.get("urgency", ""),
        queue_kinds=tuple(recorded.get("queue_kinds", "").split()),
        fired=_fired_by_dimension(form, assessment),
        assessment=assessment,
        differences=differences,
        dropped=dropped,
        place=answers.get(form.route.get("province", ""), ""),
    )


def _assess(
    form: CompiledForm, scorer: Engine, recorded: Mapping[str, str], answers: Mapping[str, str]
) -> tuple[Assessment, tuple[Difference, ...]]:
    try:
        filled = scorer.run(answers)
    except AnswerError as problem:
        return NOT_SCORED, (Difference("answers", problem.question, problem.why),)
    assessment = explain_screening(form, filled)
    return assessment, _differences(recorded, filled, assessment)


def _not_droppable(form: CompiledForm, recorded: Mapping[str, str]) -> tuple[Difference, ...]:
    """Compare a record that calls its answers dropped with the rule for dropping them."""
    if not is_only_counted(recorded, form.route):
        return (Difference("answers", DROPPED, "kept"),)
    others = sorted(recorded.keys() - kept_leaves(form.route, form.omit_route))
    return (Difference("answers", DROPPED, " ".join(others)),) if others else ()


def build_answer(node: Node, value: str, lang: str) -> Answer:
    codes = tuple(value.split()) if node.type == "select_multiple" else (value,)
    labels = [node.choices[code].label if code in node.choices else {SOURCE: code, lang: code} for code in codes]
    shown = [_shown_text(label, lang) for label in labels]
    states = {state for _, state in shown}
    text, text_state = _shown_text(node.label, lang)
    return Answer(
        question=node.name,
        codes=codes,
        text_es=_shown_text(node.label, SOURCE)[0],
        answer_es="; ".join(_shown_text(label, SOURCE)[0] for label in labels),
        text=text,
        text_state=text_state,
        answer="; ".join(text for text, _ in shown),
        answer_state=next(state for state in ("fallback", "draft", "reviewed") if state in states),
    )


def _shown_text(texts: TextsByLanguage, lang: str) -> tuple[str, str]:
    """Return the text that the screen showed, and its state. Texts of a form in one language have no language name."""
    source = texts.get(SOURCE, texts.get("", ""))
    text = source if lang == SOURCE else texts.get(lang, "")
    if not text:
        return source, "fallback"
    return split_mark(text)


def _fired_by_dimension(form: CompiledForm, assessment: Assessment) -> dict[str, tuple[FiredIndicator, ...]]:
    """Group fired indicators by dimension. Those outside the dimensions, such as bright lines, come last."""
    known = indicator_set_from_dict(form.indicator_set).indicators
    fired_by_dimension: dict[str, tuple[FiredIndicator, ...]] = dict.fromkeys((*DIMENSIONS, *UNCOUNTED), ())
    for each in (known[code] for code in assessment.fired):
        fired_by_dimension[each.dimension] += (FiredIndicator(each.code, each.label_es, each.strengths[form.profile]),)
    return {dimension: fired for dimension, fired in fired_by_dimension.items() if fired}


def _differences(recorded: Mapping[str, str], filled: FilledForm, assessment: Assessment) -> tuple[Difference, ...]:
    """Compare the tablet's record with a new run of the form, and that run with the desk's assessment."""
    again = {name: filled.values.get(name, "") for name in RESULT_NODES}
    pairs = [(name, recorded.get(name, ""), again[name]) for name in SEALED_RESULTS]
    if "outcome" in filled.relevant:
        second = {
            "outcome": assessment.outcome,
            "tier": assessment.tier,
            "urgency": assessment.urgency,
            "guidance": assessment.guidance,
            **{name: " ".join(getattr(assessment, name)) for name in ("queue_kinds", "fired", "unknown")},
        }
        pairs += [(f"{name} (second opinion)", again[name], text) for name, text in second.items()]
    return tuple(
        Difference(name, one, other) for name, one, other in pairs if sorted(one.split()) != sorted(other.split())
    )
