"""Which version of each form a tablet works with (SPEC 5.7): the one that the manifest names for it, once that is
verified; until then the former one. One refused version never costs the others.

Called by sync.tablet.trusted_documents, which fetches and keeps.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from sync.durations import DAY
from sync.errors import SyncError
from sync.exchange.transport import RefusedError

RETRY_INTERVAL = DAY  # Whoever is on the line, or the server, may have been at fault: it is tried again.
_CONNECTION_ERRORS = ("transport.unreachable", "transport.broken")


@dataclass(frozen=True)
class VersionRefusal:
    """Why a version was not taken, and when it was tried last (ms, the tablet's clock)."""

    code: str
    at: int

    def is_recent(self, now: int) -> bool:
        """Say whether it is too early to try again; a clock that was put back does not make it later."""
        return abs(now - self.at) < RETRY_INTERVAL


@dataclass(frozen=True)
class FormSelection:
    """What a tablet works with: the hash in use by form id, what it refuses by hash, and new bundles by hash."""

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
    """Take the versions that a manifest names for this tablet; a form whose version is refused keeps its former one.

    `fetch` gets a form id and a hash, and returns the bundle once it is verified. What it refuses is remembered, but
    for a line that is dead or a server that cannot answer, which raises. Refusals in `not_retried` are not tried again.
    Of the versions in use those that are `doubted` are verified anew; a refused one is marked and stays in use.
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
            if _is_connection_error(wrong):
                raise
            refused[sha] = VersionRefusal(wrong.code, now)
        else:
            kept[form] = sha
    return FormSelection(kept, refused, bundles)


def _is_connection_error(wrong: SyncError) -> bool:
    if isinstance(wrong, RefusedError):
        return wrong.code != "form.unknown"
    return wrong.code in _CONNECTION_ERRORS
