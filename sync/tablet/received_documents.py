"""The documents that responses brought and that are not accepted yet, as the tablet keeps them (SPEC 11.3 rule 11).

A poor line brings them in several responses and may be cut between two; the next sync then goes on.
`sync.tablet.sync_client` collects them, and `sync.tablet.trusted_documents` verifies them together and removes them.
Nothing in them is trusted before.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange.messages import Response
from sync.tablet.document_store import DocumentStore
from sync.wire.encoding import canonical, strict_json
from sync.wire.json_object import TEXT, JsonObject


@dataclass(frozen=True)
class ReceivedDocuments:
    """Trusts in rising order, and the newest registry and manifest. `whole`: the last response left nothing out.

    `forms` is the stream of versions that came along, as text. It is not stored: they can be fetched.
    """

    NAME: ClassVar[str] = "received"
    trust: tuple[Document, ...] = ()
    registry: Document | None = None
    manifest: Document | None = None
    whole: bool = True
    forms: str = ""

    def add(self, response: Response) -> Self:
        """Return these documents with those of the next response."""
        return replace(
            self,
            trust=(*self.trust, *response.trust),
            registry=response.registry or self.registry,
            manifest=response.manifest or self.manifest,
            whole=not response.more,
            forms=response.forms or self.forms,
        )

    def numbers(self, trust: int, registry: int, manifest: int) -> tuple[int, int, int]:
        """Return the highest number of each kind, of these documents and of those held."""
        return _highest(trust, *self.trust), _highest(registry, self.registry), _highest(manifest, self.manifest)

    def save(self, store: DocumentStore) -> None:
        """Store them, if there are any."""
        named = {"registry": self.registry, "manifest": self.manifest}
        said = {name: _text(document) for name, document in named.items() if document is not None}
        if self.trust or said:
            store.update({self.NAME: canonical({**said, "trust": [*map(_text, self.trust)], "whole": self.whole})})

    @classmethod
    def load(cls, store: DocumentStore) -> Self:
        """Return the stored ones, or none."""
        body = store.get(cls.NAME)
        try:
            said = JsonObject(strict_json(body or b'{"trust":[]}'), "received documents")
            registry, manifest = (_parse(said.text(name, TEXT)) if said.has(name) else None for name in _SINGLE)
            trust = tuple(map(_parse, said.texts("trust", TEXT)))
            return cls(trust, registry, manifest, said.flag("whole") if body else True)
        except SyncError:
            return cls()


_SINGLE = ("registry", "manifest")


def _text(document: Document) -> str:
    return document.to_bytes().decode()


def _parse(text: str) -> Document:
    return Document.parse(text.encode())


def _highest(held: int, *documents: Document | None) -> int:
    numbers = [document.content.get("number") for document in documents if document is not None]
    return max([held, *(number for number in numbers if type(number) is int)])
