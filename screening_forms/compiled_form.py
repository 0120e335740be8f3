"""The compiled form: one form version as the compiler writes it.

Tablets and desks load it from a bundle. They need no compiler for that. It contains no signature.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import rfc8785

from screening_forms.errors import FormError, FormProblem
from screening_forms.languages import LANGUAGES

CHANNELS = ("training", "field")
MARKS = {"draft": "[borrador] ", "fallback": "[es] "}
"""Marks before a text: `draft` is not reviewed, `fallback` is Spanish because there is no translation."""

_REASONS = {
    "none": "no hay traducción",
    "missing": "sin traducir: {0}",
    "stale": "de un texto que cambió: {0}",
    "unsigned": "sin firma de traductor registrado: {0}",
    "draft": "borradores sin revisar: {0}",
}

_ADDED_SINCE: Mapping[str, Any] = {"audio": {}, "fell_back": {}, "free_text": {}}
"""Members that later releases added. A form without them is read with these values."""
_TYPES = {"str": str, "int": int, "tuple": tuple, "Mapping": Mapping}
"""The types of the members, by the name that their annotation begins with."""


@dataclass(frozen=True)
class CompiledForm:
    """One form version before signing.

    `route`: the question that fills each route field. `bucket`: the padded size of every screening, in bytes.
    `left_out`: by language that is not ready for the channel, the number of texts for each reason (missing, stale,
    unsigned, draft, none). `fell_back`: by language, the contexts of the texts that it shows in Spanish.
    `audio`: the recording of each text by language and context, as {sha256, type, size, milliseconds}.
    `free_text`: by question, the reason why it accepts free text. The signature of the form covers these reasons.
    """

    form_id: str
    version: str
    title: str
    channel: str
    languages: tuple[str, ...]
    left_out: Mapping[str, Mapping[str, int]]
    fell_back: Mapping[str, Sequence[str]]
    audio: Mapping[str, Mapping[str, Mapping[str, Any]]]
    free_text: Mapping[str, str]
    profile: str
    consent_policy: str
    route: Mapping[str, str]
    omit_route: tuple[str, ...]
    bucket: int
    indicator_set: Mapping[str, Any]
    policy: Mapping[str, Any]
    xform: str

    def __post_init__(self) -> None:
        for each in fields(self):
            if not isinstance(getattr(self, each.name), _TYPES[str(each.type).partition("[")[0]]):
                raise ValueError(f"{each.name} is no {each.type}")
        if self.channel not in CHANNELS:
            raise ValueError(f"channel must be one of {', '.join(CHANNELS)}, not {self.channel!r}")

    def to_bytes(self) -> bytes:
        """Return the canonical bytes (RFC 8785) that are hashed, signed and published."""
        return rfc8785.dumps({name: _plain(value) for name, value in asdict(self).items()})

    @classmethod
    def from_bytes(cls, content: bytes) -> CompiledForm:
        """Read the bytes that `to_bytes` of this or an earlier release wrote; raises FormError on all other bytes."""
        try:
            written = json.loads(content)
            values = _with_later_members(written)
            form = cls(**{field.name: _frozen(values[field.name]) for field in fields(cls)})
            if rfc8785.dumps(written) != content or values.keys() != vars(form).keys():
                raise ValueError("these are not the bytes that the compiler writes")
        except (ValueError, KeyError, TypeError) as error:
            advice = "no es un formulario compilado", f"not a compiled form: {error}"
            raise FormError([FormProblem("survey", 0, "", "compile.unreadable", *advice)]) from error
        return form


def _with_later_members(written: dict[str, Any]) -> dict[str, Any]:
    """Add the members that earlier releases did not write. Desks still open screenings of those forms."""
    left_out = written["left_out"]
    if isinstance(left_out, list) and not all(isinstance(lang, str) for lang in left_out):
        raise ValueError("left_out names languages")
    named = {lang: {} for lang in left_out} if isinstance(left_out, list) else left_out
    return {**_ADDED_SINCE, **written, "left_out": named}


def split_mark(text: str) -> tuple[str, str]:
    """Split a shown text into the text without its mark and its state: reviewed, draft or fallback."""
    states = (state for state, mark in MARKS.items() if text.startswith(mark))
    state = next(states, "reviewed")
    return text.removeprefix(MARKS.get(state, "")), state


def left_out_sentences(left_out: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return one Spanish sentence for each language: why the form is not shown in it."""
    return [": ".join((f"Todavía no está en {LANGUAGES[lang]}", *_why(left_out[lang]))) + "." for lang in left_out]


def _why(reasons: Mapping[str, int]) -> tuple[str, ...]:
    words = [_REASONS[reason].format(reasons[reason]) for reason in _REASONS if reason in reasons]
    return (", ".join(words),) if words else ()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
