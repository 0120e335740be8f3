"""Finds the form version of an opened screening and reads the screening with it (SPEC 5.7).

`sync.desk.client` uses it. The sealed context names the version, and so does the route. For a screening without both,
each published version with the instance's own names is tried. A version without valid signatures is never used.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import Engine, instance_name, load_engine
from screening_forms.errors import AnswerError, FormError
from sync.desk.opened_screening import OpenedScreening, read_screening
from sync.documents import bundle
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange.staff_documents import StaffDocuments
from sync.exchange.staff_session import StaffSession
from sync.exchange.transport import RefusedError
from sync.wire.json_object import FORM_ID, SHA256_HEX


@dataclass(frozen=True)
class LoadedVersion:
    """A form version, ready to read with. `vouched` is False if the trust no longer names both of its signers."""

    sha: str
    form: CompiledForm
    scorer: Engine
    vouched: bool


class FormVersions:
    """The form versions that this session has verified and loaded."""

    def __init__(self, staff: StaffSession, documents: StaffDocuments) -> None:
        self._staff, self._documents, self._trust = staff, documents, documents.trust
        self._loaded: dict[str, LoadedVersion] = {}

    def read(self, instance: bytes, named: Collection[str]) -> tuple[LoadedVersion, OpenedScreening]:
        """Read an instance with the first of the versions `named` (hashes) that fits, else with a published one.

        Of several published ones that fit, one that computes the recorded results is preferred. If none fits, raise
        the SyncError with which a version was refused, or else `desk.unknown_form`.
        """
        fitting: list[tuple[LoadedVersion, OpenedScreening]] = []
        refusals: list[SyncError] = []
        for form_id, sha in self._candidates(instance, named):
            try:
                version = self._load(form_id, sha)
                reading = read_screening(version.form, version.scorer, instance)
            except AnswerError:
                continue
            except _VersionRefusedError as refused:
                refusals.append(refused.why)
                continue
            if sha in named or reading.agrees:
                return version, reading
            fitting.append((version, reading))
        if fitting:
            return fitting[0]
        raise next(iter(refusals), SyncError("desk.unknown_form", "no published form version fits this screening"))

    def _candidates(self, instance: bytes, named: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield form id and hash: those named first, then those that the server ever published under these names."""
        try:
            form_id, version = instance_name(instance)
        except AnswerError:
            return
        if FORM_ID.fullmatch(form_id):
            yield from ((form_id, sha) for sha in named)
            yield from ((form_id, sha) for sha in self._list_published(form_id, version) if sha not in named)

    def _list_published(self, form_id: str, version: str) -> list[str]:
        try:
            listed = self._staff.get(f"/v1/forms/{form_id}?version={quote(version, safe='')}")
        except RefusedError:
            # A server of an earlier release has no such list. Its manifest names at least the versions in use.
            return [entry.sha for entry in self._documents.fetch_manifest().forms.get(form_id, ())]
        return [each["sha"] for each in listed if SHA256_HEX.fullmatch(each["sha"])]

    def _load(self, form_id: str, sha: str) -> LoadedVersion:
        if sha not in self._loaded:
            self._loaded[sha] = self._verify(sha, self._fetch(form_id, sha))
        return self._loaded[sha]

    def _fetch(self, form_id: str, sha: str) -> bytes:
        """Fetch a bundle. A server that does not answer, or is busy, says nothing about the version: that is raised."""
        try:
            return self._staff.get_bytes(f"/v1/forms/{form_id}/{sha}")
        except RefusedError as refused:
            if refused.code != "form.unknown":
                raise
            raise _VersionRefusedError(SyncError("desk.unknown_form", f"the server does not have {sha}")) from refused

    def _verify(self, sha: str, raw: bytes) -> LoadedVersion:
        try:
            payload, vouched = bundle.accept_for_reading(Document.parse(raw), self._trust, sha)
            form = CompiledForm.from_bytes(payload)
            return LoadedVersion(sha, form, load_engine(form.xform), vouched)
        except SyncError as wrong:
            raise _VersionRefusedError(wrong) from wrong
        except (FormError, KeyError, TypeError, ValueError) as wrong:
            raise _VersionRefusedError(SyncError("bundle.unusable", f"{sha}: {wrong}")) from wrong


class _VersionRefusedError(Exception):
    """A version that cannot be used, and why. Another one may still fit."""

    def __init__(self, why: SyncError) -> None:
        super().__init__(str(why))
        self.why = why
