"""`chaski demo`: the story of one screening, on a throw-away folder or, with --keep, on one that goes on serving."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.panel import Panel
from rich.text import Text

from server import ceremony
from server.cli.process import ServerProcess, free_ports
from server.cli.story import STEPS, NotSo, Stage
from server.cli.terminal import busy, console, now_ms

TOLD = "story-told"


@click.command()
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the data here and go on serving.")
def demo(keep: Path | None) -> None:
    """Tell one screening's story from workbook to referral desk against a live server, checking every step.

    Exit code 0 only if every promise held. With --keep the story is told once; later calls start in seconds, with the
    data that is there, on ports 8080 (tablets) and 8081 (people), until Ctrl-C.
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
        )


def tell(stage: Stage) -> None:
    """Found the demo, start the server and tell the story; exits with code 1 at the first promise that does not hold."""
    begun = time.monotonic()
    console.print(Panel("Chaski: one screening, from a form author's workbook to a referral desk", expand=False))
    _found(stage)
    stage.server.start()
    checked = 0
    for number, step in enumerate(STEPS, 1):
        console.print(f"\n[bold]{number}. {step.__doc__}[/]")
        try:
            checked += _tell(step(stage))
        except NotSo as broken:
            console.print(Text(f"   ✗ {broken}", style="bold red"))
            console.print(f"\nThe story broke in step {number}; {checked} promises had held.", style="bold red")
            raise SystemExit(1) from broken
    console.print(f"\n[bold green]{checked} promises checked, all held[/], in {time.monotonic() - begun:.0f} s.")
