"""`chaski demo`: the story of one screening, on a throw-away folder or, with --keep, on one that goes on serving."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from server import config
from server.ceremony import founding
from server.cli.demo.server_process import ServerProcess, free_ports
from server.cli.demo.story import STEPS, Demo, StepFailedError
from server.cli.terminal import console, now_ms, spinner
from sync import atomic_file

# In a demo's folder: the mark that a demo was begun there, held while one is at work; the one that its story was told;
# what a story leaves, and where that goes when it was cut off.
BEGUN_FILE, FINISHED_FILE = "story-begun", "story-told"
PARTS, CUT_OFF_FOLDER = ("server", "people", "tablet", "log", "invitation.png"), "cut-off"


@click.command(name="demo")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the data here and go on serving.")
def demo_command(keep: Path | None) -> None:
    """Tell one screening's story from workbook to referral desk against a live server, checking every step.

    Exit code 0 only if every promise held. With --keep the story is told once; later calls start in seconds, with the
    data that is there, on ports 8080 (tablets) and 8081 (people), or those that CHASKI_TABLETS_PORT and
    CHASKI_PEOPLE_PORT name, until Ctrl-C. A story that was cut off is begun again; what it left is moved to cut-off/.
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
    settings = config.load({**os.environ, "CHASKI_DATA": str(folder / "server")})
    demo = _create_demo(folder, settings.tablets_port, settings.people_port)
    demo.server.refuse_taken_ports()
    told = folder / FINISHED_FILE
    with _lock_demo_folder(folder):
        try:
            if told.exists():
                demo.server.start()
            else:
                _move_unfinished_aside(folder)
                run_demo(demo)
                atomic_file.replace_file(told, f"{demo.pin}\n".encode())
            _print_addresses(demo, told.read_text(encoding="utf-8").strip())
            demo.server.wait()
        except KeyboardInterrupt:
            kept = "the data stays" if told.exists() else "the story was cut off, and the next call begins it again"
            console.print(f"\nStopping; {kept}.")
        finally:
            demo.server.stop()


def _parts_left(folder: Path) -> list[str]:
    return [name for name in PARTS if (folder / name).exists()]


@contextmanager
def _lock_demo_folder(folder: Path) -> Iterator[None]:
    """Hold a demo's folder against another demo; refuse one that holds a server, but which no demo began."""
    begun = folder / BEGUN_FILE
    if (left := _parts_left(folder)) and not begun.exists() and not (folder / FINISHED_FILE).exists():
        raise click.ClickException(
            f"{folder} holds {', '.join(left)}, and no demo was begun there. Name another folder, or move that away."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with begun.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as wrong:
            raise click.ClickException(
                f"another demo is at work in {folder}; end it, or name another folder."
            ) from wrong
        atomic_file.sync_folder(folder)
        yield


def _move_unfinished_aside(folder: Path) -> None:
    """Move aside what a story left that was not told to its end: a demo's, with no data that counts."""
    if not (left := _parts_left(folder)):
        return
    aside = folder / CUT_OFF_FOLDER
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir(mode=0o700)
    for name in left:
        (folder / name).rename(aside / name)
    console.print(
        f"The story in {folder} was cut off. Nothing of it counts: it is begun again, and what it left is moved to "
        f"{aside}, in the place of what was there.",
        soft_wrap=True,
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
