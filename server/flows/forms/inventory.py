"""Inventory: which form versions are on which tablets, compared with the manifests. The staff API calls it.

It shows which tablet holds which version, which tablets are behind and since when, and which are silent. The source is
each tablet's last sync request. This module must not write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from server.database.connection import Connection, Database
from server.store import devices, documents, versions
from server.store.devices import Device
from server.store.versions import FormVersion
from sync.documents import manifest
from sync.documents.manifest import Manifest
from sync.documents.signed import Document

_Group = tuple[str, str, str]


@dataclass(frozen=True)
class VersionCount:
    """One version in one region: how many tablets hold it, how many of those are behind, and how many are silent.

    `due` counts the tablets that the manifest gives this version to. `since` (ms) is when the first tablet that is
    behind should have changed. An empty `sha` stands for tablets that hold no version of the form.
    """

    form: str
    sha: str
    version: str
    channel: str
    state: str
    region: str
    held: int
    due: int
    behind: int
    since: int | None
    silent: int


@dataclass(frozen=True)
class OutdatedTablet:
    """A tablet whose version of a form differs from the manifest's, and since when."""

    dev: str
    label: str
    region: str
    form: str
    held: str
    wanted: str
    since: int
    seen: int | None
    silent: bool


@dataclass(frozen=True)
class FormInventory:
    """The counts by version and region, the tablets that are behind (longest first), and the silent tablets."""

    versions: list[VersionCount]
    behind: list[OutdatedTablet]
    silent: list[Device]


@dataclass(frozen=True)
class _Assignment:
    """A tablet and a form: the version it holds, the version it should hold, and since when (ms)."""

    device: Device
    form: str
    held: str
    wanted: str
    since: int
    silent: bool

    @property
    def is_behind(self) -> bool:
        return self.held != self.wanted


def take_inventory(db: Database, *, region: str | None, silent_days: int, now: int) -> FormInventory:
    """Return the inventory of all certified tablets, or of those in a region (codes that begin with `region`)."""
    connection = db.read()
    known = {each.sha: each for each in versions.list_versions(connection)}
    tablets = [each for each in devices.list_devices(connection) if each.state == "certified"]
    silent_devs = {each.dev for each in tablets if _is_silent(each, now, silent_days)}
    tablets = [each for each in tablets if each.region.startswith(region or "")]
    assignments = list(_list_assignments(connection, tablets, silent_devs))
    return FormInventory(
        [_count(group, known, *found) for group, found in sorted(_group(assignments).items())],
        sorted(
            (_describe_outdated(each) for each in assignments if each.is_behind),
            key=lambda each: (each.since, each.dev),
        ),
        [each for each in tablets if each.dev in silent_devs],
    )


def _is_silent(device: Device, now: int, days: int) -> bool:
    last = device.certified if device.seen is None else device.seen
    return last is not None and devices.is_silent(last, now=now, days=days)


def _list_assignments(c: Connection, tablets: Sequence[Device], silent_devs: set[str]) -> Iterator[_Assignment]:
    history, inventories = _read_manifest_history(c), devices.list_inventories(c)
    for device in tablets:
        held = inventories.get(device.dev, {})
        for form in sorted(held.keys() | history.keys()):
            wanted, since = _choose_version(history.get(form, []), form, device)
            if wanted or form in held:
                since = max(since, device.certified or 0)
                yield _Assignment(device, form, held.get(form, ""), wanted, since, device.dev in silent_devs)


def _read_manifest_history(c: Connection) -> dict[str, list[tuple[int, Manifest]]]:
    """Return each change of the manifests' entries per form, with its time (ms); newest first."""
    history: dict[str, list[tuple[int, Manifest]]] = {}
    for at, body in reversed(documents.list_documents(c, "manifest")):
        read = manifest.read(Document.parse(body))
        for form in history.keys() | read.forms.keys():
            before = history.setdefault(form, [])
            if not before or before[0][1].forms.get(form) != read.forms.get(form):
                before.insert(0, (at, read))
    return history


def _choose_version(history: Sequence[tuple[int, Manifest]], form: str, device: Device) -> tuple[str, int]:
    """Return the version a tablet should hold (empty = none), and since when (ms) the manifests say so."""
    chosen = [(each.choose(form, device.dev, device.region) or "", at) for at, each in history]
    wanted = chosen[0][0] if chosen else ""
    return wanted, min((at for _, at in takewhile(lambda each: each[0] == wanted, chosen)), default=0)


def _group(assignments: Sequence[_Assignment]) -> dict[_Group, tuple[list[_Assignment], int]]:
    """Return, per form, region and version, the tablets that hold it and how many should hold it."""
    holders: dict[_Group, list[_Assignment]] = {}
    due: Counter[_Group] = Counter()
    for each in assignments:
        held, wanted = ((each.form, each.device.region, sha) for sha in (each.held, each.wanted))
        holders.setdefault(held, []).append(each)
        if each.wanted:
            holders.setdefault(wanted, [])
            due[wanted] += 1
    return {group: (found, due[group]) for group, found in holders.items()}


def _count(group: _Group, known: dict[str, FormVersion], holders: Sequence[_Assignment], due: int) -> VersionCount:
    form, region, sha = group
    late = [each.since for each in holders if each.is_behind]
    version = known.get(sha)
    return VersionCount(
        form,
        sha,
        version.version if version else "",
        version.channel if version else "",
        version.state if version else "",
        region,
        held=len(holders),
        due=due,
        behind=len(late),
        since=min(late, default=None),
        silent=sum(each.silent for each in holders),
    )


def _describe_outdated(assignment: _Assignment) -> OutdatedTablet:
    device = assignment.device
    return OutdatedTablet(
        device.dev,
        device.label,
        device.region,
        assignment.form,
        assignment.held,
        assignment.wanted,
        assignment.since,
        device.seen,
        assignment.silent,
    )
