"""`chaski demo`: the story of one screening, on a throw-away folder or, with --keep, on one that goes on serving."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from server.ceremony import founding
from server.cli.demo.server_process import ServerProcess, free_ports
from server.cli.demo.story import STEPS, Demo, StepFailedError
from server.cli.terminal import console, now_ms, spinner

FINISHED_FILE = "story-told"


@click.command(name="demo")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the data here and go on serving.")
def demo_command(keep: Path | None) -> None:
    """Tell one screening's story from workbook to referral desk against a live server, checking every step.

    Exit code 0 only if every promise held. With --keep the story is told once; later calls start in seconds, with the
    data that is there, on ports 8080 (tablets) and 8081 (people), until Ctrl-C.
    """
    if keep is not None:
        _serve(keep.absolute())
        return
    with tempfile.TemporaryDirectory(prefix="chaski-demo-") as folder:
        tablets, people = free_ports(2)
        demo = _create_demo(Path(folder), tablets, people)
        try:
            run_demo(demo)
        finally:
            demo.server.kill()


def _create_demo(folder: Path, tablets_port: int, people_port: int) -> Demo:
    return Demo(folder, ServerProcess(folder, tablets_port, people_port), now_ms)


def _create_server(demo: Demo) -> None:
    with spinner("Founding a demo ...") as status:
        founding.create_demo_server(
            demo.folder / "server",
            demo.folder / "people",
            now=demo.now(),
            progress=lambda words: status.update(f"Founding a demo: {words}"),
        ).db.close()


def run_demo(demo: Demo) -> None:
    """Found the demo, start the server, tell the story; exits with code 1 at the first promise that does not hold."""
    begun = time.monotonic()
    console.print(Panel("Chaski: one screening, from a form author's workbook to a referral desk", expand=False))
    _create_server(demo)
    demo.server.start()
    checked = 0
    for number, step in enumerate(STEPS, 1):
        console.print(f"\n[bold]{number}. {step.__doc__}[/]")
        try:
            checked += _print_checks(step(demo))
        except StepFailedError as broken:
            console.print(Text(f"   ✗ {broken}", style="bold red"))
            console.print(f"\nThe story broke in step {number}; {checked} promises had held.", style="bold red")
            raise SystemExit(1) from broken
    console.print(f"\n[bold green]{checked} promises checked, all held[/], in {time.monotonic() - begun:.0f} s.")


def _print_checks(promises: Iterator[str]) -> int:
    """Print each promise as soon as it is checked; returns how many there were."""
    count = 0
    while True:
        with spinner("..."):
            line = next(promises, None)
        if line is None:
            return count
        if line.startswith(" "):
            console.print(Padding(Text(line.strip(), style="dim"), (0, 0, 0, 8), expand=False))
        else:
            console.print(Padding(Text.assemble(("✓ ", "green"), line), (0, 0, 0, 3), expand=False))
            count += 1


def _serve(folder: Path) -> None:
    """Tell the story once in `folder`, then keep its server running until Ctrl-C."""
    # A service manager says SIGTERM where a person says Ctrl-C; either way the server must not stay behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    demo = _create_demo(folder, 8080, 8081)
    told = folder / FINISHED_FILE
    try:
        if told.exists():
            demo.server.start()
        else:
            _refuse_unfinished(folder)
            run_demo(demo)
            told.write_text(f"{demo.pin}\n", encoding="utf-8")
        _print_addresses(demo, told.read_text(encoding="utf-8").strip())
        demo.server.wait()
    except KeyboardInterrupt:
        console.print("\nStopping; the data stays.")
    finally:
        demo.server.stop()


def _refuse_unfinished(folder: Path) -> None:
    if (folder / "server").exists():
        raise click.ClickException(
            f"{folder} holds a demo whose story was cut off. Move it away or delete it, then run this again."
        )


def _print_addresses(demo: Demo, pin: str) -> None:
    people = demo.folder / "people"
    console.print(
        Panel(
            f"tablets   {demo.server.tablets_url}\n"
            f"people    {demo.server.people_url}\n"
            "\n"
            f"in {demo.folder}:\n"
            "server/   database and the server's own keys\n"
            "log/      what the server logs\n"
            "tablet/   the tablet of the story\n"
            "people/   keys and passphrases of the demo's people, a folder each\n"
            "invitation.png, the tablet's QR code, which worked once",
            title="Serving a demo: training only, loopback only",
            expand=False,
        )
    )
    console.print("Try, in another terminal:")
    for command in (
        f"chaski device status --tablet {demo.tablet}",
        "chaski desk queue 17-child --mode training --login ninez-17 "
        f"--passphrase-file {people}/ninez-17/passphrase.txt --pin {pin}",
    ):
        console.print(f"  .venv/bin/{command}", soft_wrap=True)
    console.print("Ctrl-C stops it; the data stays.")
