"""The `chaski` command, with one group of subcommands for each role.

A command parses its options, calls a flow or a client, and prints. It must not contain rules of its own."""

from __future__ import annotations

import io
import sqlite3
import sys
from typing import Any

import click

from screening_forms.errors import AnswerError, FormError
from screening_forms.process_memory import close_memory
from server.backup.archive import BackupError
from server.cli.demo.server_process import ProcessError
from server.cli.safe_console import echo, visible
from server.cli.terminal import LazyGroup, print_problems
from server.config import ConfigError
from server.problems import Problem
from sync.errors import SyncError

# Where each command is defined, as `module:name` under server.cli.
COMMANDS = {
    "init": "admin.create:init",
    "serve": "admin.server:serve_command",
    "trust": "admin.server:trust_group",
    "audit": "admin.server:audit_group",
    "check": "admin.server:check_command",
    "backup-key": "admin.backup:backup_key_group",
    "backup": "admin.backup:backup_command",
    "restore": "admin.backup:restore_command",
    "forms": "authors.forms:forms",
    "device": "tablet.device:device",
    "courier": "tablet.courier:courier",
    "desk": "desk.referrals:desk",
    "jobs": "admin.jobs:jobs_group",
    "statistics": "admin.statistics:statistics_command",
    "demo": "demo.command:demo_command",
}


class ChaskiGroup(LazyGroup):
    """Prints an expected error as one line, with exit code 1. An unexpected error stays a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command. It closes the process's memory first, before any module that could hold a secret loads."""
        close_memory()
        return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FormError as error:
            print_problems(error.problems)
        except OSError as error:
            echo(f"chaski: {error.filename or ''}: {error.strerror or error}", err=True)
        except sqlite3.DatabaseError as error:
            echo(f"chaski: a file is damaged or not a database: {error}; restore it from a backup", err=True)
        except ProcessError as error:
            for line in f"chaski: {error}".split("\n"):  # It quotes the end of a server's log.
                echo(line, err=True)
        except (AnswerError, BackupError, ConfigError, Problem, SyncError) as error:
            echo(f"chaski: {error}", err=True)
        except click.ClickException as error:
            _show(error)
            sys.exit(error.exit_code)
        sys.exit(1)


def _show(error: click.ClickException) -> None:
    """Print an error as click does. Its message may quote a server or a file, but a help text is our own."""
    if not isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.message = visible(error.message)  # type: ignore[misc]
    shown = io.StringIO()
    error.show(shown)
    for line in shown.getvalue().splitlines():
        echo(line, err=True)


@click.group(cls=ChaskiGroup, lazy_commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chaski")
def main() -> None:
    """Chaski: offline-first, end-to-end encrypted screening and referral.

    \b
    form authors    forms check | try | diff | impact | translations | draft | sign | publish ...
    inspectors      device enrol | pull | screen | sync | status | hand-over | take-receipts
    couriers        courier collect | deliver
    coordinators    desk queue | claim | open | accept | close | work | examine | decide
    registrars      device list | approve | revoke | wipe
    administrators  init | serve | trust show | audit verify | check | jobs list | jobs run | statistics
                    device invite | list, desk work | decide, backup-key new | backup | restore
    all roles       demo

    Today the tablet is a reference client in this terminal. An app for tablets and pages for coordinators come later.
    Exit codes: 0 done, 1 refused or failed (standard error has the reason), 2 wrong usage.
    """
