"""`chaski desk`: a referral coordinator's work. Keys and plaintext stay in this process and are never written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.cli.staff import Who, staff_options
from server.cli.terminal import json_option, show
from sync.desk import OpenedScreening

pin_option = click.option("--pin", required=True, help="Pin of the roots, from your paper; it keeps a false server out.")


@click.group()
def desk() -> None:
    """See queues, open screenings with your own key, accept and close referrals."""
