"""The form versions stored on the tablet, loaded for interviews and scoring.

`sync.tablet.client` calls it, so that each version is loaded once.
"""

from collections.abc import Mapping, Set

from screening_forms.compiled_form import CompiledForm, left_out_sentences
from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.errors import FormError
from sync.documents import bundle
from sync.documents.bundle import Recording
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.tablet.outbox import Outbox
from sync.tablet.status import FormInUse, RefusedForm


class FormCache:
    """Form versions from the outbox. Each was verified before it was stored, and is loaded once."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._loaded: dict[str, tuple[CompiledForm, Engine]] = {}
        self._recordings_by_form: dict[str, tuple[Recording, ...]] = {}

    def form(self, sha: str) -> tuple[CompiledForm, Engine]:
        """Load a form version."""
        if sha not in self._loaded:
            form = CompiledForm.from_bytes(self._document(sha).payload)
            self._loaded[sha] = form, load_engine(form.xform)
        return self._loaded[sha]

    def list_in_use(self, versions: Mapping[str, str]) -> tuple[FormInUse, ...]:
        """Describe the versions that a new interview would use, given by form id."""
        forms = ((sha, self.form(sha)[0]) for sha in versions.values())
        return tuple(
            FormInUse(
                form.form_id, form.version, form.title, form.channel, sha, tuple(left_out_sentences(form.left_out))
            )
            for sha, form in forms
        )

    def list_refused(self, named: Mapping[str, str], versions: Mapping[str, str]) -> tuple[RefusedForm, ...]:
        """Return the versions of the manifest that the tablet refused, with the version that it uses instead."""
        codes = {sha: refusal.code for sha, refusal in self._outbox.documents.form_selection().refused.items()}
        return tuple(
            RefusedForm(form, sha, codes[sha], versions.get(form, "")) for form, sha in named.items() if sha in codes
        )

    def list_recordings(self, drafted: Set[str] = frozenset()) -> dict[str, Recording]:
        """Return every recording that a version in use or `drafted` names, by its hash.

        A version that was in use before is on board too, but without its recordings: they are large.
        """
        stored = self._outbox.documents
        former = {f"bundle/{sha}" for sha in stored.former_versions().values()} - drafted
        names = sorted(name for name in stored.list_names() - former if name.startswith("bundle/"))
        return {each.sha256: each for name in names for each in self._recordings_of(name.removeprefix("bundle/"))}

    def _recordings_of(self, sha: str) -> tuple[Recording, ...]:
        if sha not in self._recordings_by_form:
            self._recordings_by_form[sha] = bundle.recordings(self._document(sha).content)
        return self._recordings_by_form[sha]

    def _document(self, sha: str) -> Document:
        body = self._outbox.documents.get(f"bundle/{sha}")
        if body is None:
            raise SyncError("tablet.incomplete", f"bundle/{sha} is missing on this tablet: pull again")
        return Document.parse(body)


def check_usable(form_id: str, payload: bytes) -> None:
    """Raise SyncError `bundle.unusable` for a bundle that this tablet cannot run.

    The check comes before the former version is removed.
    """
    try:
        form = CompiledForm.from_bytes(payload)
        load_engine(form.xform)
    except (FormError, KeyError, TypeError, ValueError) as problem:
        raise SyncError("bundle.unusable", f"{form_id}: {problem}") from problem
    if form.form_id != form_id:
        raise SyncError("bundle.unusable", f"{form.form_id} was sent as {form_id}")
