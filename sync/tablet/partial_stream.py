"""What came of a stream of form versions before the connection was cut, as the tablet keeps it (SPEC 12.2).

`sync.tablet.form_download` calls it. It is one row of the documents' table, bounded by the size of one version, and a
wipe deletes it. Nothing in it is trusted: what it becomes is verified like any other version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from sync.errors import SyncError
from sync.exchange.bundle_stream import StreamReader
from sync.tablet.document_store import DocumentStore
from sync.wire.encoding import canonical, strict_json
from sync.wire.json_object import TEXT, JsonObject


@dataclass(frozen=True)
class PartialStream:
    """The versions that were asked for as in the address, the strong ETag of the stream, and its reader."""

    NAME: ClassVar[str] = "download"
    wanted: Sequence[str]
    etag: str
    reader: StreamReader

    @property
    def waiting(self) -> set[str]:
        """The hashes of the versions that have not come."""
        return self.reader.waiting

    @property
    def length(self) -> int:
        """The number of bytes of the stream that came."""
        return self.reader.start + len(self.reader.rest)

    def headers(self) -> dict[str, str]:
        """Return the headers that ask for the rest, or for the whole if the stream has changed since."""
        return {"Range": f"bytes={self.length}-", "If-Range": self.etag}

    def save(self, store: DocumentStore) -> None:
        """Store this part, if the server can continue it."""
        if self.etag.startswith('"') and self.reader.waiting:
            told = {"wanted": [*self.wanted], "etag": self.etag, "start": self.reader.start}
            head = canonical({**told, "waiting": sorted(self.reader.waiting)})
            store.update({self.NAME: head + b"\n" + bytes(self.reader.rest)})

    @classmethod
    def load(cls, store: DocumentStore) -> Self | None:
        """Return the stored part, or None."""
        head, _, rest = (store.get(cls.NAME) or b"").partition(b"\n")
        try:
            told = JsonObject(strict_json(head), "a download")
            reader = StreamReader.of({*told.texts("waiting", TEXT)}, told.integer("start"))
            reader.rest += rest
            return cls(told.texts("wanted", TEXT), told.text("etag", TEXT), reader)
        except SyncError:
            return None
