"""The guidance of sealed interviews that the inspector has not seen yet.

Guidance says whom to call. The power may go after the sealing and before the page. So the name of the guidance is
stored before the sealing, encrypted, and deleted when the page was shown to its end. It must contain no answer.
"""

from dataclasses import dataclass, field
from pathlib import Path

from sync.errors import SyncError
from sync.tablet.encrypted_files import EncryptedFiles
from sync.tablet.outbox import Outbox

PLAINTEXT_BYTES = 1024  # One length for all: no file size tells one guidance from another.


@dataclass(frozen=True)
class Guidance:
    """The guidance of one interview. `id` is the jti, `sha` the form version, `note` the name of the form's note.

    `open_consent`: the person said neither yes nor no to a referral. The name tells the outcome, so no repr shows it.
    `note` and `sha` are empty if the file is damaged: the inspector must still hear that there was guidance.
    """

    id: str
    sha: str
    note: str = field(repr=False)
    open_consent: bool = field(default=False, repr=False)


class UnshownGuidance:
    """The guidance to show on one tablet, one file for each interview."""

    def __init__(self, folder: Path, outbox: Outbox) -> None:
        self._files, self._outbox = EncryptedFiles(folder, outbox, "guidance", PLAINTEXT_BYTES), outbox

    def save(self, guidance: Guidance) -> None:
        """Store guidance, before its interview is sealed. When this returns, a power cut cannot undo it."""
        content = {"note": guidance.note, "open_consent": guidance.open_consent}
        self._files.save(guidance.id, guidance.sha, content)

    def list_all(self) -> tuple[Guidance, ...]:
        """Return the guidance of sealed interviews. An interview that was not sealed is still a draft, or is gone."""
        sealed = set(self._outbox.envelopes.screening_ids().values())
        return tuple(self._load(file_id) for file_id in self._files.ids() if file_id in sealed)

    def destroy(self, guidance_id: str) -> None:
        """Delete guidance: the inspector has seen it to its end."""
        self._files.destroy(guidance_id)

    def destroy_unsealed(self, guidance_id: str) -> None:
        """Delete guidance that was prepared for a sealing that did not happen: its answers may still change."""
        if guidance_id not in self._outbox.envelopes.screening_ids().values():
            self._files.destroy(guidance_id)

    def shas(self) -> frozenset[str]:
        """Return the form versions whose notes are still to be shown; this decrypts nothing."""
        return self._files.shas()

    def _load(self, file_id: str) -> Guidance:
        try:
            sha, content = self._files.load(file_id)
        except SyncError:
            return Guidance(file_id, sha="", note="")
        return Guidance(id=file_id, sha=sha, **content)
