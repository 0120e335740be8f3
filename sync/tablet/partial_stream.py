"""What came of a stream of form versions before the connection was cut, as the tablet keeps it (SPEC 12.2).

`sync.tablet.form_download` calls it. It is one row of the documents' table, bounded by the size of one version, and a
wipe deletes it. Nothing in it is trusted: its texts become a request, so their form is checked, and what its bytes
become is verified like any other version.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from sync.errors import SyncError
from sync.exchange.bundle_stream import MAX_WANTED, WANTED, StreamReader, Wanted
from sync.tablet.document_store import DocumentStore
from sync.wire.encoding import canonical, strict_json
from sync.wire.json_object import SHA256_HEX, JsonObject

_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,128}"')


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
        if _STRONG_ETAG.fullmatch(self.etag) and self.reader.waiting:
            told = {"wanted": [*self.wanted], "etag": self.etag, "start": self.reader.start}
            head = canonical({**told, "waiting": sorted(self.reader.waiting)})
            store.update({self.NAME: head + b"\n" + bytes(self.reader.rest)})

    @classmethod
    def load(cls, store: DocumentStore) -> Self | None:
        """Return the stored part, or None without one that asks for something."""
        head, _, rest = (store.get(cls.NAME) or b"").partition(b"\n")
        try:
            told = JsonObject(strict_json(head), "a download")
            wanted, waiting = told.texts("wanted", WANTED, MAX_WANTED), {*told.texts("waiting", SHA256_HEX)}
            reader = StreamReader(waiting, told.integer("start"), bytearray(rest))
            part = cls(wanted, told.text("etag", _STRONG_ETAG), reader)
        except SyncError:
            return None
        asked = {Wanted.parse(each).sha for each in wanted}
        return part if waiting and waiting <= asked else None
