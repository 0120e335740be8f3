"""Files of one tablet that only this tablet can read: one for each interview, encrypted, all of one length.

`drafts` and `unshown_guidance` store them. The outbox stores the key, and a wipe deletes it. So after a wipe no older
copy of a file on the disk can be read.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sync.atomic_file import UNFINISHED, replace_file, sync_folder
from sync.envelope.seal import pack_plaintext, unpack_plaintext
from sync.errors import SyncError
from sync.tablet.outbox import Outbox
from sync.wire.encoding import canonical, strict_json

NONCE_BYTES = 12


@dataclass(frozen=True)
class EncryptedFiles:
    """The files of one `kind` in `folder`, named `<id>.<kind>`. The head shows the form version, the rest is encrypted.

    `plaintext_bytes` is the one length of all contents.
    """

    folder: Path
    outbox: Outbox
    kind: str
    plaintext_bytes: int

    def save(self, file_id: str, sha: str, content: Mapping[str, Any]) -> None:
        """Write a file atomically. When this returns, a power cut cannot undo it."""
        header = f"chaski-1/{self.kind}/{file_id}/{sha}\n".encode()
        nonce = secrets.token_bytes(NONCE_BYTES)
        plain = pack_plaintext(canonical(content), self.plaintext_bytes)
        sealed = self._cipher(file_id).encrypt(nonce, plain, header)
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            sync_folder(self.folder.parent)
        replace_file(self.path_of(file_id), header + nonce + sealed)

    def load(self, file_id: str) -> tuple[str, dict[str, Any]]:
        """Return the form version and the content. Raise SyncError `draft.unopenable` if it is damaged or foreign."""
        body = self._body(file_id)
        header = self._header.match(body)
        if header is None or header[1].decode() != file_id:
            raise SyncError("draft.unopenable", f"{self.path_of(file_id)} is not the {self.kind} that its name says")
        nonce, sealed = body[header.end() :][:NONCE_BYTES], body[header.end() + NONCE_BYTES :]
        try:
            plain = unpack_plaintext(self._cipher(file_id).decrypt(nonce, sealed, header[0]))
        except (InvalidTag, ValueError) as wrong:
            raise SyncError("draft.unopenable", f"{self.path_of(file_id)}: another tablet's, or damaged") from wrong
        return header[2].decode(), strict_json(plain)

    def ids(self) -> list[str]:
        """Return the ids of the files, and delete unfinished writes: the file that one was to replace is complete."""
        for unfinished in self.folder.glob(f"*{UNFINISHED}"):
            unfinished.unlink()
        return sorted(path.stem for path in self.folder.glob(f"*.{self.kind}"))

    def shas(self) -> frozenset[str]:
        """Return the form versions in the heads of the files; this decrypts nothing."""
        heads = (self._header.match(self._body(file_id)) for file_id in self.ids())
        return frozenset(head[2].decode() for head in heads if head)

    def destroy(self, file_id: str) -> None:
        """Delete a file, if it exists."""
        if self.path_of(file_id).exists():
            self.path_of(file_id).unlink()
            sync_folder(self.folder)

    def path_of(self, file_id: str) -> Path:
        """The path of a file, whether it exists or not."""
        return self.folder / f"{file_id}.{self.kind}"

    @property
    def _header(self) -> re.Pattern[bytes]:
        return re.compile(rb"chaski-1/%b/([A-Za-z0-9_-]{22})/([0-9a-f]{64})\n" % self.kind.encode())

    def _body(self, file_id: str) -> bytes:
        try:
            return self.path_of(file_id).read_bytes()
        except OSError as wrong:
            raise SyncError("draft.unopenable", f"{self.path_of(file_id)}: {wrong.strerror}") from wrong

    def _cipher(self, file_id: str) -> AESGCM:
        derived = HKDF(SHA256(), length=32, salt=None, info=f"chaski-1/{self.kind}/{file_id}".encode())
        return AESGCM(derived.derive(self.outbox.draft_key()))
