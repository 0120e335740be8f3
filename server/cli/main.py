"""The `chaski` command."""

import click


@click.group()
def main() -> None:
    """Chaski: offline-first screening and referral."""
