"""`chaski device revoke | wipe`: a registrar's signed orders to one tablet.

Neither can be undone. A command must not sign before it has printed the effects and the registrar has confirmed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from server.cli.safe_console import echo
from server.cli.staff_session import (
    Account,
    OfficeKeyFile,
    TabletCommand,
    account_options,
    find_tablet,
    registrar_options,
    show_warnings,
)
from server.cli.terminal import json_option, now_ms, print_result
from sync.documents import device_order, registry
from sync.documents.registry import Registry
from sync.documents.signed import Document
from sync.exchange.known_documents import KnownDocumentsFile
from sync.exchange.staff_documents import StaffDocuments
from sync.exchange.staff_session import StaffSession
from sync.exchange.transport import RefusedError
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.keys.passphrases import normalize_phrase
from sync.wire.encoding import unb64u

EFFECTS = {
    device_order.REVOKE: (
        "From now on, what this tablet signs waits for a person's decision. Nothing is lost.",
        "At its next sync it stops taking screenings, shows the reason, and still delivers what it holds.",
        "The registry will list it as revoked; every desk sees that. A revocation cannot be undone.",
    ),
    device_order.WIPE: (
        "At its next sync the tablet deletes its drafts, forms, keyring keys and statuses.",
        "It keeps and still delivers every screening that the server has not receipted. It can pull forms again.",
        "Nothing happens before that sync. A wipe does not revoke the tablet: the server still accepts what it signs.",
    ),
}


confirm_option = click.option("--confirm", help="The tablet's label or six words. Without it, you are prompted.")


@click.command(cls=TabletCommand)
@registrar_options
@confirm_option
@click.option(
    "--readmit",
    multiple=True,
    metavar="DEV",
    help="A tablet that stays admitted although this machine knows it as revoked.",
)
@account_options
@json_option
def revoke(
    dev: str,
    registrar: OfficeKeyFile,
    confirm: str | None,
    readmit: tuple[str, ...],
    account: Account,
    as_json: bool,
) -> None:
    """Take a tablet out of service for ever (registrar)."""
    key = registrar.unlock()
    with account.sign_in() as staff:
        account.fetch_documents(staff).fetch_registry()  # If the server's is refused, no order is sent either.
        data = _confirm_and_send(staff, dev, device_order.REVOKE, key, confirm)
        known, again = account.known_file, frozenset(readmit)
        data["registry"] = revoke_in_registry(staff, dev, key, account.pin, known=known, readmitted=again)
    done = f"Revoked: order {data['number']}, registry {data['registry']}. If it may be in wrong hands, wipe it too."
    print_result(data, as_json, lambda console: console.print(done))


@click.command(cls=TabletCommand)
@registrar_options
@confirm_option
@account_options
@json_option
def wipe(dev: str, registrar: OfficeKeyFile, confirm: str | None, account: Account, as_json: bool) -> None:
    """Order a tablet to delete its data (registrar).

    It obeys at its next sync, and keeps undelivered screenings.
    """
    key = registrar.unlock()
    with account.sign_in() as staff:
        data = _confirm_and_send(staff, dev, device_order.WIPE, key, confirm)
    done = f"Ordered as number {data['number']}; `chaski device list` shows when the tablet has carried it out."
    print_result(data, as_json, lambda console: console.print(done))


def _confirm_and_send(
    staff: StaffSession, dev: str, kind: str, registrar: SigningKey, confirm: str | None
) -> dict[str, Any]:
    """Print the effects, ask for confirmation, sign the order and send it. Raises UsageError if not confirmed."""
    tablet = find_tablet(staff, dev)
    echo(f"{kind} {tablet['label']} ({dev}), region {tablet['region']}, {tablet['state']}:", err=True)
    for sentence in EFFECTS[kind]:
        echo(f"  {sentence}", err=True)
    typed = confirm or click.prompt("Type the tablet's label or six words to continue", err=True)
    words = VerifyKey.from_raw(unb64u(tablet["key"])).words()
    if normalize_phrase(typed) not in (normalize_phrase(tablet["label"]), normalize_phrase(" ".join(words))):
        raise click.UsageError("this is neither the tablet's label nor its six words; no order was sent.")
    made = device_order.make(registrar, dev=dev, number=tablet["order"] + 1, issued=now_ms(), order=kind)
    given: dict[str, Any] = staff.post(f"/v1/devices/{dev}/orders", data=made.to_bytes())
    return {"dev": dev, "label": tablet["label"], "order": kind, "number": given["number"]}


def revoke_in_registry(
    staff: StaffSession,
    dev: str,
    registrar: SigningKey,
    pin: str,
    *,
    known: Path | None = None,
    readmitted: frozenset[str] = frozenset(),
) -> int:
    """Add a tablet to the revoked list of the registry in force, sign and send it; return its number.

    It first verifies the registry against the roots, so that the registrar never signs keyrings that a server invented.
    It must not be older than the one in the file `known`. A tablet that any known registry revoked stays revoked,
    unless it is `readmitted`. Every difference from the known registry is shown.
    """
    file = KnownDocumentsFile(known)
    before = file.documents.read_registry()
    documents = StaffDocuments(staff.get_bytes, pin=pin, now=now_ms(), known=file)
    told = len(documents.warnings)  # Those of the trust were shown at sign-in.
    held = documents.fetch_registry()
    show_warnings(documents.warnings[told:])
    wanted = replace(held, revoked=held.revoked | (file.documents.revoked - readmitted) | {dev})
    if wanted == held:
        return held.number
    for line in registry.differences(before or held, wanted):
        echo(f"  {line}", err=True)

    try:
        signed = _send_registry(staff, wanted, held.number + 1, registrar)
    except RefusedError as refused:
        least = refused.problem.get("least")
        # After a restore, tablets may hold higher numbers than the server. A far higher number would waste the range.
        if type(least) is not int or not held.number < least <= held.number + 1 + registry.MAX_FORGOTTEN_NUMBERS:
            raise
        signed = _send_registry(staff, wanted, least, registrar)
    file.remember("registry", signed)
    file.forget_revoked(readmitted - wanted.revoked)
    return registry.read(signed).number


def _send_registry(staff: StaffSession, wanted: Registry, number: int, registrar: SigningKey) -> Document:
    keyrings = [*wanted.keyrings.values()]
    payload = registry.make(
        number=number, keyrings=keyrings, desks=wanted.desks, revoked=wanted.revoked, issued=now_ms()
    )
    signed = Document(payload).signed_by(registrar, registry.TYP)
    staff.post("/v1/registry", data=signed.to_bytes())
    return signed
