"""A form version as compiled: what tablets and desks load, without the tools that compile. The compiler makes it, a
bundle carries its bytes; it holds no signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import rfc8785

from screening_forms.errors import FormError, FormProblem

CHANNELS = ("training", "field")
DRAFT_MARK = "[borrador] "


@dataclass(frozen=True)
class CompiledForm:
    """One form version before signing. `route` names the question behind each route field, `left_out` the languages
    that are not ready for the channel, `bucket` the padded size of every screening in bytes."""

    form_id: str
    version: str
    title: str
    channel: str
    languages: tuple[str, ...]
    left_out: tuple[str, ...]
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
        """Read what `to_bytes` wrote; raises FormError on anything else."""
        try:
            values = json.loads(content)
            form = cls(**{field.name: _frozen(values[field.name]) for field in fields(cls)})
            if form.to_bytes() != content:
                raise ValueError("these are not the bytes that the compiler writes")
        except (ValueError, KeyError, TypeError) as error:
            advice = "no es un formulario compilado", f"no compiled form: {error}"
            raise FormError([FormProblem("survey", 0, "", "compile.unreadable", *advice)]) from error
        return form


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
