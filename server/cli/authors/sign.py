"""`chaski forms sign`: an author's or a reviewer's signature. It compiles the form again on her own machine and signs
nothing but the very same bytes; the key and its passphrase never leave this process."""

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
from server.cli.staff_session import Account, OfficeKeyFile
from server.cli.terminal import is_interactive, json_option, print_result, spinner
from sync.documents import bundle, trust
from sync.documents.signed import Document, sign
from sync.envelope.route import AUTHOR_FIELDS
from sync.errors import SyncError
from sync.exchange.staff_session import StaffSession

_OFFICE_BY_STATE = {"draft": ("author", "submission"), "in_review": ("reviewer", "approval")}
_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True)
class _FetchedVersion:
    """A version as the server holds it, compiled again here.

    `before` is what tablets use now, with its signatures; where the server shows no such version, `why` says it.
    """

    version: dict[str, Any]
    document: Document
    before: CompiledForm | None
    why: str

    @property
    def changes(self) -> list[Change]:
        """What is different from what tablets use now."""
        new = CompiledForm.from_bytes(self.document.payload)
        return list(form_changes(self.before, new)) if self.before else []


def signing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a key and an account, handed to it as `office_key` and `account` (None: no login).

    The account's passphrase opens the key too, unless the key has a passphrase file of its own.
    """

    @click.option("--key", required=True, type=_file, help="Your author or reviewer key.")
    @click.option("--server", default="http://127.0.0.1:8081", show_default=True, help="The people's door, for ID.")
    @click.option("--login", help="Whose account, for ID.")
    @click.option(
        "--passphrase-file", type=_file, help="File with your passphrase on its first line; asked for when left out."
    )
    @click.option(
        "--key-passphrase-file", type=_file, help="The same for the key, where its passphrase is not your account's."
    )
    @functools.wraps(command)
    def with_signer(
        *args: Any,
        key: Path,
        server: str,
        login: str | None,
        passphrase_file: Path | None,
        key_passphrase_file: Path | None,
        **options: Any,
    ) -> Any:
        office_key = OfficeKeyFile(key, key_passphrase_file or passphrase_file)
        account = Account(server, login, passphrase_file) if login is not None else None
        return command(*args, office_key=office_key, account=account, **options)

    return with_signer


@click.command(name="sign")
@click.argument("form", metavar="FORM|ID")
@click.argument("file", required=False, type=_file)
@signing_options
@click.option("--from", "own", metavar="FORM", help="What you wrote yourself, for ID: an author's signature needs it.")
@click.option("--pin", help="Pin of the roots, from your paper: with it no server can make up what tablets use now.")
@json_option
def sign_command(
    form: str,
    file: Path | None,
    office_key: OfficeKeyFile,
    account: Account | None,
    own: str | None,
    pin: str | None,
    as_json: bool,
) -> None:
    """Sign version ID of the server, or the bundle in FILE, after compiling the form here and finding the same bytes.

    With ID, what differs from the version that tablets use is told first; an author's signature puts her draft before a
    reviewer, a reviewer's approves it. An author compares with what she has on her own machine (--from): a server that
    was taken over could hold something else under her draft's name. Where the server shows no version in use with two
    good signatures, you are asked whether to go on; --json says "before": null.

    With FORM and FILE, the signature is added to FILE.
    """
    if file is not None:
        _sign_file(form, file, office_key, as_json)
        return
    if not VERSION_ID.fullmatch(form) or account is None:
        raise click.UsageError("name the FILE to sign beside FORM, or the ID of a version and who you are (--login)")
    _sign_on_server(int(form), own, office_key, account, pin, as_json)


def _sign_file(form: str, file: Path, key: OfficeKeyFile, as_json: bool) -> None:
    document = Document.parse(file.read_bytes(), least=0)
    if document.content.get("channel") not in CHANNELS:
        raise click.ClickException(f"{file} is not a compiled form; nothing was signed.")
    with spinner("Compiling FORM again to compare ..."):
        here = compile_checked(form, document.content["channel"]).to_bytes()
        _refuse_other_bytes(here, document, f"{file}, said to be {form},")
    signer = key.unlock()
    signed = document.signed_by(signer, bundle.TYP)
    file.write_bytes(signed.to_bytes())
    data = {"sha256": signed.sha256, "kid": signer.kid, "signatures": len(signed.signatures)}
    print_result(data, as_json, lambda console: console.print(f"Signed {signed.sha256} as {signer.kid}."))


def _sign_on_server(
    version: int, own: str | None, key: OfficeKeyFile, account: Account, pin: str | None, as_json: bool
) -> None:
    with account.sign_in() as staff:
        held = _fetch_version(staff, version, own, pin)
        changes = held.changes
        if not as_json:
            print_result(None, False, lambda console: _print_comparison(console, held, changes))
            if held.before is None and is_interactive():
                click.confirm("Sign it without a comparison?", abort=True)
        office, address = _OFFICE_BY_STATE[held.version["state"]]
        signer = key.unlock()
        jws = sign(held.document.payload, signer, bundle.TYP).encode()
        with raise_form_problems(), spinner(f"Handing in the {office}'s signature ..."):
            done = staff.post(f"/v1/versions/{version}/{address}", data=jws)
    data = {**done, "kid": signer.kid, "signed_as": office, "changes": [each.as_dict() for each in changes]}
    data["before"] = held.version["before"] if held.before else None
    print_result(data, as_json, lambda console: print_version(console, done))


def _fetch_version(staff: StaffSession, version: int, own: str | None, pin: str | None) -> _FetchedVersion:
    """Fetch a version and compile its source here; raises ClickException unless the bytes are the same.

    `own` is what the person herself has of it, which must compile to these bytes too.
    """
    at = f"/v1/versions/{version}"
    with spinner("Fetching the version, and compiling it here to compare ..."):
        told = staff.get(at)
        if told["state"] not in _OFFICE_BY_STATE:
            raise click.ClickException(f"version {version} is {told['state']}; only drafts and reviews are signed.")
        if own is None and told["state"] == "draft":
            raise click.UsageError("name what you wrote with --from FORM: an author signs her own form, no server's")
        document = Document.parse(staff.get_bytes(f"{at}/compiled"), least=0)
        here = _compile_sandboxed(staff.get_bytes(f"{at}/source"), document.content["channel"])
        _refuse_other_bytes(here, document, f"the server's source of {version}")
        if own is not None:
            _refuse_other_bytes(compile_checked(own, document.content["channel"]).to_bytes(), document, own)
        before, why = _fetch_version_in_use(staff, told, pin)
    return _FetchedVersion(told, document, before, why)


def _fetch_version_in_use(
    staff: StaffSession, told: dict[str, Any], pin: str | None
) -> tuple[CompiledForm | None, str]:
    """Fetch what tablets use now of a form, or say why there is nothing to compare with: a server that was taken over
    would name nothing, or what nobody signed, to hide what changed."""
    if not told["before"]:
        return None, "The server names no version of this form and channel that tablets use now."
    former = Document.parse(staff.get_bytes(f"/v1/versions/{told['before']}/compiled"), least=0)
    stated = Document.parse(staff.get_bytes("/v1/trust"))
    try:
        held = trust.accept(stated, None, trust.read_pin(pin) if pin else trust.read(stated).pin)
        found = CompiledForm.from_bytes(bundle.accept(former, held))
    except SyncError as error:
        return None, f"What the server names as in use is not signed as it must be ({error.code})."
    if (found.form_id, found.channel) != (told["form"], told["channel"]):
        return None, f"What the server names as in use is another form, {found.form_id} ({found.channel})."
    return found, ""


def _compile_sandboxed(source: bytes, channel: str) -> bytes:
    """Compile what somebody else wrote: in a process that can open nothing."""
    vocabulary = {name: sorted(codes) for name, codes in AUTHOR_FIELDS.items()}
    return sandbox.run(RecompileSource(source, channel, vocabulary)).compiled or b""


def _refuse_other_bytes(here: bytes, document: Document, what: str) -> None:
    if here != document.payload:
        raise click.ClickException(f"{what} is not what compiles on this machine; nothing was signed.")


def _print_comparison(console: Console, held: _FetchedVersion, changes: list[Change]) -> None:
    print_version(console, held.version)
    console.print(f"Compiled here: the same bytes, sha256 {held.document.sha256}.")
    if held.before is None:
        console.print(Text(f"{held.why} Nothing tells what this version changes.", style="yellow"))
        return
    console.print(f"Against version {held.before.version}, which tablets use now:", style="bold")
    print_changes(console, changes)
