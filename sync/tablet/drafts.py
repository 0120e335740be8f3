"""Interviews that are not finished, kept on the tablet encrypted so that a power cut costs at most one answer.

Called by sync.tablet.client and the interview in the terminal. A draft never leaves the tablet, and is destroyed for
its age only after somebody was warned: a screening lost is a person lost.
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

LIFETIME = 14 * DAY  # An inspector's round takes a week or two; what nobody went on with by then is only a danger.
WARNING_PERIOD = 3 * DAY
PLAINTEXT_BYTES = 8192  # One length for all: the longest interview of the catalogue takes a third of it.
HEADER = re.compile(rb"chaski-1/draft/([A-Za-z0-9_-]{22})/([0-9a-f]{64})\n")
NONCE_BYTES = 12


@dataclass(frozen=True)
class Draft:
    """One unfinished interview. `id` is the jti it will be sealed under, `sha` its form version.

    Times are milliseconds of the tablet's clock; `warned` is when somebody was first told of its end, 0 for not yet.
    `content` is what the interview needs to go on, and is in no repr.
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
        """When it is to be destroyed, unless somebody goes on with it or nobody was warned."""
        return self.saved + LIFETIME

    def is_ending(self, now: int) -> bool:
        """Whether people are to be told of its end."""
        return now >= self.ends - WARNING_PERIOD

    def destroyed_from(self, now: int) -> int:
        """When it may go: past its end, and three days after a warning; without one, as if it were given now."""
        return max(self.ends, (self.warned if 0 < self.warned <= now else now) + WARNING_PERIOD)


class Drafts:
    """The drafts of one tablet, one file each, readable with a key that its outbox keeps and a wipe destroys.

    So no earlier state of a draft that the disk still has can be read after a wipe, whatever else the tablet keeps.
    """

    def __init__(self, folder: Path, outbox: Outbox) -> None:
        self._folder, self._outbox = folder, outbox

    def save(self, draft: Draft) -> None:
        """Put a draft on the disk, whole or not at all; returns when a power cut can no longer undo it."""
        header = f"chaski-1/draft/{draft.id}/{draft.sha}\n".encode()
        nonce = secrets.token_bytes(NONCE_BYTES)
        content = {name: value for name, value in asdict(draft).items() if name not in ("id", "sha")}
        sealed = self._cipher(draft.id).encrypt(nonce, pack_plaintext(canonical(content), PLAINTEXT_BYTES), header)
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700)
            sync_folder(self._folder.parent)
        replace_file(self.path_of(draft.id), header + nonce + sealed)

    def load(self, draft_id: str) -> Draft:
        """Open a draft; SyncError draft.unopenable if it is not this tablet's, not this one, or not as it was saved."""
        body = self._body(draft_id)
        header = HEADER.match(body)
        if header is None or header[1].decode() != draft_id:
            raise SyncError("draft.unopenable", f"{self.path_of(draft_id)} is not the draft of its name")
        nonce, sealed = body[header.end() :][:NONCE_BYTES], body[header.end() + NONCE_BYTES :]
        try:
            plain = unpack_plaintext(self._cipher(draft_id).decrypt(nonce, sealed, header[0]))
        except (InvalidTag, ValueError) as wrong:
            raise SyncError("draft.unopenable", f"{self.path_of(draft_id)}: another tablet's, or damaged") from wrong
        return Draft(id=draft_id, sha=header[2].decode(), **strict_json(plain))

    def list_all(self) -> tuple[Draft, ...]:
        """Return the drafts that open, the oldest first; what was sealed before a power cut is no draft any more."""
        drafts = [draft for draft_id in self._ids() if (draft := self._try_load(draft_id))]
        return tuple(sorted(drafts, key=lambda draft: (draft.begun, draft.id)))

    def list_damaged(self) -> tuple[Path, ...]:
        """Return the files that do not open; nothing here ever destroys them."""
        return tuple(self.path_of(draft_id) for draft_id in self._ids() if self._try_load(draft_id) is None)

    def bundle_names(self) -> frozenset[str]:
        """Name the form versions that must stay on board, as the board names them; read without opening anything."""
        heads = (HEADER.match(self._body(draft_id)) for draft_id in self._ids())
        return frozenset(f"bundle/{head[2].decode()}" for head in heads if head)

    def destroy(self, draft_id: str) -> None:
        """Remove a draft for good."""
        if self.path_of(draft_id).exists():
            self.path_of(draft_id).unlink()
            sync_folder(self._folder)

    # Age

    def list_ending(self, now: int) -> tuple[Draft, ...]:
        """Return the drafts whose end is near or past."""
        return tuple(draft for draft in self.list_all() if draft.is_ending(now))

    def record_warning(self, drafts: Sequence[Draft], now: int) -> None:
        """Remember that somebody has been warned of these; a clock that went back begins their respite again."""
        for draft in drafts:
            if not 0 < draft.warned <= now:
                self.save(replace(draft, warned=now))

    def destroy_expired(self, now: int) -> tuple[Draft, ...]:
        """Destroy what is past its end and of which somebody was warned three days ago or more; return it."""
        ended = [draft for draft in self.list_all() if draft.destroyed_from(now) <= now]
        for draft in ended:
            self.destroy(draft.id)
        return tuple(ended)

    def path_of(self, draft_id: str) -> Path:
        """Where a draft is, or would be."""
        return self._folder / f"{draft_id}.draft"

    # Inside

    def _body(self, draft_id: str) -> bytes:
        try:
            return self.path_of(draft_id).read_bytes()
        except OSError as wrong:
            raise SyncError("draft.unopenable", f"{self.path_of(draft_id)}: {wrong.strerror}") from wrong

    def _ids(self) -> list[str]:
        sealed = set(self._outbox.envelopes.screening_ids().values())
        for unfinished in self._folder.glob(f"*{UNFINISHED}"):  # The draft before it is whole.
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
