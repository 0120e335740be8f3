"""The `chaski` command: one group per kind of person. Commands parse, call and print; they decide nothing."""

from __future__ import annotations

import sqlite3
import sys

import click

from screening_forms.errors import AnswerError, FormError
from server.archive import BackupError
from server.cli import admin, backup, demo, desk, device, forms, jobs, orders, work
from server.cli.process import ProcessError
from server.config import ConfigError
from server.problems import Problem
from sync.errors import SyncError


class KindGroup(click.Group):
    """Turn what a person can cause or meet into one clear line and exit code 1; anything else stays a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FormError as error:
            forms.print_problems(error.problems)
        except OSError as error:
            click.echo(f"chaski: {error.filename or ''}: {error.strerror or error}", err=True)
        except sqlite3.DatabaseError as error:
            click.echo(f"chaski: a database is damaged, or is none: {error}; restore it from a copy", err=True)
        except (AnswerError, BackupError, ConfigError, Problem, ProcessError, SyncError) as error:
            click.echo(f"chaski: {error}", err=True)
        sys.exit(1)


@click.group(cls=KindGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chaski")
def main() -> None:
    """Chaski: offline-first, end-to-end encrypted screening and referral.

    \b
    form authors    forms check | compile | score | assess | texts | sign | publish
    inspectors      device enrol | pull | screen | sync | status
    coordinators    desk queue | claim | open | accept | close | work | examine | decide
    registrars      device list | approve | revoke | wipe
    administrators  init | serve | trust show | audit verify | jobs list | jobs run
                    device invite | list, desk work | decide, backup-key new | backup | restore
    everybody       demo

    Today the tablet is a reference client in this terminal: an app for tablets and pages for coordinators come later.
    Exit codes: 0 done, 1 refused or failed (the reason is on standard error), 2 wrong usage.
    """


main.add_command(admin.init)
main.add_command(admin.serve)
main.add_command(admin.trust)
main.add_command(admin.audit)
main.add_command(backup.backup_key)
main.add_command(backup.backup)
main.add_command(backup.restore)
main.add_command(forms.forms)
main.add_command(device.device)
main.add_command(desk.desk)
main.add_command(jobs.group)
main.add_command(demo.demo)
for ordering in (orders.revoke, orders.wipe):
    device.device.add_command(ordering)
for deciding in (work.work, work.examine, work.decide):
    desk.desk.add_command(deciding)
