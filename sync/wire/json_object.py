"""Typed reading of JSON objects from other parties.

All documents and the exchange use it. It checks shapes only, and ignores unknown members, so that documents can grow
(SPEC 4.4).
"""

import re
from collections.abc import Mapping
from typing import Any

from sync.errors import SyncError
from sync.wire.encoding import MAX_INTEGER

KID = re.compile(r"[A-Za-z0-9_-]{22}")
HALF_ID = re.compile(r"[A-Za-z0-9_-]{11}")
SHA256_HEX = re.compile(r"[0-9a-f]{64}")
SHA256_SHORT = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")  # Its last two bits are zero (SPEC 2.1).
SIGNATURE = re.compile(r"[A-Za-z0-9_-]{86}")
FORM_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
LABEL = re.compile(r"[^\x00-\x1f\x7f]{0,80}")
CODE = re.compile(r"(?=.{1,64}\Z)[a-z_]+(\.[a-z0-9_]+)*")
TEXT = re.compile(r"(?s).*")


class JsonObject:
    """One JSON object with typed readers for its members; they raise SyncError `document.malformed`."""

    def __init__(self, content: Any, *where: str) -> None:
        self._where = where  # Put together only for an error.
        if type(content) is not dict and not isinstance(content, Mapping):
            raise self._wrong("must be an object")
        self._content = content

    def _wrong(self, why: str) -> SyncError:
        where, *names = self._where
        return SyncError("document.malformed", " ".join([where, *(f"`{name}`" for name in names), why]))

    def array(self, name: str, maximum: int | None = None) -> list[Any]:
        """Return an array of any values; a missing member is empty."""
        values = self._content.get(name, [])
        if not isinstance(values, list):
            raise self._wrong(f"`{name}` must be an array")
        if maximum is not None and len(values) > maximum:
            raise self._wrong(f"`{name}` may have {maximum} entries")
        return values

    def has(self, name: str) -> bool:
        """Whether the member is present."""
        return name in self._content

    def is_object(self, name: str) -> bool:
        """Whether the member is an object."""
        return isinstance(self._content.get(name), Mapping)

    def integer(self, name: str, minimum: int = 0, default: int | None = None) -> int:
        """Return an integer from `minimum` to 2^53 - 1."""
        value = self._content.get(name, default)
        if type(value) is not int or not minimum <= value <= MAX_INTEGER:
            raise self._wrong(f"`{name}` must be an integer from {minimum}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; a missing member is False."""
        value = self._content.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(f"`{name}` must be true or false")
        return value

    def text(self, name: str, pattern: re.Pattern[str], default: str | None = None) -> str:
        """Return a string that matches the whole pattern."""
        value = self._content.get(name, default)
        if not isinstance(value, str) or (value != default and not pattern.fullmatch(value)):
            raise self._wrong(f"`{name}` is missing or malformed")
        return value

    def texts(self, name: str, pattern: re.Pattern[str], maximum: int | None = None) -> tuple[str, ...]:
        """Return an array of such strings; a missing member is empty."""
        values = self.array(name, maximum)
        if not all(isinstance(value, str) and pattern.fullmatch(value) for value in values):
            raise self._wrong(f"`{name}` has a malformed entry")
        return tuple(values)

    def objects(self, name: str) -> "list[JsonObject]":
        """Return an array of objects; a missing member is empty."""
        return [JsonObject(value, *self._where, name) for value in self.array(name)]

    def pairs(self, name: str, maximum: int) -> tuple[tuple[int, int], ...]:
        """Return an array of arrays of two integers from 1."""
        values = self.array(name, maximum)
        for value in values:
            if not (isinstance(value, list) and len(value) == 2 and all(_is_positive(each) for each in value)):
                raise self._wrong(f"`{name}` has a malformed entry")
        return tuple((first, last) for first, last in values)

    def object(self, name: str) -> "JsonObject":
        """Return an object; a missing member is empty."""
        return JsonObject(self._content.get(name, {}), *self._where, name)

    def names(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the names of all members in order; each must match the pattern."""
        if not all(pattern.fullmatch(name) for name in self._content):
            raise self._wrong("has a member with a malformed name")
        return sorted(self._content)


def _is_positive(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_INTEGER
