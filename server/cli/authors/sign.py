"""`chaski forms sign`: signs a form version as author or reviewer, after it has compiled the form again here.

A hostile server could show one form and store another. The command must not sign bytes that it has not compiled itself,
and the key and passphrase must not leave this process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from screening_forms.compiled_form import CHANNELS, CompiledForm
from screening_forms.diff.changes import Change
from screening_forms.diff.forms import form_changes
from screening_forms.sandbox import client as sandbox
from screening_forms.sandbox.tasks import RecompileSource
from server.cli.authors.compare import print_changes
from server.cli.authors.forms import compile_checked
from server.cli.authors.versions import VERSION_ID, print_version, raise_form_problems
from server.cli.staff_session import Account, OfficeKeyFile, StaffServer, known_option, server_options
from server.cli.terminal import is_interactive, json_option, print_result, spinner
from sync.documents import bundle
from sync.documents.signed import Document, sign
from sync.documents.trust import Trust
from sync.envelope.route import AUTHOR_FIELDS
from sync.errors import SyncError
from sync.exchange.staff_session import StaffSession

_OFFICE_BY_STATE = {"draft": ("author", "submission"), "in_review": ("reviewer", "approval")}
# With these codes the server contradicts what this machine knows. Its other statements are worth nothing either.
_CONTRADICTIONS = ("document.rolled_back", "document.same_number", "known.unreadable")
_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True)
class _FetchedVersion:
    """A version from the server, compiled again here.

    `before` is the version that tablets use now, with verified signatures. If it is None, `why` gives the reason.
    """

    version: dict[str, Any]
    document: Document
    before: CompiledForm | None
    why: str

    @property
    def changes(self) -> list[Change]:
        """The changes from the version that tablets use now; empty when there is none."""
        new = CompiledForm.from_bytes(self.document.payload)
        return list(form_changes(self.before, new)) if self.before else []


def signing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a key and an account. The command receives `office_key` and `account` (None: no --login).

    The account's passphrase also opens the key, unless there is a --key-passphrase-file.
    """

    @click.option("--key", required=True, type=_file, help="File of your author or reviewer key.")
    @server_options
    @click.option("--login", help="Login name of your account, for ID.")
    @click.option(
        "--passphrase-file", type=_file, help="File whose first line is your passphrase. Without it, you are prompted."
    )
    @click.option("--key-passphrase-file", type=_file, help="The same for the key, if it has another passphrase.")
    @known_option
    @functools.wraps(command)
    def with_signer(
        *args: Any,
        key: Path,
        server: StaffServer,
        login: str | None,
        passphrase_file: Path | None,
        key_passphrase_file: Path | None,
        known: Path,
        **options: Any,
    ) -> Any:
        office_key = OfficeKeyFile(key, key_passphrase_file or passphrase_file)
        account = Account(server.judged(), login, passphrase_file, known=known) if login is not None else None
        return command(*args, office_key=office_key, account=account, **options)

    return with_signer


@click.command(name="sign")
@click.argument("form", metavar="FORM|ID")
@click.argument("file", required=False, type=_file)
@signing_options
@click.option("--from", "own", metavar="FORM", help="Your own form, for ID. An author must give it.")
@json_option
def sign_command(
    form: str,
    file: Path | None,
    office_key: OfficeKeyFile,
    account: Account | None,
    own: str | None,
    as_json: bool,
) -> None:
    """Sign a version as author or reviewer.

    It signs version ID of the server, or the bundle in FILE, only if the form compiles here to the same bytes.

    With ID, the changes from the version in use are shown first. An author's signature submits her draft for review. A
    reviewer's signature approves it. An author gives her own form (--from), because a hostile server could store
    another form as her draft. If the server shows no version in use with two valid signatures, the command asks you
    to confirm. With --json it does not ask, and "before" is null.

    With FORM and FILE, the signature is added to FILE.
    """
    if file is not None:
        _sign_file(form, file, office_key, as_json)
        return
    if not VERSION_ID.fullmatch(form) or account is None:
        raise click.UsageError("give FORM and the FILE to sign, or the ID of a version and your --login")
    _sign_on_server(int(form), own, office_key, account, as_json)


def _sign_file(form: str, file: Path, key: OfficeKeyFile, as_json: bool) -> None:
    document = Document.parse(file.read_bytes(), least=0)
    if document.content.get("channel") not in CHANNELS:
        raise click.ClickException(f"{file} is not a compiled form; nothing was signed.")
    with spinner("Compiling FORM again to compare ..."):
        here = compile_checked(form, document.content["channel"]).to_bytes()
        _refuse_other_bytes(here, document, f"{form}, the source of {file},")
    signer = key.unlock()
    signed = document.signed_by(signer, bundle.TYP)
    file.write_bytes(signed.to_bytes())
    data = {"sha256": signed.sha256, "kid": signer.kid, "signatures": len(signed.signatures)}
    print_result(data, as_json, lambda console: console.print(f"Signed {signed.sha256} as {signer.kid}."))


