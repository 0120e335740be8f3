"""Contains the class `Change` and the table of all sentences for changes, in Spanish and English.

Every comparing module makes its changes with `change`. A code is stable: other programs read it. This module must
compare nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from screening_forms.languages import Bilingual


@dataclass(frozen=True)
class Change:
    """One change between two versions.

    `sheet` and `name` are its place in the workbook (`list.choice` for a choice). `language` is set for a text.
    """

    code: str
    sheet: str
    name: str
    language: str
    es: str
    en: str

    def as_dict(self) -> dict[str, str]:
        """Return the change as JSON values."""
        return asdict(self)


RULE_WORDS = {
    "relevant": Bilingual("se pregunta si", "is asked if"),
    "constraint": Bilingual("se acepta si", "is accepted if"),
    "filter": Bilingual("las opciones se muestran si", "its choices are shown if"),
    "calculate": Bilingual("se calcula como", "is calculated as"),
}

_SENTENCES: Mapping[str, tuple[str, str]] = {
    # The whole form
    "form.member": ("{what}: «{before}» → «{after}»", "{what}: '{before}' -> '{after}'"),
    "form.route": (
        "el dato «{field}» que lee el servidor sale de: {before} → {after}",
        "the field '{field}' that the server reads comes from: {before} -> {after}",
    ),
    "form.other": (
        "cambia también algo del archivo que no es ninguna pregunta: {what}",
        "a part of the file outside all questions changes too: {what}",
    ),
    "language.added": ("ahora se ofrece en {lang}", "is now offered in {lang}"),
    "language.removed": ("ya no se ofrece en {lang}", "is no longer offered in {lang}"),
    "language.left_out": (
        "{lang} queda fuera, por: {before} → {after}",
        "{lang} is left out, because of: {before} -> {after}",
    ),
    "language.fell_back": (
        "en {lang} se muestran en español: {before} → {after}",
        "shown in Spanish in {lang}: {before} -> {after}",
    ),
    # Questions, notes, groups, calculations
    "item.added": ("se añade: {item}{how}: «{text}»", "added: {item}{how}: '{text}'"),
    "item.removed": ("se quita: {item}: «{text}»", "removed: {item}: '{text}'"),
    "item.renamed": (
        "{item} se llama ahora «{name}», con el mismo texto: para los datos es otra pregunta",
        "{item} is now called '{name}', with the same text: the data treat it as another question",
    ),
    "item.moved": ("{item} cambia de lugar: ahora va después de {after}", "{item} moved: it now comes after {after}"),
    "item.regrouped": (
        "{item} pasa del grupo «{before}» al grupo «{after}»",
        "{item} moved from the group '{before}' to the group '{after}'",
    ),
    "item.type": ("{item} cambia de tipo: {before} → {after}", "{item} changes its type: {before} -> {after}"),
    "item.required": ("{item} pasa a ser obligatoria", "{item} is required now"),
    "item.optional": ("{item} deja de ser obligatoria", "{item} is no longer required"),
    "item.rule": ("{item} {rule}: {before} → {after}", "{item} {rule}: {before} -> {after}"),
    "item.list": (
        "{item} usa otra lista de opciones: «{before}» → «{after}»",
        "{item} uses another list of choices: '{before}' -> '{after}'",
    ),
    "item.other": (
        "{item}: «{what}» cambia de «{before}» a «{after}»",
        "{item}: '{what}' changes from '{before}' to '{after}'",
    ),
    "item.reason": (
        "por qué «{name}» es de texto libre: {before} → {after}",
        "the reason why '{name}' takes free text: {before} -> {after}",
    ),
    # Choices
    "list.added": ("lista de opciones nueva «{name}»: {listed}", "new list of choices '{name}': {listed}"),
    "list.removed": (
        "se quita la lista de opciones «{name}»: {listed}",
        "list of choices removed, '{name}': {listed}",
    ),
    "choice.added": ("{item}: opción nueva «{text}»", "{item}: new choice '{text}'"),
    "choice.removed": ("{item}: se quita la opción «{text}»", "{item}: the choice '{text}' is removed"),
    "choice.reordered": ("{item}: las opciones cambian de orden", "{item}: the choices are in another order"),
    "choice.column": (
        "{item}: la columna «{what}» cambia de «{before}» a «{after}»",
        "{item}: the column '{what}' changes from '{before}' to '{after}'",
    ),
    # Texts
    "text.reworded": (
        "{item}, {part} en español: «{before}» → «{after}»{stale}",
        "{item}, {part} reworded in Spanish: '{before}' -> '{after}'{stale}",
    ),
    "text.translated": ("{item}, {part} en {lang}: «{after}»", "{item}, {part} translated into {lang}: '{after}'"),
    "text.retranslated": (
        "{item}, {part} en {lang}: «{before}» → «{after}»",
        "{item}, {part} in {lang}: '{before}' -> '{after}'",
    ),
    "text.untranslated": (
        "{item}, {part}: pierde su traducción al {lang}, «{before}»",
        "{item}, {part}: loses its translation into {lang}, '{before}'",
    ),
    "text.reviewed": (
        "{item}, {part} en {lang}: el borrador quedó revisado",
        "{item}, {part} in {lang}: the draft has been reviewed",
    ),
    "text.unreviewed": (
        "{item}, {part} en {lang}: lo revisado vuelve a ser borrador",
        "{item}, {part} in {lang}: the reviewed text is a draft again",
    ),
    "audio.added": ("{item}: grabación nueva en {lang}", "{item}: new recording in {lang}"),
    "audio.removed": ("{item}: se quita la grabación en {lang}", "{item}: the recording in {lang} is removed"),
    "audio.changed": ("{item}: otra grabación en {lang}", "{item}: another recording in {lang}"),
    # Score
    "mapping.added": ("{code} se marca ahora si {after}", "{code} now fires if {after}"),
    "mapping.removed": (
        "ninguna respuesta marca ya {code}; antes: si {before}",
        "no answer makes {code} fire any more; before: if {before}",
    ),
    "mapping.changed": ("{code} se marca si: {before} → {after}", "{code} fires if: {before} -> {after}"),
    "score.steps": (
        "pasos del cálculo que son otros ({count}): {names}",
        "changed steps of the calculation ({count}): {names}",
    ),
    # What an author's workbook has besides
    "case.added": ("caso nuevo «{name}»: {expected}", "new case '{name}': {expected}"),
    "case.removed": ("se quita el caso «{name}»: {expected}", "case removed, '{name}': {expected}"),
    "case.expected": (
        "el caso «{name}» espera otra cosa: {before} → {after}",
        "the case '{name}' expects another result: {before} -> {after}",
    ),
    "case.answer": (
        "el caso «{name}» responde otra cosa a «{question}»: {before} → {after}",
        "the case '{name}' gives another answer to '{question}': {before} -> {after}",
    ),
    # Indicator sets and policies
    "set.name": ("conjunto de indicadores: {before} → {after}", "indicator set: {before} -> {after}"),
    "set.profiles": ("perfiles del conjunto: {before} → {after}", "profiles of the set: {before} -> {after}"),
    "set.order": ("los indicadores están en otro orden", "the indicators are in another order"),
    "indicator.added": ("indicador nuevo {code} ({strengths})", "new indicator {code} ({strengths})"),
    "indicator.removed": ("se quita el indicador {code}", "the indicator {code} is removed"),
    "indicator.strength": (
        "indicador {code}: {before} → {after} en {profile}",
        "indicator {code}: {before} -> {after} for {profile}",
    ),
    "indicator.field": (
        "indicador {code}, {what}: «{before}» → «{after}»",
        "indicator {code}, {what}: '{before}' -> '{after}'",
    ),
    "policy.name": ("política: {before} → {after}", "policy: {before} -> {after}"),
    "policy.row_added": ("regla nueva, {step}: {when}, {then}", "new rule, {step}: {when}, {then}"),
    "policy.row_removed": ("se quita la regla, {step}: {when}, {then}", "rule removed, {step}: {when}, {then}"),
    "policy.row_moved": (
        "la regla, {step}: {when}, se prueba en otro orden: era la {before}, es la {after}",
        "the rule, {step}: {when}, is tried in another order: it was number {before}, it is number {after}",
    ),
    "policy.row_changed": (
        "regla, {step}: {when}: {what} «{before}» → «{after}»",
        "rule, {step}: {when}: {what} '{before}' -> '{after}'",
    ),
}


SENTENCES = {code: Bilingual(*texts) for code, texts in _SENTENCES.items()}


def change(code: str, sheet: str, name: str, /, **values: object) -> Change:
    """Return a change whose sentences contain the values. A `Bilingual` value appears in each sentence's language."""
    es, en = (text.format_map(_in(values, tongue)) for text, tongue in zip(SENTENCES[code], ("es", "en"), strict=True))
    return Change(code, sheet, name, str(values.get("language", "")), es, en)


def _in(values: Mapping[str, object], language: str) -> dict[str, str]:
    return {
        name: str(getattr(value, language) if isinstance(value, Bilingual) else value) for name, value in values.items()
    }


def differing_values(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each difference between two mappings: the key, the old and the new value; "" for a missing value."""
    for key in {**before, **after}:
        old, new = before.get(key, ""), after.get(key, "")
        if old != new or (key in before) != (key in after):
            yield key, old, new
