"""`chaski forms publish | rings | widen | halt | resume | roll-back | close | retire | inventory`: rollouts.

A publisher gives a version to a ring of tablets, watches which tablet has it, and can go back to an earlier version."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from rich.console import Console
from rich.text import Text

from server.cli.authors.versions import VERSION_ID, form_option, print_version, reason_option, version_argument
from server.cli.safe_console import make_table
from server.cli.staff_session import Account, account_options
from server.cli.terminal import format_time, json_option, print_result

rollout_argument = click.argument("rollout", type=click.IntRange(1), metavar="RING")


def ring_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--regions --devices --share`. The command receives `ring`: the request's members that limit the ring."""

    @click.option("--regions", help="Only tablets of these regions, such as 17,21.")
    @click.option("--devices", help="Only these tablets: their ids, separated by commas.")
    @click.option("--share", type=click.IntRange(1, 1000), help="Only this share of the tablets, in thousandths.")
    @functools.wraps(command)
    def with_ring(*args: Any, regions: str | None, devices: str | None, share: int | None, **options: Any) -> Any:
        named = {"regions": regions and regions.split(","), "devices": devices and devices.split(",")}
        ring = {name: value for name, value in {**named, "share_permille": share}.items() if value}
        return command(*args, ring=ring, **options)

    return with_ring


@click.command()
@click.argument("what", metavar="ID|FILE")
@ring_options
@click.option(
    "--at",
    type=click.DateTime(("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")),
    help="Start time, in this machine's time zone. Default: now. Not for FILE.",
)
@account_options
@json_option
def publish(what: str, ring: dict[str, Any], at: datetime | None, account: Account, as_json: bool) -> None:
    """Publish an approved version to tablets.

    It publishes version ID, or the bundle in FILE that author and reviewer have signed. The tablets of the ring get it
    at their next sync. Without --regions, --devices or --share, all tablets get it.
    """
    if not VERSION_ID.fullmatch(what):
        _publish_file(Path(what), ring, at, account, as_json)
        return
    starts = {"starts": int(at.timestamp() * 1000)} if at else {}
    with account.sign_in() as staff:
        made = staff.post(f"/v1/versions/{what}/rollouts", json={**ring, **starts})
    print_result(made, as_json, lambda console: print_rings(console, [made]))


def _publish_file(file: Path, ring: dict[str, Any], at: datetime | None, account: Account, as_json: bool) -> None:
    if at is not None:
        raise click.UsageError("--at works only with the ID of a version on the server")
    content = file.read_bytes()
    said = {name: ",".join(value) if isinstance(value, list) else value for name, value in ring.items()}
    with account.sign_in() as staff:
        data = staff.post("/v1/publications" + (f"?{urlencode(said)}" if said else ""), data=content)
    line = f"{data['form']} {data['version']} is in manifest {data['manifest']}."
    print_result(data, as_json, lambda console: console.print(line))


def print_rings(console: Console, rings: list[dict[str, Any]]) -> None:
    """Print rollouts in the order in which a tablet tries them."""
    for each in rings:
        when = f"since {format_time(each['since'])}" if each["since"] else f"from {format_time(each['starts'])}"
        form = f"{each['form']} {each['label']} ({each['channel']}, version {each['version']})"
        console.print(Text(f"{each['id']}  {form}", style="bold"), soft_wrap=True)
        console.print(Text(f"   {each['state']} {when}, for {_describe_ring(each)}"), soft_wrap=True)
        if each["refused"]:
            console.print(Text(f"   {each['refused']} tablet(s) refused it", style="yellow"), soft_wrap=True)
        if each["reason"]:
            console.print(Text(f"   {each['reason']}", style="yellow"), soft_wrap=True)
    if not rings:
        console.print("Nothing has been published yet.")


def _describe_ring(ring: dict[str, Any]) -> str:
    narrowed = [f"regions {' '.join(ring['regions'])}"] if ring["regions"] else []
    narrowed += [f"{len(ring['devices'])} named tablet(s)"] if ring["devices"] else []
    narrowed += [f"{ring['share_permille']} in a thousand"] if ring["share_permille"] else []
    return ", ".join(narrowed) or "all tablets"


