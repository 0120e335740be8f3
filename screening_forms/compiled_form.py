"""A form version as compiled: what tablets and desks load, without the tools that compile. The compiler makes it, a
bundle carries its bytes; it holds no signature."""

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
"""What stands before a text that nobody has reviewed, and before one in Spanish for want of a translation."""

_REASONS = {
    "none": "no hay traducción",
    "missing": "sin traducir: {0}",
    "stale": "de un texto que cambió: {0}",
    "unsigned": "sin firma de traductor registrado: {0}",
    "draft": "borradores sin revisar: {0}",
}

_ADDED_SINCE: Mapping[str, Any] = {"audio": {}, "fell_back": {}, "free_text": {}}
"""Members that came after versions were already in use, as they are read where they are not."""


@dataclass(frozen=True)
class CompiledForm:
    """One form version before signing. `route` names the question behind each route field, `bucket` is the padded size
    of every screening in bytes.

    `left_out`: the languages that are not ready for the channel, with the reasons (missing, stale, unsigned, draft,
    none) and how many texts each is about. `fell_back`: the texts, by context, that a language shows in Spanish.
    `audio`: the recording of each text by language and context, as {sha256, type, size, milliseconds}. `free_text`: why
    a question may take words of the person's own; whoever signs the form has signed that.
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
        if self.channel not in CHANNELS:
            raise ValueError(f"channel must be one of {', '.join(CHANNELS)}, not {self.channel!r}")

    def to_bytes(self) -> bytes:
        """Return the canonical bytes (RFC 8785) that are hashed, signed and published."""
        return rfc8785.dumps({name: _plain(value) for name, value in asdict(self).items()})

    @classmethod
    def from_bytes(cls, content: bytes) -> CompiledForm:
        """Read what `to_bytes` wrote, in this release or an earlier one; raises FormError on anything else."""
        try:
            said = json.loads(content)
            values = _with_later_members(said)
            form = cls(**{field.name: _frozen(values[field.name]) for field in fields(cls)})
            if rfc8785.dumps(said) != content or values.keys() != vars(form).keys():
                raise ValueError("these are not the bytes that the compiler writes")
        except (ValueError, KeyError, TypeError) as error:
            advice = "no es un formulario compilado", f"no compiled form: {error}"
            raise FormError([FormProblem("survey", 0, "", "compile.unreadable", *advice)]) from error
        return form


def _with_later_members(said: dict[str, Any]) -> dict[str, Any]:
    """Add what earlier releases did not say: screenings with their versions still arrive, and are opened."""
    left_out = said["left_out"]
    named = {lang: {} for lang in left_out} if isinstance(left_out, list) else left_out
    return {**_ADDED_SINCE, **said, "left_out": named}


def split_mark(text: str) -> tuple[str, str]:
    """Take the mark off a text as it is shown; returns the text and its state: reviewed, draft or fallback."""
    states = (state for state, mark in MARKS.items() if text.startswith(mark))
    state = next(states, "reviewed")
    return text.removeprefix(MARKS.get(state, "")), state


def left_out_sentences(left_out: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Say in Spanish, one sentence a language, why a form is not shown in it."""
    return [": ".join((f"Todavía no está en {LANGUAGES[lang]}", *_why(left_out[lang]))) + "." for lang in left_out]


def _why(reasons: Mapping[str, int]) -> tuple[str, ...]:
    words = [_REASONS[reason].format(reasons[reason]) for reason in _REASONS if reason in reasons]
    return (", ".join(words),) if words else ()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
