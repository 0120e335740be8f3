"""Values that try to control a terminal or to look like the program's own words, wherever a server can put one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

NASTY = (
    "[/x][bold]forged :smile: \x1b]0;t\x07\x1b[2J \u202etxt \x9b2K\u200b\U000e0041 \nRecalculado aquí\r\x85end\u2028"
)
MARK = "[/x][bold]"
"""The part of NASTY that a reader must see as it is."""
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\U000e0000-\U000e007f]")


class HostileStaff:
    """A signed-in session whose server answers as its OpenAPI document says, with NASTY in every text.

    `own` has members that a command needs in order to go on; they are taken by name, at any depth.
    """

    def __init__(self, document: dict[str, Any], **own: Any) -> None:
        self._document, self._own = document, own

    def __enter__(self) -> HostileStaff:
        return self

    def __exit__(self, *ended: object) -> None:
        """Do nothing: there is no session."""

    def get(self, path: str) -> Any:
        """Return the JSON of a GET."""
        return self._answer("get", path)

    def pages(self, path: str) -> Iterator[list[Any]]:
        """Yield the two pages of a list."""
        yield from (self.get(path), self.get(path))

    def list(self, path: str) -> list[Any]:
        """Return the only page of a list."""
        found: list[Any] = self.get(path)
        return found

    def post(self, path: str, json: Any = None, data: bytes | None = None) -> Any:
        """Return the JSON of a POST."""
        return self._answer("post", path)

    def put(self, path: str, json: Any = None, data: bytes | None = None) -> Any:
        """Return the JSON of a PUT."""
        return self._answer("put", path)

    def delete(self, path: str) -> Any:
        """Return the JSON of a DELETE."""
        return self._answer("delete", path)

    def _answer(self, method: str, path: str) -> Any:
        asked = path.partition("?")[0]
        fixed_first = sorted(self._document["paths"].items(), key=lambda each: each[0].count("{"))
        operation = next(
            held[method]
            for known, held in fixed_first
            if method in held and re.fullmatch(re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(known)), asked)
        )
        answer = next(said for status, said in operation["responses"].items() if status.startswith("2"))
        if "$ref" in answer or not answer.get("content"):
            return None
        return self._value(answer["content"]["application/json"]["schema"])

    def _value(self, schema: dict[str, Any], name: str = "") -> Any:
        if name in self._own:
            return self._own[name]
        if "$ref" in schema:
            return self._value(self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        for some in ("allOf", "anyOf", "oneOf"):
            if some in schema:
                return self._value(next(each for each in schema[some] if each.get("type") != "null"))
        kinds = schema.get("type", "string")
        kind = next(each for each in ([kinds] if isinstance(kinds, str) else kinds) if each != "null")
        if kind == "object":
            members = {each: self._value(held, each) for each, held in schema.get("properties", {}).items()}
            others = schema.get("additionalProperties")
            return members | ({NASTY: self._value(others)} if isinstance(others, dict) and others else {})
        if kind == "array":
            return [self._value(schema.get("items", {}))]
        return {"integer": 1, "number": 1, "boolean": True}.get(kind, NASTY)
