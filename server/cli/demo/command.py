"""`chaski demo`: runs the story of one screening in a temporary folder, or with --keep in a folder that it serves.

A ministry sees with one command that the whole process works. It must not serve anything but training on loopback."""

from __future__ import annotations

import fcntl
import itertools
import os
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
from server.cli.safe_console import console, safe_text
from server.cli.terminal import now_ms, spinner
from server.flows.trust import documents
from sync import atomic_file

# Files in a demo's folder. BEGUN_FILE marks a demo's folder; a running demo locks it. FINISHED_FILE marks a finished
# story. PARTS are what a story writes; the next call moves those of an unfinished story to CUT_OFF_FOLDER.
BEGUN_FILE, FINISHED_FILE = "story-begun", "story-told"
PARTS, CUT_OFF_FOLDER = ("server", "people", "tablet", "log", "invitation.png"), "cut-off"


@click.command(name="demo")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the data in this folder, and keep the server running.",
)
def demo_command(keep: Path | None) -> None:
    """Run one screening from the workbook to the referral desk against a real server, and check each step.

    Exit code 0 means that every check passed. With --keep, the story runs once, and the server then runs until Ctrl-C.
    Later calls start it in seconds with the stored data. Ports are 8080 (tablet API) and 8081 (staff API), or
    CHASKI_TABLETS_PORT and CHASKI_PEOPLE_PORT. After an interrupted story, the next call moves its files to a new
    folder cut-off-N and begins again.
    """
    if keep is not None:
        _serve(keep.absolute())
        return
    with tempfile.TemporaryDirectory(prefix="chaski-demo-") as folder:
        tablets, people = free_ports(2)
        demo = _create_demo(Path(folder), tablets, people)
        try:
            run_demo(demo, Interruption())
        finally:
            demo.server.kill()


def _create_demo(folder: Path, tablets_port: int, people_port: int) -> Demo:
    return Demo(folder, ServerProcess(folder, tablets_port, people_port), now_ms)


def _create_server(demo: Demo) -> None:
    with spinner("Creating the demo server ...") as tell:
        created = founding.create_demo_server(
            demo.folder / "server",
            demo.folder / "people",
            now=demo.now(),
            progress=lambda words: tell(f"Creating the demo server: {words}"),
        )
        demo.pin = documents.trust_in_force(created.db.read()).pin
        created.db.close()


class Interruption:
    """A signal that ends the demo. Python loses the exception if the signal comes while an object is destroyed, so
    each check of the story asks again."""

    seen = False

    def begin(self, *_: object) -> None:
        """Raise KeyboardInterrupt: the handler of the signal."""
        self.seen = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if the signal came."""
        if self.seen:
            raise KeyboardInterrupt


def run_demo(demo: Demo, interruption: Interruption) -> None:
    """Create the demo server, start it and run all steps. Raises SystemExit(1) at the first failed check."""
    begun = time.monotonic()
    console.print(_panel("Chaski: one screening, from a form author's workbook to a referral desk"))
    _create_server(demo)
    demo.server.start()
    checked = 0
    for number, step in enumerate(STEPS, 1):
        console.print()
        console.print(f"{number}. {step.__doc__}", style="bold")
        try:
            checked += _print_checks(step(demo), interruption)
        except StepFailedError as broken:
            console.print(Text(f"   ✗ {broken}", style="bold red"))
            console.print()
            console.print(f"Step {number} failed; {checked} promises had held before.", style="bold red")
            raise SystemExit(1) from broken
    console.print()
    held = (f"{checked} promises checked, all held", "bold green")
    console.print(Text.assemble(held, f", in {time.monotonic() - begun:.0f} s."))


def _print_checks(promises: Iterator[str], interruption: Interruption) -> int:
    """Print each check when it has passed; return the number of checks."""
    count = 0
    while True:
        interruption.check()
        with spinner("..."):
            line = next(promises, None)
        if line is None:
            return count
        if line.startswith(" "):
            console.print(Padding(safe_text(Text(line.strip(), "dim")), (0, 0, 0, 8), expand=False))
        else:
            console.print(Padding(safe_text(Text.assemble(("✓ ", "green"), line)), (0, 0, 0, 3), expand=False))
            count += 1


def _serve(folder: Path) -> None:
    """Run the story once in `folder`, then keep its server running until Ctrl-C or SIGTERM."""
    # A service manager sends SIGTERM, a person Ctrl-C. Both must also stop the server process, and a shell that starts
    # this in the background has set SIGINT to be ignored.
    interruption = Interruption()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interruption.begin)
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
                run_demo(demo, interruption)
                atomic_file.replace_file(told, f"{demo.pin}\n".encode())
            _print_addresses(demo, told.read_text(encoding="utf-8").strip())
            interruption.check()
            demo.server.wait()
        except KeyboardInterrupt:
            kept = "the data stays" if told.exists() else "the story was cut off, and the next call begins it again"
            console.print()
            console.print(f"Stopping; {kept}.")
        finally:
            demo.server.stop()


def _parts_left(folder: Path) -> list[str]:
    return [name for name in PARTS if (folder / name).exists()]


@contextmanager
def _lock_demo_folder(folder: Path) -> Iterator[None]:
    """Lock a demo's folder. Raises ClickException if another demo runs there, or the files are not a demo's."""
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
    """Move the files of an unfinished story to a new folder, CUT_OFF_FOLDER and a number. Nothing is deleted."""
    if not (left := _parts_left(folder)):
        return
    free = (folder / f"{CUT_OFF_FOLDER}-{number}" for number in itertools.count(1))
    aside = next(name for name in free if not name.exists() and not name.is_symlink())
    aside.mkdir(mode=0o700)
    for name in left:
        (folder / name).rename(aside / name)
    console.print(
        f"The story in {folder} was cut off, so it begins again. Its files are moved to {aside}; delete that folder "
        "when you do not need it.",
        soft_wrap=True,
    )


def _panel(text: str, title: str = "") -> Panel:
    return Panel(Text(text), title=Text(title) if title else None, expand=False)


def _print_addresses(demo: Demo, pin: str) -> None:
    people = demo.folder / "people"
    console.print(
        _panel(
            f"tablet API  {demo.server.tablets_url}\n"
            f"staff API   {demo.server.people_url}\n"
            "\n"
            f"in {demo.folder}:\n"
            "server/   database and the server's own keys\n"
            "log/      the server's log\n"
            "tablet/   the tablet of the story\n"
            "people/   keys and passphrases of the demo's people, one folder per person\n"
            "invitation.png, the tablet's QR code (already used)",
            title="Serving a demo: training only, loopback only",
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
