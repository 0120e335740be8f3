"""What an envelope seals: the context of a screening, then its instance (SPEC 8.2).

The context holds what a desk needs in order to read the instance. The route cannot hold it alone: a route may be
unreadable, and the server erases it. The server must never call this module.
"""

from dataclasses import dataclass
from typing import Any, Self

from sync.errors import SyncError
from sync.wire.encoding import canonical, strict_json
from sync.wire.json_object import SHA256_HEX

MAX_CONTEXT_BYTES = 512
_BEGINS_A_CONTEXT = b"{"


@dataclass(frozen=True)
class Context:
    """What a desk needs in order to read an instance. `sha` is the hash of its form version."""

    sha: str

    @classmethod
    def from_bytes(cls, line: bytes) -> Self:
        """Read a context. Raise SyncError `seal.bad_context` unless it has its one form."""
        try:
            members = strict_json(line)
        except SyncError as wrong:
            raise SyncError("seal.bad_context", wrong.detail) from wrong
        if set(members) != {"sha"} or not _is_hash(members["sha"]) or canonical(members) != line:
            raise SyncError("seal.bad_context", "a context is canonical JSON with exactly the members of SPEC 8.2")
        return cls(members["sha"])

    def to_bytes(self) -> bytes:
        """Write the context as canonical JSON."""
        return canonical({"sha": self.sha})


@dataclass(frozen=True)
class Content:
    """An instance and its context. The context is None in a screening of a tablet that is too old to seal one."""

    instance: bytes
    context: Context | None

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read a content. Raise SyncError `seal.bad_context` if it begins with a context that is not well-formed."""
        if not raw.startswith(_BEGINS_A_CONTEXT):
            return cls(raw, None)
        end = raw.find(b"\n", 0, MAX_CONTEXT_BYTES + 1)
        if end < 0:
            raise SyncError("seal.bad_context", f"no line feed after at most {MAX_CONTEXT_BYTES} bytes of context")
        return cls(raw[end + 1 :], Context.from_bytes(raw[:end]))

    def to_bytes(self) -> bytes:
        """Write the content as SPEC 8.2 says."""
        return self.instance if self.context is None else self.context.to_bytes() + b"\n" + self.instance


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and SHA256_HEX.fullmatch(value) is not None
