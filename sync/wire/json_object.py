"""Typed reading of the members of a JSON object that somebody else wrote; used by every document and by the exchange.

It checks shapes only. Members that are not asked for are ignored: that is how documents grow (SPEC 4.4).
"""

import re
from collections.abc import Mapping
from typing import Any

from sync.errors import SyncError
from sync.wire.encoding import MAX_INTEGER

KID = re.compile(r"[A-Za-z0-9_-]{22}")
HALF_ID = re.compile(r"[A-Za-z0-9_-]{11}")
SHA256_HEX = re.compile(r"[0-9a-f]{64}")
FORM_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
LABEL = re.compile(r"[^\x00-\x1f\x7f]{0,80}")
CODE = re.compile(r"(?=.{1,64}\Z)[a-z_]+(\.[a-z0-9_]+)*")
TEXT = re.compile(r"(?s).*")


class JsonObject:
    """One JSON object, asked for its members by name and kind."""

    def __init__(self, content: Any, where: str) -> None:
        self._where = where
        if not isinstance(content, Mapping):
            raise self._wrong("must be an object")
        self._content = content

    def _wrong(self, why: str) -> SyncError:
        return SyncError("document.malformed", f"{self._where} {why}")

    def _array(self, name: str, maximum: int | None = None) -> list[Any]:
        values = self._content.get(name, [])
        if not isinstance(values, list):
            raise self._wrong(f"`{name}` must be an array")
        if maximum is not None and len(values) > maximum:
            raise self._wrong(f"`{name}` may have {maximum} entries")
        return values

    def has(self, name: str) -> bool:
        """Say whether the member is there."""
        return name in self._content

    def integer(self, name: str, minimum: int = 0, default: int | None = None) -> int:
        """Return an integer that every JSON reader agrees on."""
        value = self._content.get(name, default)
        if type(value) is not int or not minimum <= value <= MAX_INTEGER:
            raise self._wrong(f"`{name}` must be an integer from {minimum}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; false when it is left out."""
        value = self._content.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(f"`{name}` must be true or false")
        return value

    def text(self, name: str, pattern: re.Pattern[str], default: str | None = None) -> str:
        """Return a string that the whole pattern matches."""
        value = self._content.get(name, default)
        if not isinstance(value, str) or (value != default and not pattern.fullmatch(value)):
            raise self._wrong(f"`{name}` is missing or not of its form")
        return value

    def texts(self, name: str, pattern: re.Pattern[str], maximum: int | None = None) -> tuple[str, ...]:
        """Return an array of such strings; empty when it is left out."""
        values = self._array(name, maximum)
        if not all(isinstance(value, str) and pattern.fullmatch(value) for value in values):
            raise self._wrong(f"`{name}` has an entry that is not of its form")
        return tuple(values)

    def objects(self, name: str) -> "list[JsonObject]":
        """Return an array of objects; empty when it is left out."""
        return [JsonObject(value, f"{self._where} `{name}`") for value in self._array(name)]

    def object(self, name: str) -> "JsonObject":
        """Return an object; empty when it is left out."""
        return JsonObject(self._content.get(name, {}), f"{self._where} `{name}`")

    def names(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the names of all members, each of the pattern's form, in order."""
        if not all(pattern.fullmatch(name) for name in self._content):
            raise self._wrong("has a member that is not of its form")
        return sorted(self._content)
