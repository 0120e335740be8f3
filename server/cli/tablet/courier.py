"""`chaski courier`, and the tablet's commands for a courier: screenings and receipts travel as a file (SPEC 11.5).

Inspectors and the colleague who carries the file use them, so they answer in Spanish. They must not show or need a key.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from server.cli.safe_console import echo
from server.cli.staff_session import proxy_option
from server.cli.tablet.device import open_tablet, tablet_option
from server.cli.tablet.spanish_command import SpanishCommand
from server.cli.tablet.spanish_errors import reason_in_spanish
from server.cli.terminal import LazyGroup, json_option, print_result, spinner
from sync.errors import SyncError
from sync.exchange.courier_bundle import Collection, Unread, collect_files
from sync.exchange.courier_delivery import Delivery, deliver_file
from sync.exchange.transport import Transport

SUBCOMMANDS = {"collect": "tablet.courier:collect", "deliver": "tablet.courier:deliver"}
RECEIPTS_SUFFIX = ".receipts"
_REJECTIONS = {
    "envelope.unknown_device": "el servidor no conoce la tableta, o falta aprobarla",
    "storage.quota": "la tableta llenó el espacio que le toca en el servidor",
}
_REFUSALS = {
    "receipt.other_generation": "son de antes de que el servidor se restaurara: no cuentan",
    "signed.too_few": "no los firmó un servidor que esta tableta conozca; sincronice cuando pueda",
}
_file = click.Path(path_type=Path)


@click.group(cls=LazyGroup, lazy_commands=SUBCOMMANDS)
def courier() -> None:
    """Carry screenings of tablets without a network, and bring back the receipts."""


@click.command(cls=SpanishCommand, name="hand-over", usage="ARCHIVO|CARPETA --tablet CARPETA")
@click.argument("file", type=_file)
@tablet_option
@json_option
def hand_over(file: Path, folder: Path, as_json: bool) -> None:
    """Copy the tablet's waiting screenings, sealed, into a new FILE or folder.

    A courier carries the file to a network. The screenings stay on the tablet until a receipt comes back. Nothing in
    the file can be read without a desk's key.
    """
    with open_tablet(folder) as tablet:
        given = tablet.hand_over(file)

    def write(console: Console) -> None:
        if given.path is None:
            console.print("No hay entrevistas por entregar: no se escribió ningún archivo.")
            return
        console.print(f"Copias de {given.envelopes} entrevistas selladas en {given.path}.")
        console.print("Siguen en esta tableta hasta que llegue su recibo: no la borre ni la entregue todavía.")

    print_result({"file": str(given.path or ""), "envelopes": given.envelopes}, as_json, write)


@click.command(cls=SpanishCommand, name="take-receipts", usage="ARCHIVO --tablet CARPETA")
@click.argument("file", type=_file)
@tablet_option
@json_option
def take_receipts(file: Path, folder: Path, as_json: bool) -> None:
    """Take in the receipts for this tablet that a courier brought back in FILE.

    Receipts for other tablets stay in the file, which is not changed. Each is verified: the server signed it.
    """
    with open_tablet(folder) as tablet:
        taken = tablet.take_receipts(file)
        waiting = tablet.status().waiting

    def write(console: Console) -> None:
        console.print(f"{taken.settled} entrevistas entregadas según estos recibos; faltan {waiting}.")
        for code, count in sorted(Counter(taken.refused).items()):
            why = _REFUSALS.get(code, "no valen; pida otra copia")
            console.print(f"{count} recibos de esta tableta no se aceptaron ({code}): {why}.")
        if taken.damaged:
            console.print(f"{taken.damaged} líneas del archivo están dañadas; si falta algo, pida otra copia.")

    print_result({**asdict(taken), "waiting": waiting}, as_json, write)


@click.command(cls=SpanishCommand, usage="ARCHIVO_NUEVO ARCHIVO ...")
@click.argument("out", type=_file)
@click.argument("files", type=_file, nargs=-1, required=True)
@json_option
def collect(out: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Join the FILES of several tablets into one new file, OUT. Each screening is in it once."""
    collected = collect_files(out, files)
    data = {
        "file": str(out),
        "envelopes": collected.envelopes,
        "unread": {str(path): asdict(each) for path, each in collected.unread.items()},
    }
    print_result(data, as_json, lambda console: _print_collection(console, out, collected))
    if any(each.damaged for each in collected.unread.values()):
        sys.exit(1)


