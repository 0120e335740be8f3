"""Finds what a new trust would orphan: signed documents in use by keys that it no longer names.

`server.flows.trust.documents` refuses such a trust, because desks, syncs or publishing would stop (SPEC 5.1). A form
version that tablets may still fetch needs both signers. One that is only read needs one of them (SPEC 5.7).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from server.database.connection import Connection
from server.problems import Problem
from server.store import devices, documents, orders, versions
from sync.documents import bundle, device_order, enrolment, manifest, registry
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError

_MOST_NAMED = 20  # A problem names this many of each kind, and the number of all.


@dataclass(frozen=True)
class _Signed:
    """A signed document in use: its kind and name for people, and the check that its readers make by a trust."""

    kind: str
    name: str
    accept: Callable[[Trust], object]

    def is_accepted(self, trust: Trust) -> bool:
        with suppress(SyncError):
            self.accept(trust)
            return True
        return False


def refuse_orphans(c: Connection, held: Trust, offered: Trust, orphan: Collection[str] = ()) -> None:
    """Raise Problem `trust.orphans` if documents in use count under the held trust, but not under the offered one.

    What counts only by the keys in `orphan` is given up on purpose. The problem's member `orphans` is an object from
    kind to `{"count", "names"}` with the first names.
    """
    kept = _without(held, orphan)
    names: dict[str, dict[str, None]] = {}  # Each name once, in order.
    for each in _list_signed(c, held, offered):
        if not each.is_accepted(offered) and each.is_accepted(kept):
            names.setdefault(each.kind, {})[each.name] = None
    if names:
        told = {kind: {"count": len(found), "names": [*found][:_MOST_NAMED]} for kind, found in names.items()}
        detail = ", ".join(f"{kind}: {len(found)}" for kind, found in names.items())
        raise Problem("trust.orphans", detail, orphans=told)


def _without(trust: Trust, kids: Collection[str]) -> Trust:
    offices = ("registrars", "servers", "authors", "reviewers")
    named: dict[str, Any] = {
        name: {kid: key for kid, key in getattr(trust, name).items() if kid not in kids} for name in offices
    }
    return replace(trust, **named)


def _list_signed(c: Connection, held: Trust, offered: Trust) -> Iterator[_Signed]:
    """Yield what a dropped key may have signed. Most trusts drop none, and there may be thousands of certificates."""
    if held.registrars.keys() - offered.registrars.keys():
        yield from _signed_by_registrars(c)
    if held.servers.keys() - offered.servers.keys():
        yield from _newest(c, "manifest", manifest.accept)
    if (held.authors, held.reviewers) != (offered.authors, offered.reviewers):
        yield from _forms_in_use(c)


def _signed_by_registrars(c: Connection) -> Iterator[_Signed]:
    yield from _newest(c, "registry", registry.accept)
    known = devices.list_devices(c)
    for device in known:
        if device.certificate:
            document = Document.parse(device.certificate)
            yield _Signed("certificate", device.dev, partial(enrolment.accept_certificate, document, dev=device.dev))
    for dev, given in orders.list_orders_by_tablet(c, [device.dev for device in known]).items():
        # A later order of the same kind replaces one that waits. A stolen tablet may never come back for the first.
        waiting = {order.kind: order for order in given if order.carried_out is None}
        for order in waiting.values():
            document = Document.parse(order.body)
            yield _Signed("order", f"{dev} {order.number}", partial(device_order.accept, document, dev=dev))


def _newest(c: Connection, kind: str, accept: Callable[[Document, Trust, None], object]) -> Iterator[_Signed]:
    stored = documents.get_newest(c, kind)
    if stored is not None:
        document = Document.parse(stored.body)
        yield _Signed(kind, str(stored.number), lambda trust: accept(document, trust, None))


def _forms_in_use(c: Connection) -> Iterator[_Signed]:
    for version in versions.list_versions(c):
        if version.state not in ("approved", *versions.IN_USE):
            continue
        document, name = Document.parse(versions.get_signed_bytes(c, version.id)), f"{version.form} {version.version}"
        # Desks read stored screenings with every version that was ever in use. Tablets may have begun one with it.
        yield _Signed("form", name, partial(bundle.accept_for_reading, document, sha=version.sha))
        if version.state in ("approved", "published"):  # A tablet takes a new version only with both signatures.
            yield _Signed("form", name, partial(bundle.accept, document, sha=version.sha))
