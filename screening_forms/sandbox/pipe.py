"""Contains the messages between the sandbox's client and its worker: length-prefixed parts, and JSON with bytes in it.

The format is internal: both ends always have the same version. The client must trust no byte that it reads.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import IO, Any, TypeVar, get_args, get_type_hints

from screening_forms.sandbox.tasks import Request

_MOST_BYTES = 256 * 2**20
_BYTES, _MARK = "base64", "'"
_LENGTH = struct.Struct(">I")
C = TypeVar("C")


class LostWorkerError(Exception):
    """The worker ended without an answer."""


def write_part(stream: IO[bytes], part: bytes) -> None:
    """Write one part of a message: its length in 4 bytes, then its bytes."""
    stream.write(_LENGTH.pack(len(part)) + part)
    stream.flush()


def read_part(stream: IO[bytes]) -> bytes:
    """Read one part of a message. Raises LostWorkerError if it is cut off or too long."""
    head = stream.read(_LENGTH.size)
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else -1
    if not 0 <= length <= _MOST_BYTES:
        raise LostWorkerError("it ended, or its message is too long")
    part = stream.read(length)
    if len(part) != length:
        raise LostWorkerError("it ended in the middle of a message")
    return part


def to_json(value: Any) -> bytes:
    """Return JSON. Bytes become an object with the member `base64`; other members of that name get a mark."""
    return json.dumps(_mark_bytes(value)).encode()


def from_json(text: bytes) -> Any:
    """Read what `to_json` wrote."""
    return json.loads(text, object_hook=_unmark_bytes)


def _mark_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name + _MARK if _is_marked(name) else name: _mark_bytes(each) for name, each in value.items()}
    return [_mark_bytes(each) for each in value] if isinstance(value, (list, tuple)) else value


def _unmark_bytes(members: dict[str, Any]) -> Any:
    if members.keys() == {_BYTES}:
        return base64.b64decode(members[_BYTES])
    return {name.removesuffix(_MARK) if _is_marked(name) else name: each for name, each in members.items()}


def _is_marked(name: object) -> bool:
    """True if a member is named `base64` apart from marks: a question may have any name."""
    return isinstance(name, str) and name.rstrip(_MARK) == _BYTES


def request_parts(request: Request[Any]) -> tuple[bytes, bytes]:
    """Return a request as two parts: its other members as JSON, and its content as raw bytes."""
    members = asdict(request)  # type: ignore[call-overload]
    content: bytes = members.pop("content")
    return to_json(members), content


def read_object(kind: type[C], members: Mapping[str, Any]) -> C:
    """Return a dataclass from JSON members, also nested ones. Raises TypeError if a member is missing or unknown."""
    hints = get_type_hints(kind)
    return kind(
        **{
            name: read_object(hints[name], value) if is_dataclass(hints.get(name)) else value
            for name, value in members.items()
        }
    )


def answer_class(request: type[Request[Any]]) -> type[Any]:
    """Return the class of a request's answer."""
    (answer,) = get_args(request.__orig_bases__[0])  # type: ignore[attr-defined]
    return answer  # type: ignore[no-any-return]
