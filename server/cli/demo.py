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

from server import ceremony, config
from server.cli.process import ServerProcess, free_ports
from server.cli.story import STEPS, NotSoError, Stage
from server.cli.terminal import busy, console, now_ms
from sync import durable

# In a demo's folder: the mark that a demo was begun there, held while one is at work; the one that its story was told;
# what a story leaves, and where that goes when it was cut off.
BEGUN, TOLD = "story-begun", "story-told"
PARTS, CUT_OFF = ("server", "people", "tablet", "log", "invitation.png"), "cut-off"


@click.command()
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the data here and go on serving.")
def demo(keep: Path | None) -> None:
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
        stage = _stage(Path(folder), tablets, people)
        try:
            tell(stage)
        finally:
            stage.server.kill()


def _stage(folder: Path, tablets_port: int, people_port: int) -> Stage:
    return Stage(folder, ServerProcess(folder, tablets_port, people_port), now_ms)


def _found(stage: Stage) -> None:
    with busy("Founding a demo ...") as status:
        ceremony.demo(
            stage.folder / "server",
            stage.folder / "people",
            now=stage.now(),
            progress=lambda words: status.update(f"Founding a demo: {words}"),
        ).db.close()


def tell(stage: Stage) -> None:
    """Found the demo, start the server, tell the story; exits with code 1 at the first promise that does not hold."""
    begun = time.monotonic()
    console.print(Panel("Chaski: one screening, from a form author's workbook to a referral desk", expand=False))
    _found(stage)
    stage.server.start()
    checked = 0
    for number, step in enumerate(STEPS, 1):
        console.print(f"\n[bold]{number}. {step.__doc__}[/]")
        try:
            checked += _tell(step(stage))
        except NotSoError as broken:
            console.print(Text(f"   ✗ {broken}", style="bold red"))
            console.print(f"\nThe story broke in step {number}; {checked} promises had held.", style="bold red")
            raise SystemExit(1) from broken
    console.print(f"\n[bold green]{checked} promises checked, all held[/], in {time.monotonic() - begun:.0f} s.")


def _tell(promises: Iterator[str]) -> int:
    """Print each promise as soon as it is checked; returns how many there were."""
    count = 0
    while True:
        with busy("..."):
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
    stage = _stage(folder, settings.tablets_port, settings.people_port)
    stage.server.refuse_taken_ports()
    told = folder / TOLD
    with _alone(folder):
        try:
            if told.exists():
                stage.server.start()
            else:
                _begin_again(folder)
                tell(stage)
                durable.replace(told, f"{stage.pin}\n".encode())
            _say_where(stage, told.read_text(encoding="utf-8").strip())
            stage.server.wait()
        except KeyboardInterrupt:
            kept = "the data stays" if told.exists() else "the story was cut off, and the next call begins it again"
            console.print(f"\nStopping; {kept}.")
        finally:
            stage.server.stop()


def _left(folder: Path) -> list[str]:
    return [name for name in PARTS if (folder / name).exists()]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a demo's folder against another demo; refuse one that holds a server, but which no demo began."""
    begun = folder / BEGUN
    if (left := _left(folder)) and not begun.exists() and not (folder / TOLD).exists():
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
        durable.sync_folder(folder)
        yield


def _begin_again(folder: Path) -> None:
    """Move aside what a story left that was not told to its end: a demo's, with no data that counts."""
    if not (left := _left(folder)):
        return
    aside = folder / CUT_OFF
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


def _say_where(stage: Stage, pin: str) -> None:
    people = stage.folder / "people"
    console.print(
        Panel(
            f"tablets   {stage.server.tablets_url}\n"
            f"people    {stage.server.people_url}\n"
            "\n"
            f"in {stage.folder}:\n"
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
        f"chaski device status --tablet {stage.tablet}",
        "chaski desk queue 17-child --mode training --login ninez-17 "
        f"--passphrase-file {people}/ninez-17/passphrase.txt --pin {pin}",
    ):
        console.print(f"  .venv/bin/{command}", soft_wrap=True)
    console.print("Ctrl-C stops it; the data stays.")
