"""Computes the translation status of a form per language: texts, problems, recordings, and channels it ships in.

`forms translations status` shows it. The status must come from the functions by which the compiler decides which
languages a form ships, so that both always agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from screening_forms.checks.context import CheckContext
from screening_forms.checks.translations import check_recordings, checked_languages, glossary_problems, text_problems
from screening_forms.compiled_form import CHANNELS
from screening_forms.errors import FormProblem
from screening_forms.languages import LANGUAGES, SOURCE
from screening_forms.texts.audio import find_recordings
from screening_forms.texts.glossary import Glossary
from screening_forms.texts.translations import (
    LanguageCoverage,
    Translation,
    language_coverage,
    recordable_texts,
    translatable_texts,
)
from screening_forms.workbook.reader import Workbook
from screening_forms.workbook.resources import Resources


@dataclass(frozen=True)
class TranslationStatus:
    """The status of one language of one form. `recorded` is how many of its `prompts` have a recording."""

    coverage: LanguageCoverage
    problems: tuple[FormProblem, ...]
    recorded: int
    prompts: int

    def counts(self) -> dict[str, int]:
        """Return the number of texts, of reviewed texts, of each kind of problem, and of recordings."""
        reasons = Counter(text.reason for text in self.coverage.texts.values())
        codes = Counter(problem.code for problem in self.problems)
        return {
            "texts": len(self.coverage.texts),
            "reviewed": self.coverage.reviewed,
            **{reason: reasons[reason] for reason in ("draft", "stale", "unsigned", "missing")},
            "spelling": codes["translation.spelling"],
            "glossary": codes["translation.glossary"],
            "recorded": self.recorded,
            "prompts": self.prompts,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values. `why_not` has the reasons against each channel, with their numbers of texts."""
        return {
            **self.counts(),
            "ships": {channel: not self.coverage.reasons_against(channel) for channel in CHANNELS},
            "why_not": {channel: self.coverage.reasons_against(channel) for channel in CHANNELS},
            "contexts": {reason: self.coverage.contexts_with(reason) for reason in ("stale", "unsigned", "missing")},
            "findings": [asdict(problem) for problem in self.problems],
        }


def translation_statuses(workbook: Workbook, resources: Resources, glossary: Glossary) -> Iterator[TranslationStatus]:
    """Yield the status in Spanish, the source, then in each other language that the form requests."""
    context = CheckContext(workbook, {}, resources)
    heard = list(check_recordings(context))
    prompts = len(recordable_texts(workbook))
    for lang in (SOURCE, *checked_languages(context)):
        named = (
            f"audio::{LANGUAGES[lang]}",
            *([""] if lang == SOURCE else []),
        )  # a recording of no text is listed once, under Spanish
        problems = [each for each in heard if each.column in named]
        if lang == SOURCE:
            texts = {entry.context: Translation(entry.text, "reviewed") for entry in translatable_texts(workbook)}
            coverage = LanguageCoverage(SOURCE, texts)
        else:
            coverage = language_coverage(workbook, lang, resources)
            problems += text_problems(context, lang)
            problems += glossary_problems(context, lang, glossary)
        yield TranslationStatus(coverage, tuple(problems), len(find_recordings(workbook, lang, resources)), prompts)
