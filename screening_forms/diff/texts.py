"""What changed in the texts and recordings of one question or choice, language by language.

Called by item_changes. Spanish is the source: when it is reworded, a translation that stayed the same is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from screening_forms.compiled_form import split_mark
from screening_forms.diff.changes import PART_NAMES, Change, change
from screening_forms.diff.form_model import Texts
from screening_forms.languages import LANGUAGE_NAMES, SOURCE, Bilingual

_AUDIO = "/audio"


def text_changes(
    item: Bilingual, sheet: str, name: str, before: Texts, after: Texts, shipped: Sequence[str]
) -> Iterator[Change]:
    """Compare the texts of one item; `shipped`: the languages of both versions. One that came or went is told once for
    the whole form."""
    parts = dict.fromkeys(part for part, _ in (*before, *after))
    for part in parts:
        texts = {language: (before.get((part, language), ""), after.get((part, language), "")) for language in shipped}
        if part.endswith(_AUDIO):
            yield from _recording_changes(item, sheet, name, texts)
            continue
        said = PART_NAMES.get(part, Bilingual(part, part))
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
    """What happened to a translation, as the code of its sentence; blank if nothing did."""
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
    """Name the translations that nobody touched when their Spanish was."""
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
