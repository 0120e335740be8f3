"""Unfinished interviews, stored on the tablet in encrypted form.

After each answer the draft is saved, so a power cut loses at most one answer. A draft never leaves the tablet. It is
deleted for its age only after a warning: a lost screening is a lost person.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sync.atomic_file import UNFINISHED, replace_file, sync_folder
from sync.durations import DAY
from sync.envelope.seal import pack_plaintext, unpack_plaintext
from sync.errors import SyncError
from sync.tablet.outbox import Outbox
from sync.wire.encoding import canonical, strict_json

LIFETIME = 14 * DAY  # An inspector's round takes a week or two. After that an abandoned draft is only a danger.
WARNING_PERIOD = 3 * DAY
PLAINTEXT_BYTES = 8192  # One length for all. The longest interview of the catalogue takes a third of it.
HEADER = re.compile(rb"chaski-1/draft/([A-Za-z0-9_-]{22})/([0-9a-f]{64})\n")
NONCE_BYTES = 12


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
    """The drafts of one tablet, one file each.

    The outbox stores their key, and a wipe deletes it. So after a wipe no older copy of a draft on the disk can be
    read.
    """

    def __init__(self, folder: Path, outbox: Outbox) -> None:
        self._folder, self._outbox = folder, outbox

    def save(self, draft: Draft) -> None:
        """Write a draft atomically. When this returns, a power cut cannot undo it."""
        header = f"chaski-1/draft/{draft.id}/{draft.sha}\n".encode()
        nonce = secrets.token_bytes(NONCE_BYTES)
        content = {name: value for name, value in asdict(draft).items() if name not in ("id", "sha")}
        sealed = self._cipher(draft.id).encrypt(nonce, pack_plaintext(canonical(content), PLAINTEXT_BYTES), header)
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700)
            sync_folder(self._folder.parent)
        replace_file(self.path_of(draft.id), header + nonce + sealed)

    def load(self, draft_id: str) -> Draft:
        """Decrypt a draft. Raise SyncError `draft.unopenable` if it is damaged, or is another draft or tablet's."""
        body = self._body(draft_id)
        header = HEADER.match(body)
        if header is None or header[1].decode() != draft_id:
            raise SyncError("draft.unopenable", f"{self.path_of(draft_id)} is not the draft that its name says")
        nonce, sealed = body[header.end() :][:NONCE_BYTES], body[header.end() + NONCE_BYTES :]
        try:
            plain = unpack_plaintext(self._cipher(draft_id).decrypt(nonce, sealed, header[0]))
        except (InvalidTag, ValueError) as wrong:
            raise SyncError("draft.unopenable", f"{self.path_of(draft_id)}: another tablet's, or damaged") from wrong
        return Draft(id=draft_id, sha=header[2].decode(), **strict_json(plain))

    def list_all(self) -> tuple[Draft, ...]:
        """Return the drafts that can be decrypted, oldest first, without those that were sealed before a power cut."""
        drafts = [draft for draft_id in self._ids() if (draft := self._try_load(draft_id))]
        return tuple(sorted(drafts, key=lambda draft: (draft.begun, draft.id)))

    def list_damaged(self) -> tuple[Path, ...]:
        """Return the files that cannot be decrypted. This class never deletes them."""
        return tuple(self.path_of(draft_id) for draft_id in self._ids() if self._try_load(draft_id) is None)

    def bundle_names(self) -> frozenset[str]:
        """Return the names of the stored bundles that drafts still need; this decrypts nothing."""
        heads = (HEADER.match(self._body(draft_id)) for draft_id in self._ids())
        return frozenset(f"bundle/{head[2].decode()}" for head in heads if head)

    def destroy(self, draft_id: str) -> None:
        """Delete a draft."""
        if self.path_of(draft_id).exists():
            self.path_of(draft_id).unlink()
            sync_folder(self._folder)

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
        return self._folder / f"{draft_id}.draft"

    # Inside

    def _body(self, draft_id: str) -> bytes:
        try:
            return self.path_of(draft_id).read_bytes()
        except OSError as wrong:
            raise SyncError("draft.unopenable", f"{self.path_of(draft_id)}: {wrong.strerror}") from wrong

    def _ids(self) -> list[str]:
        sealed = set(self._outbox.envelopes.screening_ids().values())
        for unfinished in self._folder.glob(f"*{UNFINISHED}"):  # The draft that it was to replace is complete.
            unfinished.unlink()
        ids = [path.stem for path in self._folder.glob("*.draft")]
        for draft_id in sealed.intersection(ids):
            self.destroy(draft_id)
        return sorted(set(ids) - sealed)

    def _try_load(self, draft_id: str) -> Draft | None:
        with suppress(SyncError):
            return self.load(draft_id)
        return None

    def _cipher(self, draft_id: str) -> AESGCM:
        derived = HKDF(SHA256(), length=32, salt=None, info=f"chaski-1/draft/{draft_id}".encode())
        return AESGCM(derived.derive(self._outbox.draft_key()))
