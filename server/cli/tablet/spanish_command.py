"""A command that inspectors use: it tells in Spanish why it cannot run.

`chaski device screen` is one, and so are the commands of couriers. It catches errors of usage, of the tablet's store
and of its documents, wherever they happen. It must not pass on an English text of click or of `sync`.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import IO, Any

import click

from screening_forms.errors import AnswerError
from server.cli.safe_console import echo
from server.cli.tablet.spanish_errors import reason_in_spanish
from sync.errors import SyncError

_SCREEN_USAGE = "FORMULARIO --tablet CARPETA [--language es] [--taken 2026-12-31]"


class SpanishUsageError(click.UsageError):
    """A wrong use of the command. The message says in Spanish what is wrong."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the usage and the message, without the English words that click prints around them."""
        if self.ctx is not None:
            usage = getattr(self.ctx.command, "usage", "")
            echo(f"Uso: {self.ctx.command_path} {usage}", err=True)
        echo(f"chaski: {self.format_message()}", err=True)


class SpanishCommand(click.Command):
    """Prints an expected error as one Spanish line, with exit code 1; a wrong use with exit code 2.

    `usage` is what follows the command's name, for a person who used it wrongly.
    """

    def __init__(self, *args: Any, usage: str = _SCREEN_USAGE, **options: Any) -> None:
        super().__init__(*args, **options)
        self.usage = usage

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does. Raises SpanishUsageError for words that click refuses."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as refused:
            raise SpanishUsageError(_wrong_word(refused, ctx), ctx) from refused

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. The messages of its own usage errors are Spanish already."""
        try:
            return super().invoke(ctx)
        except click.UsageError as refused:
            raise SpanishUsageError(refused.message, ctx) from refused
        except (AnswerError, OSError, SyncError, sqlite3.Error) as error:
            code = f"{error.code}: " if isinstance(error, SyncError) else ""
            echo(f"chaski: {code}{reason_in_spanish(error)}.", err=True)
            sys.exit(1)


def _wrong_word(refused: click.UsageError, ctx: click.Context) -> str:
    """Say which word of the command line is wrong. It never quotes click, whose messages are English."""
    if isinstance(refused, click.NoSuchOption):
        return f"no existe la opción {refused.option_name}."
    if isinstance(refused, click.BadOptionUsage):
        return f"la opción {refused.option_name} está mal escrita: le falta o le sobra un valor."
    name = refused.param.get_error_hint(ctx) if isinstance(refused, click.BadParameter) and refused.param else ""
    if isinstance(refused, click.MissingParameter):
        return f"falta {name}."
    return f"el valor de {name} no sirve; revise el uso." if name else "sobra una palabra; revise el uso."