def _print_collection(console: Console, out: Path, collected: Collection) -> None:
    console.print(f"{collected.envelopes} entrevistas selladas en {out}.")
    for path, unread in collected.unread.items():
        _print_unread(console, f"{path}: ", unread)


def _print_unread(console: Console, where: str, unread: Unread) -> None:
    if unread.damaged:
        lines = ", ".join(map(str, unread.numbers)) + (" ..." if unread.damaged > len(unread.numbers) else "")
        console.print(f"{where}{unread.damaged} líneas dañadas ({lines}). Pida a la tableta otra copia.")
    if unread.other:
        console.print(f"{where}{unread.other} líneas son recibos y no se tocan.")


@click.command(cls=SpanishCommand, usage="ARCHIVO --server https://... [--receipts ARCHIVO]")
@click.argument("file", type=_file)
@click.option("--server", "url", required=True, help="URL of the tablet API, as in the tablets' invitations.")
@click.option("--receipts", "out", type=_file, help="File for the receipts. Default: FILE.receipts.")
@proxy_option
@json_option
def deliver(file: Path, url: str, out: Path | None, proxy: str, as_json: bool) -> None:
    """Send the screenings in FILE to the server and write down the receipts, for the way back to the tablets.

    It needs no account. A delivery that was cut off goes on when it is repeated; repeating a complete one sends nothing
    again. Exit code 1: something is not delivered yet; keep the file.
    """
    if not file.name:
        raise click.UsageError("falta el nombre del archivo.")
    out = out or file.with_name(file.name + RECEIPTS_SUFFIX)
    transport = Transport(url, proxy=proxy)
    try:
        with spinner("Enviando ...") as show:
            delivered = deliver_file(file, out, transport, _show_progress(show))
    except SyncError as error:
        echo(f"chaski: {error.code}: {reason_in_spanish(error)}.", err=True)
        echo(f"chaski: {_say_next_step(error.code, file, out)}", err=True)
        sys.exit(1)
    finally:
        transport.close()
    data = {"receipts": str(out), **asdict(delivered), "complete": delivered.is_complete}
    print_result(data, as_json, lambda console: _print_delivery(console, file, out, delivered))
    if not delivered.is_complete:
        sys.exit(1)


def _say_next_step(code: str, file: Path, out: Path) -> str:
    """Say what to do after an error. Most errors of the family `courier` do not go away when the order is repeated."""
    if code == "courier.file_exists":
        return f"{out} no es un archivo de recibos y queda como está. Nombre otro con --receipts. No se envió nada."
    if code.startswith("courier."):
        return f"guarde {file}."
    return f"guarde {file}. Lo que ya tiene recibo está en {out}; repita la orden para seguir."


def _show_progress(show: Callable[[str], None]) -> Callable[[int, int], None]:
    return lambda done, total: show(f"Enviando ... {done} de {total} con recibo")


def _print_delivery(console: Console, file: Path, out: Path, done: Delivery) -> None:
    console.print(f"{done.receipted} entrevistas entregadas ahora, {done.before} antes, de {done.total} en {file}.")
    if done.receipted or done.before:
        console.print(f"Lleve {out} de vuelta a las tabletas: tiene los recibos.")
    for code, count in sorted(Counter(each.code for each in done.rejected).items()):
        why = _REJECTIONS.get(code, "avise a la administración")
        console.print(f"{count} no se guardaron ({code}): {why}.")
    if done.foreign:
        console.print(f"{done.foreign} son de tabletas de otro servidor y no se enviaron.")
        console.print("Si todas las tabletas son de este servidor, pídales otra copia.")
    if done.unanswered:
        console.print(f"{done.unanswered} quedaron sin respuesta; repita más tarde.")
    _print_unread(console, "", done.unread)
    if not done.is_complete:
        console.print(f"Guarde {file}: todavía falta algo.", style="bold red")
