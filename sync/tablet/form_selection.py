"""Chooses which version of each form a tablet uses (SPEC 5.7).

A tablet uses the version that the manifest names for it, once that is verified. Until then it uses the former one. A
refused version must not affect other forms. `sync.tablet.trusted_documents` calls it, and does the fetching and
storing.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from sync.durations import DAY
from sync.errors import SyncError

RETRY_INTERVAL = DAY  # The server or a machine on the way may have been at fault, so the tablet tries again.
CONNECTION_ERRORS = ("transport.unreachable", "transport.broken", "transport.too_slow")


@dataclass(frozen=True)
class VersionRefusal:
    """Why a version was refused, and the time of the last attempt (ms, the tablet's clock)."""

    code: str
    at: int

    def is_recent(self, now: int) -> bool:
        """Return whether it is too early to try again. A clock that was set back does not delay the attempt."""
        return abs(now - self.at) < RETRY_INTERVAL


@dataclass(frozen=True)
class FormSelection:
    """The versions of a tablet: hash in use by form id, refusal by hash, and new bundles by hash."""

    in_use: Mapping[str, str]
    refused: Mapping[str, VersionRefusal] = field(default_factory=dict)
    bundles: Mapping[str, bytes] = field(default_factory=dict)


def select_versions(
    named: Mapping[str, str],
    in_use: Mapping[str, str],
    fetch: Callable[[str, str], bytes],
    *,
    doubted: Set[str],
    not_retried: Mapping[str, VersionRefusal],
    now: int,
) -> FormSelection:
    """Choose the versions that a manifest names for this tablet. A form whose version is refused keeps its former one.

    `fetch` gets a form id and a hash, and returns the verified bundle. Its errors become refusals. Refusals in
    `not_retried` are not tried again. Versions in use that are `doubted` are verified again; a refused one of them is
    marked and stays in use.
    """
    kept = {form: sha for form, sha in in_use.items() if form in named}
    bundles, refused = dict[str, bytes](), dict[str, VersionRefusal]()
    for form, sha in named.items():
        if kept.get(form) == sha and sha not in doubted:
            continue
        if sha in not_retried:
            refused[sha] = not_retried[sha]
            continue
        try:
            bundles[sha] = fetch(form, sha)
        except SyncError as wrong:
            refused[sha] = VersionRefusal(wrong.code, now)
        else:
            kept[form] = sha
    return FormSelection(kept, refused, bundles)
