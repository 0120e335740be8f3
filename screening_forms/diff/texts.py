"""Compares the texts and recordings of one question or choice, language by language.

Spanish is the source. If the Spanish changes and a translation does not, the sentence names the translation as stale.
Texts of a language that only one version has are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from screening_forms.compiled_form import split_mark
from screening_forms.diff.changes import Change, change
from screening_forms.diff.form_model import Texts
from screening_forms.languages import LANGUAGE_NAMES, SOURCE, Bilingual
from screening_forms.workbook.columns import PART_WORDS

_AUDIO = "/audio"
_PART_NAMES = {part: words.name for part, words in PART_WORDS.items()}
_PART_NAMES["hint/guidance"] = _PART_NAMES["guidance_hint"]  # an XForm stores guidance as a form of the hint


def text_changes(
    item: Bilingual, sheet: str, name: str, before: Texts, after: Texts, shipped: Sequence[str]
) -> Iterator[Change]:
    """Yield the changes of one item's texts. `shipped` lists the languages that both versions have.

    An added or removed language is one change of the whole form, in `forms.py`.
    """
    parts = dict.fromkeys(part for part, _ in (*before, *after))
    for part in parts:
        texts = {language: (before.get((part, language), ""), after.get((part, language), "")) for language in shipped}
        if part.endswith(_AUDIO):
            yield from _recording_changes(item, sheet, name, texts)
            continue
        said = _PART_NAMES.get(part, Bilingual(part, part))
        reworded = texts.get(SOURCE, ("", ""))
        if reworded[0] != reworded[1]:
            values = {"before": reworded[0], "after": reworded[1], "stale": _stale_note(texts)}
            yield change("text.reworded", sheet, name, item=item, part=said, language=SOURCE, **values)
        for language, (was, now) in texts.items():
            if language != SOURCE and (code := _translation_code(was, now, reworded)):
                values = {"before": _without_mark(was), "after": _without_mark(now), "lang": _language_name(language)}
                yield change(code, sheet, name, item=item, part=said, language=language, **values)
        if before.get((part, "")) != after.get((part, "")):
            values = {"before": before.get((part, ""), ""), "after": after.get((part, ""), ""), "stale": ""}
            yield change("text.reworded", sheet, name, item=item, part=said, language=SOURCE, **values)


def _recording_changes(item: Bilingual, sheet: str, name: str, texts: dict[str, tuple[str, str]]) -> Iterator[Change]:
    for language, (was, now) in texts.items():
        if was != now:
            code = "audio.changed" if was and now else "audio.added" if now else "audio.removed"
            yield change(code, sheet, name, item=item, lang=_language_name(language), language=language)


def _translation_code(was: str, now: str, source: tuple[str, str]) -> str:
    """Return the code for a translation's change; "" if it did not change."""
    (before, old_state), (after, new_state) = split_mark(was), split_mark(now)
    shown_in_spanish = old_state == new_state == "fallback" and (before, after) == source
    if was == now or shown_in_spanish:
        return ""
    if not after or (new_state == "fallback" and before):
        return "text.untranslated"
    if not before or old_state == "fallback":
        return "text.translated"
    if before == after:
        return "text.reviewed" if new_state == "reviewed" else "text.unreviewed"
    return "text.retranslated"


def _stale_note(texts: dict[str, tuple[str, str]]) -> Bilingual:
    """Name the translations that stayed the same while the Spanish changed."""
    old = [
        _language_name(language)
        for language, (was, now) in texts.items()
        if language != SOURCE and now and _without_mark(was) == _without_mark(now) and split_mark(now)[1] != "fallback"
    ]
    if not old:
        return Bilingual("", "")
    es, en = " y ".join(word.es for word in old), " and ".join(word.en for word in old)
    return Bilingual(f"; su texto en {es} es del español de antes", f"; its {en} is now stale")


def _without_mark(text: str) -> str:
    return split_mark(text)[0]


def _language_name(language: str) -> Bilingual:
    return LANGUAGE_NAMES.get(language, Bilingual(language, language))
