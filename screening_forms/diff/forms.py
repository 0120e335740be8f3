"""Compares two versions of a compiled form and returns every change.

Authors and reviewers read the changes before they sign the compiled bytes. So a difference in the bytes must never go
without a sentence. What a change does to outcomes is computed in `impact/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields

from screening_forms.compiled_form import CompiledForm
from screening_forms.diff.changes import Change, change, differing_values
from screening_forms.diff.form_model import FormModel, parse_form
from screening_forms.diff.items import item_changes
from screening_forms.diff.scores import score_changes
from screening_forms.diff.tables import policy_changes, set_changes
from screening_forms.languages import LANGUAGE_NAMES, Bilingual

_MEMBERS = {
    "form_id": Bilingual("nombre del formulario", "name of the form"),
    "version": Bilingual("versión", "version"),
    "title": Bilingual("título", "title"),
    "channel": Bilingual("canal", "channel"),
    "profile": Bilingual("perfil", "profile"),
    "consent_policy": Bilingual("quién decide sobre la derivación", "who decides on a referral"),
    "omit_route": Bilingual("datos que el servidor no lee", "fields that the server does not read"),
    "bucket": Bilingual("tamaño de cada entrevista sellada, en bytes", "size of each sealed screening, in bytes"),
}
_COMPARED_ELSEWHERE = (
    *("languages", "left_out", "fell_back", "audio", "free_text", "route", "indicator_set", "policy", "xform"),
)
_NOTHING = Bilingual("nada", "nothing")


def form_changes(old: CompiledForm, new: CompiledForm) -> list[Change]:
    """Return every change, those of the whole form first. The list is empty only if both forms have the same bytes."""
    before, after = parse_form(old.xform), parse_form(new.xform)
    found = [
        *_member_changes(old, new),
        *_language_changes(old, new),
        *item_changes(before, after),
        *score_changes(before, after),
        *set_changes(old.indicator_set, new.indicator_set, new.profile),
        *policy_changes(old.policy, new.policy),
        *_other_changes(old, new, before, after),
    ]
    if old.audio != new.audio and not any(each.code.startswith("audio.") for each in found):
        found.append(
            change("form.other", "survey", "", what=Bilingual("los datos de las grabaciones", "data of recordings"))
        )
    if not found and old.to_bytes() != new.to_bytes():
        what = Bilingual(
            "su escritura, no lo que pregunta ni calcula", "its notation only; questions and calculations are the same"
        )
        found = [change("form.other", "survey", "", what=what)]
    return found


def _member_changes(old: CompiledForm, new: CompiledForm) -> Iterator[Change]:
    for field in fields(new):
        if field.name not in _COMPARED_ELSEWHERE:
            before, after = _text(getattr(old, field.name)), _text(getattr(new, field.name))
            if before != after:
                what = _MEMBERS.get(field.name, Bilingual(field.name, field.name))
                yield change("form.member", "settings", field.name, what=what, before=before, after=after)
    for name, before, after in differing_values(old.route, new.route):
        yield change("form.route", "survey", after or before, field=name, before=before or "-", after=after or "-")
    for name, before, after in differing_values(old.free_text, new.free_text):
        values = {"before": before or _NOTHING, "after": after or _NOTHING}
        yield change("item.reason", "survey", name, name=name, **values)


def _language_changes(old: CompiledForm, new: CompiledForm) -> Iterator[Change]:
    for code, some, others in (("language.removed", old, new), ("language.added", new, old)):
        for language in (language for language in some.languages if language not in others.languages):
            yield change(code, "settings", "languages", lang=_language(language), language=language)
    for code in ("left_out", "fell_back"):
        before, after = (_by_language(getattr(form, code, {})) for form in (old, new))
        for language, was, now in differing_values(before, after):
            values = {"before": was or _NOTHING, "after": now or _NOTHING, "lang": _language(language)}
            yield change(f"language.{code}", "settings", "languages", language=language, **values)


def _language(language: str) -> Bilingual:
    return LANGUAGE_NAMES.get(language, Bilingual(language, language))


def _by_language(listed: object) -> dict[str, str]:
    """Return a text for each language: its reasons, or "sí" if the form only lists the language."""
    if isinstance(listed, dict):
        return {language: _text(why) or "sí" for language, why in listed.items()}
    return dict.fromkeys(listed, "sí") if isinstance(listed, list | tuple) else {}


def _other_changes(old: CompiledForm, new: CompiledForm, before: FormModel, after: FormModel) -> Iterator[Change]:
    """Yield changes outside all items, and those of an XForm whose identity differs from the compiled form's."""
    for name, was, now in differing_values(before.identity, after.identity):
        if (was, now) != (getattr(old, name), getattr(new, name)):
            what = Bilingual(
                f"{_MEMBERS[name].es} dentro del XForm: {now}", f"{_MEMBERS[name].en} within the XForm: {now}"
            )
            yield change("form.other", "settings", name, what=what)
    if before.rest != after.rest:
        yield change("form.other", "survey", "", what=Bilingual("la cabecera del XForm", "the head of the XForm"))


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(each)}" for name, each in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