@click.command()
@form_option
@account_options
@json_option
def rings(form: str | None, account: Account, as_json: bool) -> None:
    """List which tablets get which version.

    The rings are in the order in which a tablet tries them.
    """
    with account.sign_in() as staff:
        found = staff.list("/v1/rollouts" + (f"?form={form}" if form else ""))
    print_result(found, as_json, lambda console: print_rings(console, found))


@click.command()
@rollout_argument
@ring_options
@account_options
@json_option
def widen(rollout: int, ring: dict[str, Any], account: Account, as_json: bool) -> None:
    """Change the tablets of RING. Without --regions, --devices or --share, RING has all tablets."""
    with account.sign_in() as staff:
        found = staff.put(f"/v1/rollouts/{rollout}/ring", json=ring)
    print_result(found, as_json, lambda console: print_rings(console, [found]))


@click.command()
@rollout_argument
@reason_option
@account_options
@json_option
def halt(rollout: int, reason: str, account: Account, as_json: bool) -> None:
    """Halt RING: its tablets return to the version below.

    They do so at their next sync. A planned ring is cancelled.
    """
    with account.sign_in() as staff:
        found = staff.post(f"/v1/rollouts/{rollout}/halt", json={"reason": reason})
    print_result(found, as_json, lambda console: print_rings(console, [found]))


@click.command()
@rollout_argument
@account_options
@json_option
def resume(rollout: int, account: Account, as_json: bool) -> None:
    """Resume a halted RING."""
    with account.sign_in() as staff:
        found = staff.post(f"/v1/rollouts/{rollout}/resume")
    print_result(found, as_json, lambda console: print_rings(console, [found]))


@click.command(name="roll-back")
@version_argument
@reason_option
@account_options
@json_option
def roll_back(version: int, reason: str, account: Account, as_json: bool) -> None:
    """Give the earlier version ID to all tablets again. All other rings of the form end."""
    with account.sign_in() as staff:
        found = staff.post(f"/v1/versions/{version}/rollback", json={"reason": reason})
    print_result(found, as_json, lambda console: print_rings(console, [found]))


@click.command()
@version_argument
@account_options
@json_option
def close(version: int, account: Account, as_json: bool) -> None:
    """Stop giving version ID to tablets. The server still accepts screenings made with it."""
    with account.sign_in() as staff:
        found = staff.post(f"/v1/versions/{version}/closing")
    print_result(found, as_json, lambda console: print_version(console, found))


@click.command()
@version_argument
@account_options
@json_option
def retire(version: int, account: Account, as_json: bool) -> None:
    """Retire version ID, which is closing.

    The server accepts and marks later screenings made with it.
    """
    with account.sign_in() as staff:
        found = staff.post(f"/v1/versions/{version}/retirement")
    print_result(found, as_json, lambda console: print_version(console, found))


@click.command()
@click.option("--region", help="Only tablets of this region, such as 17.")
@account_options
@json_option
def inventory(region: str | None, account: Account, as_json: bool) -> None:
    """Show how many tablets hold each version, by region.

    It also lists the tablets that are behind or silent.
    """
    with account.sign_in() as staff:
        found = staff.get("/v1/inventory" + (f"?region={region}" if region else ""))
    print_result(found, as_json, lambda console: _print_inventory(console, found))


def _print_inventory(console: Console, found: dict[str, Any]) -> None:
    columns = ("form", "version", "region", "held", "due", "behind", "since", "silent")
    table = make_table(columns, map(_inventory_row, found["versions"]))
    console.print(table if found["versions"] else "No tablet is due a form, or has reported one.")
    for each in found["behind"]:
        seen = f"last heard {format_time(each['seen'])}" if each["seen"] else "never heard"
        line = f"behind since {format_time(each['since'])}: {each['label']} ({each['dev']}), {each['form']}; {seen}"
        console.print(Text(line, style="yellow"), soft_wrap=True)
    for each in found["silent"]:
        console.print(Text(f"silent: {each['label']} ({each['dev']}), region {each['region']}", style="yellow"))


def _inventory_row(held: dict[str, Any]) -> list[str]:
    version = f"{held['version']} ({held['channel']}, {held['state']})" if held["version"] else held["sha"][:8]
    counts = (str(held[name]) for name in ("held", "due", "behind"))
    since = format_time(held["since"]) if held["since"] else ""
    return [held["form"], version or "none", held["region"], *counts, since, str(held["silent"])]
