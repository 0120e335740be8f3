"""`chaski device`: a tablet as reference client in the terminal, and the staff commands that admit a tablet.

An inspector tries the whole protocol with it until there is an app. It must not show a screening's content."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path

import click
import segno
from rich.console import Console
from rich.text import Text

from server.cli.private_terminal import PrivateTerminal
from server.cli.safe_console import echo
from server.cli.staff_session import (
    Account,
    OfficeKeyFile,
    TabletCommand,
    account_options,
    find_tablet,
    proxy_option,
    registrar_options,
)
from server.cli.tablet import guidance
from server.cli.tablet.interview import InterviewEnding, TerminalInterview
from server.cli.tablet.interview_start import choose_draft
from server.cli.tablet.spanish_command import SpanishCommand
from server.cli.tablet.spanish_errors import reason_in_spanish
from server.cli.tablet.step_pages import format_spanish_time
from server.cli.terminal import LazyGroup, format_time, json_option, now_ms, print_result, read_json_object, spinner
from sync.documents import enrolment
from sync.keys.key_pairs import VerifyKey
from sync.tablet.client import Tablet
from sync.tablet.status import FormInUse, PullResult, SyncReport, TabletStatus, warnings
from sync.wire.encoding import unb64u

tablet_option = click.option(
    "--tablet",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that holds the tablet's data.",
)


@contextmanager
def open_tablet(folder: Path, proxy: str = "") -> Iterator[Tablet]:
    """Open a tablet and expire old drafts: warn the inspector first, delete days later, and report the deletion."""
    with Tablet(folder, proxy=proxy) as tablet:
        if tablet.is_created and not tablet.outbox.orders.tablet_state().wiping:  # A wipe deletes all drafts.
            try:
                _expire_drafts(tablet)
            except OSError as error:  # The disk may be full. The command must still run: a sync frees space.
                echo(f"chaski: no se pudo cuidar los borradores: {reason_in_spanish(error)}.", err=True)
        yield tablet


def _expire_drafts(tablet: Tablet) -> None:
    for gone in tablet.drafts.destroy_expired(now_ms()):
        echo(
            f"chaski: se borró el borrador del {format_spanish_time(gone.begun)}: pasó su plazo y se había avisado.",
            err=True,
        )
    ending = tablet.drafts.list_ending(now_ms())
    for draft in ending:
        echo(
            f"chaski: hay una conversación sin terminar del {format_spanish_time(draft.begun)}."
            " Si nadie la continúa, se borra después"
            f" del {format_spanish_time(draft.destroyed_from(now_ms()))}.",
            err=True,
        )
    if sys.stderr.isatty():  # A warning in a log file does not reach the inspector.
        tablet.drafts.record_warning(ending, now_ms())
    for damaged in tablet.drafts.list_damaged():
        echo(f"chaski: {damaged} no se puede leer; se conserva.", err=True)


SUBCOMMANDS = {
    "approve": "tablet.device:approve",
    "enrol": "tablet.device:enrol",
    "hand-over": "tablet.courier:hand_over",
    "invite": "tablet.device:invite",
    "list": "tablet.device:list_tablets",
    "pull": "tablet.device:pull",
    "revoke": "tablet.device_orders:revoke",
    "screen": "tablet.device:screen",
    "status": "tablet.device:status",
    "sync": "tablet.device:sync",
    "take-receipts": "tablet.courier:take_receipts",
    "wipe": "tablet.device_orders:wipe",
}


@click.group(cls=LazyGroup, lazy_commands=SUBCOMMANDS)
def device() -> None:
    """Admit, revoke or wipe tablets; act as a tablet."""


@click.command()
@click.option("--label", required=True, help="Name of the tablet for people, such as 'Huepetuhe 2'.")
@click.option("--region", required=True, help="INEI code of the region, such as 17.")
@click.option("--png", type=click.Path(path_type=Path), help="Also write the QR code to this file.")
@account_options
@json_option
def invite(label: str, region: str, png: Path | None, account: Account, as_json: bool) -> None:
    """Make a one-time enrolment QR code (administrator)."""
    if png is not None and png.suffix.lower() != ".png":
        raise click.UsageError(f"--png writes a PNG file; name it {png.with_suffix('.png')}.")
    with account.sign_in() as staff:
        data = staff.post("/v1/invitations", json={"label": label, "region": region})
    code = segno.make(data["invitation"], error="m")
    if png is not None:
        code.save(str(png), scale=8, border=4)

    def write(console: Console) -> None:
        code.terminal(compact=True)
        console.print(data["invitation"], soft_wrap=True)

    print_result(data, as_json, write)


@click.command(name="list")
@account_options
@json_option
def list_tablets(account: Account, as_json: bool) -> None:
    """List the tablets and their states (registrar, administrator).

    A `pending` tablet waits for `approve`. The six words are not shown: the registrar must hear them from the
    tablet's holder.
    """
    with account.sign_in() as staff:
        found = staff.list("/v1/devices")

    def write(console: Console) -> None:
        for each in found:
            about = f"  {each['state']}, region {each['region']}, {each['label']}"
            console.print(Text.assemble((each["dev"], "bold"), about))
            for given in each["orders"]:
                ended = given["carried_out"]
                done = f"carried out {format_time(ended)}" if ended else "outstanding"
                console.print(
                    f"  order {given['number']}: {given['kind']}, given {format_time(given['given'])}, {done}"
                )
        if not found:
            console.print("No tablet has enrolled yet.")

    print_result(found, as_json, write)


@click.command()
@click.argument("invitation")
@tablet_option
@proxy_option
@json_option
def enrol(invitation: str, folder: Path, proxy: str, as_json: bool) -> None:
    """Enrol a tablet with the text of its QR code.

    It prints the six words that the holder reads to the registrar.
    """
    with open_tablet(folder, proxy) as tablet, spinner("Enrolling ..."):
        words = tablet.enrol(invitation)
        dev = tablet.status().dev

    def write(console: Console) -> None:
        console.print(Text.assemble("This tablet is ", (dev, "bold"), ". Read these six words to the registrar:"))
        console.print("   " + "  ".join(words), style="bold")

    print_result({"dev": dev, "words": list(words)}, as_json, write)


@click.command(cls=TabletCommand)
@registrar_options
@click.option("--words", required=True, help="The six words on the tablet, as its holder reads them to you.")
@account_options
@json_option
def approve(dev: str, registrar: OfficeKeyFile, words: str, account: Account, as_json: bool) -> None:
    """Certify a tablet if its six words are right (registrar).

    The words must match the key that the tablet enrolled with.
    """
    key = registrar.unlock()
    with account.sign_in() as staff:
        tablet = find_tablet(staff, dev)
        certificate = enrolment.sign_certificate(
            VerifyKey.from_raw(unb64u(tablet["key"])),
            words.split(),
            key,
            region=tablet["region"],
            label=tablet["label"],
            number=1,
            issued=now_ms(),
        )
        staff.post(f"/v1/devices/{dev}/certificate", data=certificate.to_bytes())
    data = {"dev": dev, "label": tablet["label"], "region": tablet["region"]}
    print_result(
        data, as_json, lambda console: console.print(f"Certified {tablet['label']} for region {tablet['region']}.")
    )


@click.command()
@tablet_option
@proxy_option
@json_option
def pull(folder: Path, proxy: str, as_json: bool) -> None:
    """Fetch and verify new documents and forms.

    The documents are certificate, trust, registry and manifest.
    """
    with open_tablet(folder, proxy) as tablet, spinner("Pulling ..."):
        pulled = tablet.pull()

    def write(console: Console) -> None:
        console.print("certified" if pulled.certified else "not certified yet; ask the registrar to approve it")
        console.print(f"trust {pulled.trust}, registry {pulled.registry}, manifest {pulled.manifest}")
        _print_forms(console, pulled.forms)
        _print_warnings(console, pulled)

    print_result(asdict(pulled), as_json, write)


@click.command(cls=SpanishCommand)
@click.argument("form")
@tablet_option
@click.option("--language", help="es, quz or ayr. Without it, you are prompted.")
@click.option(
    "--answers", type=click.Path(path_type=Path, exists=True), help="JSON {question: value}; no interview is held."
)
@click.option("--taken", type=click.DateTime(["%Y-%m-%d"]), help="Day of the interview. Default: the day it began.")
@json_option
def screen(
    form: str, folder: Path, language: str | None, answers: Path | None, taken: datetime | None, as_json: bool
) -> None:
    """Hold an interview with FORM and seal the screening.

    FORM is a name such as pe_laboral_adulto. No readable answer stays on the tablet.

    The terminal shows one question at a time and saves an encrypted draft after each answer. Unfinished drafts can be
    continued. With --answers, the answers come from a file. The outcome is shown only on request, after sealing.
    """
    day = taken.date() if taken else None
    if day and day > datetime.now().astimezone().date():
        raise click.UsageError(f"--taken {day}: ese día todavía no llega.")
    with open_tablet(folder) as tablet:
        if answers is None:
            ending = _hold_interview(tablet, form, language, day)
        else:
            given = tablet.screen(form, read_json_object(answers), taken=day or datetime.now().astimezone().date())
            ending = InterviewEnding("sealed", given.jti, given)
    done = ending.screened
    data = {"jti": done.jti, "form": done.form, "seq": done.seq} if done else {"state": ending.how, "jti": ending.draft}
    print_result(data, as_json, lambda console: console.print(_describe_ending(ending)))


def _hold_interview(tablet: Tablet, form: str, language: str | None, taken: date | None) -> InterviewEnding:
    try:
        with PrivateTerminal() as terminal:
            guidance.offer_unshown(tablet, terminal)
            draft = choose_draft(tablet, terminal, form, language, now_ms)
            return TerminalInterview(tablet, terminal, draft, now_ms).run(taken) if draft else InterviewEnding("none")
    except EOFError:
        return InterviewEnding("none")


def _describe_ending(ending: InterviewEnding) -> str:
    """Say in Spanish, for the inspector, how the interview ended."""
    if ending.screened:
        return f"Sellada con el número {ending.screened.seq} ({ending.screened.jti}); falta sincronizar."
    return {
        "kept": "Guardada como borrador cifrado; `chaski device screen` la continúa.",
        "destroyed": "Borrada: de esta conversación no queda nada.",
    }.get(ending.how, "No se empezó ninguna conversación.")


@click.command()
@tablet_option
@proxy_option
@json_option
def sync(folder: Path, proxy: str, as_json: bool) -> None:
    """Send waiting screenings and verify the receipts.

    It also fetches new documents, and the status of earlier screenings.
    """
    with open_tablet(folder, proxy) as tablet, spinner("Syncing ..."):
        report = tablet.sync()

    def write(console: Console) -> None:
        traffic = report.traffic
        console.print(
            f"{report.sent} sent in {traffic.requests} request(s), {traffic.up:,} B up, {traffic.down:,} B down"
        )
        for name in report.updated:
            console.print(f"  new on the tablet: {name}")
        if report.waiting:
            console.print(f"  {report.waiting} still waiting")
        for receipt in report.receipts:
            console.print(f"  {receipt.jti}  {receipt.outcome}")
        for event in report.events:
            console.print(f"  {event.jti}  {event.status}")
        _print_warnings(console, report)

    print_result(asdict(report), as_json, write)


@click.command()
@tablet_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show the tablet's documents, forms and counts. Sealed screenings cannot be read here."""
    with open_tablet(folder) as tablet:
        found = tablet.status()

    def write(console: Console) -> None:
        if not found.dev:
            console.print("Not enrolled yet. Run `chaski device enrol` with the text of an invitation's QR code.")
            return
        place = f", region {found.region or 'unknown'}, {found.url}"
        console.print(Text.assemble((found.label or found.dev, "bold"), place))
        console.print(f"words: {' '.join(found.words)}")
        console.print(f"trust {found.trust}, registry {found.registry}, manifest {found.manifest}")
        console.print(
            f"{found.waiting} waiting, {found.receipted} receipted, {found.rejected} rejected, {found.drafts} drafts"
        )
        if found.handed_over:
            console.print(
                f"Una persona mensajera lleva copias de {found.handed_over} entrevistas desde el"
                f" {format_spanish_time(found.handed_over_at)}. Siguen en esta tableta hasta que llegue su recibo."
            )
        _print_forms(console, found.forms)
        _print_warnings(console, found)

    print_result(asdict(found), as_json, write)


def _print_forms(console: Console, forms: Sequence[FormInUse]) -> None:
    for form in forms:
        console.print(f"  {form.form} {form.version} ({form.channel}) {form.sha[:16]}  {form.title}")
        for sentence in form.left_out:
            console.print(f"    {sentence}")


def _print_warnings(console: Console, told: TabletStatus | SyncReport | PullResult) -> None:
    for warning in warnings(told):
        console.print(warning, style="bold red")
    if told.recordings_missing:
        console.print(
            f"Faltan {told.recordings_missing} grabaciones: llegan al sincronizar y nada se detiene por ellas."
        )
