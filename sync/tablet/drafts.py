"""Unfinished interviews, stored on the tablet in encrypted form.

After each answer the draft is saved, so a power cut loses at most one answer. A draft never leaves the tablet. It is
deleted for its age only after a warning: a lost screening is a lost person.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sync.durations import DAY
from sync.errors import SyncError
from sync.tablet.encrypted_files import EncryptedFiles
from sync.tablet.outbox import Outbox
from sync.tablet.unshown_guidance import UnshownGuidance

LIFETIME = 14 * DAY  # An inspector's round takes a week or two. After that an abandoned draft is only a danger.
WARNING_PERIOD = 3 * DAY
PLAINTEXT_BYTES = 8192  # One length for all. The longest interview of the catalogue takes a third of it.


@dataclass(frozen=True)
class Draft:
    """One unfinished interview. `id` is the jti that it will be sealed under; `sha` is its form version.

    Times are milliseconds of the tablet's clock. `warned` is the time of the first warning about its end, 0 = none yet.
    `content` is the interview's state, and appears in no repr.
    """

    id: str
    sha: str
    begun: int
    saved: int
    language: str
    content: Mapping[str, Any] = field(repr=False)
    warned: int = 0

    @property
    def ends(self) -> int:
        """The time of its deletion, unless an interviewer goes on with it or no warning was given."""
        return self.saved + LIFETIME

    def is_ending(self, now: int) -> bool:
        """Whether the tablet should warn about its end."""
        return now >= self.ends - WARNING_PERIOD

    def destroyed_from(self, now: int) -> int:
        """The earliest time of deletion: past its end, and three days after a warning.

        Without a warning, the three days count from now.
        """
        return max(self.ends, (self.warned if 0 < self.warned <= now else now) + WARNING_PERIOD)


class Drafts:
    """The drafts of one tablet, one encrypted file each, and beside them the guidance that was not shown yet."""

    def __init__(self, folder: Path, outbox: Outbox) -> None:
        self._files, self._outbox = EncryptedFiles(folder, outbox, "draft", PLAINTEXT_BYTES), outbox
        self.guidance = UnshownGuidance(folder, outbox)

    def save(self, draft: Draft) -> None:
        """Write a draft atomically. When this returns, a power cut cannot undo it."""
        content = {name: value for name, value in asdict(draft).items() if name not in ("id", "sha")}
        self._files.save(draft.id, draft.sha, content)

    def load(self, draft_id: str) -> Draft:
        """Decrypt a draft. Raise SyncError `draft.unopenable` if it is damaged, or is another draft or tablet's."""
        sha, content = self._files.load(draft_id)
        return Draft(id=draft_id, sha=sha, **content)

    def list_all(self) -> tuple[Draft, ...]:
        """Return the drafts that can be decrypted, oldest first, without those that were sealed before a power cut."""
        drafts = [draft for draft_id in self._ids() if (draft := self._try_load(draft_id))]
        return tuple(sorted(drafts, key=lambda draft: (draft.begun, draft.id)))

    def list_damaged(self) -> tuple[Path, ...]:
        """Return the files that cannot be decrypted. This class never deletes them."""
        return tuple(self.path_of(draft_id) for draft_id in self._ids() if self._try_load(draft_id) is None)

    def bundle_names(self) -> frozenset[str]:
        """Return the names of the stored bundles that drafts or unshown guidance need; this decrypts nothing."""
        self._ids()  # Drafts that were sealed before a power cut need no bundle.
        return frozenset(f"bundle/{sha}" for sha in self._files.shas() | self.guidance.shas())

    def destroy(self, draft_id: str) -> None:
        """Delete a draft. If it was not sealed, the guidance that was prepared for it goes too."""
        self.guidance.destroy_unsealed(draft_id)
        self._files.destroy(draft_id)

    # Age

    def list_ending(self, now: int) -> tuple[Draft, ...]:
        """Return the drafts whose end is near or past."""
        return tuple(draft for draft in self.list_all() if draft.is_ending(now))

    def record_warning(self, drafts: Sequence[Draft], now: int) -> None:
        """Record the time of a warning about these drafts. If the clock went back, the three days begin again."""
        for draft in drafts:
            if not 0 < draft.warned <= now:
                self.save(replace(draft, warned=now))

    def destroy_expired(self, now: int) -> tuple[Draft, ...]:
        """Delete the drafts past their end whose warning is at least three days old; return them."""
        ended = [draft for draft in self.list_all() if draft.destroyed_from(now) <= now]
        for draft in ended:
            self.destroy(draft.id)
        return tuple(ended)

    def path_of(self, draft_id: str) -> Path:
        """The file of a draft, whether it exists or not."""
        return self._files.path_of(draft_id)

    # Inside

    def _ids(self) -> list[str]:
        sealed, ids = set(self._outbox.envelopes.screening_ids().values()), self._files.ids()
        for draft_id in sealed.intersection(ids):
            self.destroy(draft_id)
        return sorted(set(ids) - sealed)

    def _try_load(self, draft_id: str) -> Draft | None:
        with suppress(SyncError):
            return self.load(draft_id)
        return None
