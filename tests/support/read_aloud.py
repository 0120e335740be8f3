"""What an interviewer reads aloud in an interview: the number of words, and how easy the Spanish is.

Tests and `make bench` use it. Hints are never read aloud, nor a question whose hint says so, nor the choices yes, no
and the refusals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from statistics import median

from screening_forms.engine.evaluator import Engine, FilledForm
from screening_forms.engine.xform_reader import Node
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.impact.synthetic_interviews import InterviewGenerator

SILENT, SILENT_CHOICES = "No lea en voz alta.", "No lea en voz alta las respuestas."
NOT_READ = {"yes", "no", *NO_ANSWERS}
UNANSWERED = ("note", "acknowledge")
FOR_THE_INTERVIEWER = ("guidance_", "nota_peligro", "nota_parar", "a_salvo")

_WORD = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"[.!?…:]+")
_VOWELS = re.compile(r"[aeiouáéíóúü]+")
_HIATUS = re.compile(r"[aeoáéó](?=[aeoáéó])|[íú](?=[aeoáéó])|[aeoáéó](?=[íú])")


@dataclass(frozen=True)
class InterviewLength:
    """Medians of complete interviews of one form.

    `questions`: asked or marked. `words`: read aloud, those of choices included. `settled`: the question after which
    the desk of a positive adult cannot change any more.
    """

    questions: float
    words: float
    words_of_choices: float
    settled: float
    interviews: int


def texts_read_aloud(engine: Engine, node: Node, filled: FilledForm | None = None) -> Iterator[str]:
    """Yield the Spanish label of a question or note, then its choices, as far as an interviewer reads them aloud."""
    hint = node.hint.get("es", "")
    if node.name.startswith(FOR_THE_INTERVIEWER) or hint.startswith(SILENT):
        return
    yield node.label.get("es", "")
    if not hint.startswith(SILENT_CHOICES):
        offered = engine.offered_choices(node, filled) if filled else node.choices.values()
        yield from (choice.label.get("es", "") for choice in offered if choice.code not in NOT_READ)


def words(texts: Iterable[str]) -> int:
    """Count the words of some texts."""
    return sum(len(_WORD.findall(text)) for text in texts)


def interview_length(engine: Engine, drawn: int, seed: int) -> InterviewLength:
    """Measure complete interviews of adults with an employer among `drawn` synthetic ones."""
    questions, total, choices, settled = [], [], [], []
    generator, draws = InterviewGenerator(engine), Random(seed)
    for answers in (generator.draw_answers(draws) for _ in range(drawn)):
        filled = engine.drop_invalid(answers)
        if "deriva" not in filled.relevant or filled.values.get("por_cuenta") == "yes":
            continue
        asked = [node for node in engine.questions if node.name in filled.relevant]
        read = [list(texts_read_aloud(engine, node, filled)) for node in asked]
        questions.append(sum(node.type not in UNANSWERED for node in asked))
        total.append(sum(map(words, read)))
        choices.append(sum(words(texts[1:]) for texts in read))
        if filled.values["outcome"] == "positive" and filled.values["tier"] != "danger":
            settled.append(_settling_question(engine, filled))
    return InterviewLength(median(questions), median(total), median(choices), median(settled), len(questions))


def _settling_question(engine: Engine, filled: FilledForm) -> int:
    """Return how many questions were asked when the outcome became positive. Later answers cannot change that."""
    answers: dict[str, str] = {}
    asked = [node for node in engine.questions if node.name in filled.relevant and node.type not in UNANSWERED]
    for number, node in enumerate(asked, start=1):
        if node.name in filled.answers:
            answers[node.name] = filled.answers[node.name]
        if engine.drop_invalid(answers).values.get("outcome") == "positive":
            return number
    return len(asked)


def syllables(word: str) -> int:
    """Count the syllables of a Spanish word: groups of vowels, two where strong or accented vowels meet."""
    groups = _VOWELS.findall(word.lower())
    return max(1, sum(1 + len(_HIATUS.findall(group)) for group in groups))


def ease_of_reading(texts: Iterable[str]) -> float:
    """Return the perspicuity of Szigriszt-Pazos (1993): 65 to 80 is "rather easy", above 80 "very easy" (INFLESZ)."""
    listed = [text for text in texts if text]
    found = [word for text in listed for word in _WORD.findall(text)]
    sentences = sum(bool(_WORD.search(part)) for text in listed for part in _SENTENCE.split(text))
    return 206.835 - 62.3 * sum(map(syllables, found)) / len(found) - len(found) / sentences
