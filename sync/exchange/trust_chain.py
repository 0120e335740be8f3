"""Fetches the newest trust and, if the roots changed since the known one, the trusts in between (SPEC 5.1).

Tablets and staff clients call it. A server is not believed: every trust must follow from the known trust or from the
pin.
"""

from collections.abc import Callable, Sequence, Set

from sync.documents import trust
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.exchange.transport import RefusedError
from sync.wire.encoding import strict_json
from sync.wire.json_object import TEXT, JsonObject

# With these codes a newer trust may still follow, by way of trusts that the reader has not seen.
_ROOTS_DIFFER = ("trust.wrong_pin", "signed.too_few")


def fetch_trusts(get: Callable[[str], bytes], held: Trust | None, pin: str) -> tuple[Document, ...]:
    """Return trusts in rising order that a reader may accept one after the other; the last one is the newest.

    `get` fetches an address of the server. The reader holds `held`, or only the pin of roots. Raises SyncError if the
    newest trust follows from neither.
    """
    return follow_trusts(get, (Document.parse(get("/v1/trust")),), held, pin)


def follow_trusts(
    get: Callable[[str], bytes], offered: Sequence[Document], held: Trust | None, pin: str
) -> tuple[Document, ...]:
    """Return the offered trusts if they follow from what the reader holds; if roots changed, fetch those between."""
    if not offered:
        return fetch_trusts(get, held, pin)
    try:
        trust.accept_chain(offered, held, pin)
    except SyncError as wrong:
        if wrong.code not in _ROOTS_DIFFER:
            raise
        return _fetch_chain(get, held, pin, wrong)
    return tuple(offered)


def select_pins(get: Callable[[str], bytes], pins: Set[str]) -> set[str]:
    """Return those of many pins that are of roots in the server's trusts; nothing is verified yet.

    What it costs does not grow with the number of pins.
    """
    newest = trust.read(Document.parse(get("/v1/trust"))).pin
    if pins <= {newest}:
        return {*pins}
    return set(pins) & {newest, *(trust.read(each).pin for each in _list_trusts(get))}


def _fetch_chain(get: Callable[[str], bytes], held: Trust | None, pin: str, wrong: SyncError) -> tuple[Document, ...]:
    chain = _select_following(_list_trusts(get), held, pin)
    if not chain:
        raise wrong
    trust.accept_chain(chain, held, pin)
    return chain


def _list_trusts(get: Callable[[str], bytes]) -> list[Document]:
    try:
        listed = JsonObject(strict_json(get("/v1/trusts")), "the list of trusts").texts("trusts", TEXT)
    except RefusedError:  # A server of an older version lists no trusts.
        return []
    return [Document.parse(each.encode()) for each in listed]


def _select_following(listed: Sequence[Document], held: Trust | None, pin: str) -> tuple[Document, ...]:
    """Return the trusts after the held one; without one, those from the last trust whose roots have the pin."""
    known = [trust.read(each) for each in listed]
    if held is not None:
        return tuple(each for each, content in zip(listed, known, strict=True) if content.number > held.number)
    start = max((at for at, content in enumerate(known) if content.pin == pin), default=len(known))
    return tuple(listed[start:])
