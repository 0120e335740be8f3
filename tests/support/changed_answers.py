"""Changes of what a server answers to a tablet's pull, for the proxy of `support.clients`."""

from __future__ import annotations

import json
from collections.abc import Callable

from server.store import versions
from support.clients import Office, PassingAnswer
from sync.exchange.bundle_stream import Piece, Wanted
from sync.wire.encoding import b64u, unb64u

Change = Callable[[bytes], bytes]
Answer = Callable[[PassingAnswer], None]


def asks_for_forms(path: str) -> bool:
    """Whether a path asks for form versions."""
    return path.startswith("/v1/forms?")


def wanted_in(path: str) -> list[Wanted]:
    """The versions that a path asks for."""
    return [Wanted.parse(each) for each in path.partition("want=")[2].split(",")]


def change_documents(name: str, change: Change) -> Answer:
    """Change a document of the answer to a pull: `registry`, `manifest` or `certificate`."""

    def answer(passing: PassingAnswer) -> None:
        if passing.path.partition("?")[0].endswith("/documents"):
            told = json.loads(passing.plain)
            told[name] = change(told[name].encode()).decode("latin-1")
            passing.put(json.dumps(told).encode())

    return answer


def offer_trusts(*trusts: bytes) -> Answer:
    """Put these trusts into the answer to a pull."""

    def answer(passing: PassingAnswer) -> None:
        if passing.path.partition("?")[0].endswith("/documents"):
            passing.put(
                json.dumps({**json.loads(passing.plain), "trusts": [each.decode() for each in trusts]}).encode()
            )

    return answer


def change_keys(change: Change) -> Answer:
    """Change every public key that is sent."""

    def answer(passing: PassingAnswer) -> None:
        if passing.path.startswith("/v1/keys") or passing.path.partition("?")[0].endswith("/documents"):
            told = json.loads(passing.plain)
            told["keys"] = [b64u(change(unb64u(key))) for key in told["keys"]]
            passing.put(json.dumps(told).encode())

    return answer


def change_forms(office: Office, change: Change, *, only: str = "") -> Answer:
    """Send changed form versions as a stream without codings; with `only` that version alone is changed."""

    def answer(passing: PassingAnswer) -> None:
        if asks_for_forms(passing.path):
            pieces = []
            for each in wanted_in(passing.path):
                body = versions.find_bytes_in_use(office.field.services.db.read(), each.sha)
                assert body is not None
                pieces.append(Piece(each.sha, "", change(body) if only in ("", each.sha) else body))
            passing.put(b"".join(piece.to_bytes() for piece in pieces))

    return answer


def withhold_forms(passing: PassingAnswer) -> None:
    """Answer that every form version is unknown."""
    if asks_for_forms(passing.path):
        pieces = [Piece(each.sha, code="form.unknown") for each in wanted_in(passing.path)]
        passing.put(b"".join(piece.to_bytes() for piece in pieces))