def _sign_on_server(version: int, own: str | None, key: OfficeKeyFile, account: Account, as_json: bool) -> None:
    with account.sign_in() as staff:
        held = _fetch_version(staff, version, own, lambda: account.fetch_documents(staff).trust)
        changes = held.changes
        if not as_json:
            print_result(None, False, lambda console: _print_comparison(console, held, changes))
            if held.before is None and is_interactive():
                click.confirm("Sign it without a comparison?", abort=True)
        office, address = _OFFICE_BY_STATE[held.version["state"]]
        signer = key.unlock()
        jws = sign(held.document.payload, signer, bundle.TYP).encode()
        with raise_form_problems(), spinner(f"Sending the {office}'s signature ..."):
            done = staff.post(f"/v1/versions/{version}/{address}", data=jws)
    data = {**done, "kid": signer.kid, "signed_as": office, "changes": [each.as_dict() for each in changes]}
    data["before"] = held.version["before"] if held.before else None
    print_result(data, as_json, lambda console: print_version(console, done))


def _fetch_version(
    staff: StaffSession, version: int, own: str | None, fetch_trust: Callable[[], Trust]
) -> _FetchedVersion:
    """Fetch a version and compile its source here. Raises ClickException unless the bytes are equal.

    `own` is the person's own copy of the form. It must compile to the same bytes.
    """
    at = f"/v1/versions/{version}"
    with spinner("Fetching the version, and compiling it here to compare ..."):
        told = staff.get(at)
        if told["state"] not in _OFFICE_BY_STATE:
            raise click.ClickException(f"version {version} is {told['state']}; only drafts and reviews are signed.")
        if own is None and told["state"] == "draft":
            raise click.UsageError(
                "give your own form with --from FORM: an author signs her own form, not a server's copy"
            )
        document = Document.parse(staff.get_bytes(f"{at}/compiled"), least=0)
        here = _compile_sandboxed(staff.get_bytes(f"{at}/source"), document.content["channel"])
        _refuse_other_bytes(here, document, f"the server's source of {version}")
        if own is not None:
            _refuse_other_bytes(compile_checked(own, document.content["channel"]).to_bytes(), document, own)
        before, why = _fetch_version_in_use(staff, told, fetch_trust)
    return _FetchedVersion(told, document, before, why)


def _fetch_version_in_use(
    staff: StaffSession, told: dict[str, Any], fetch_trust: Callable[[], Trust]
) -> tuple[CompiledForm | None, str]:
    """Fetch and verify the version that tablets use now. Returns (None, reason) when it is missing or not valid.

    A hostile server could name no version, or an unsigned one, to hide the changes.
    """
    if not told["before"]:
        return None, "The server names no version of this form and channel that tablets use now."
    former = Document.parse(staff.get_bytes(f"/v1/versions/{told['before']}/compiled"), least=0)
    try:
        found = CompiledForm.from_bytes(bundle.accept(former, fetch_trust()))
    except SyncError as error:
        if error.code in _CONTRADICTIONS:
            raise
        return None, f"The version in use that the server names is not signed as it must be ({error.code})."
    if (found.form_id, found.channel) != (told["form"], told["channel"]):
        return None, f"The version in use that the server names is of another form, {found.form_id} ({found.channel})."
    return found, ""


def _compile_sandboxed(source: bytes, channel: str) -> bytes:
    """Compile another person's source in the sandbox."""
    vocabulary = {name: sorted(codes) for name, codes in AUTHOR_FIELDS.items()}
    return sandbox.run(RecompileSource(source, channel, vocabulary)).compiled or b""


def _refuse_other_bytes(here: bytes, document: Document, what: str) -> None:
    if here != document.payload:
        raise click.ClickException(f"{what} does not compile to the same bytes on this machine; nothing was signed.")


def _print_comparison(console: Console, held: _FetchedVersion, changes: list[Change]) -> None:
    print_version(console, held.version)
    console.print(f"Compiled here: the same bytes, sha256 {held.document.sha256}.")
    if held.before is None:
        console.print(Text(f"{held.why} The changes of this version cannot be shown.", style="yellow"))
        return
    console.print(f"Against version {held.before.version}, which tablets use now:", style="bold")
    print_changes(console, changes)
