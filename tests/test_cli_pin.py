"""Every command that signs in needs the pin of the roots, and judges pin and address before it asks for anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from server.cli.main import main

PIN = "0" * 64


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    with click.Context(group) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            if isinstance(found, click.Group):
                yield from commands(found, *path, name)
            else:
                yield (*path, name), found


def options(command: click.Command) -> set[str]:
    return {name for each in command.params for name in each.opts}


STAFF = {path: command for path, command in commands(main) if "--login" in options(command)}


def words(path: tuple[str, ...], file: Path) -> list[str]:
    """A call of the command with something for all that it requires."""
    said = [*path]
    for each in STAFF[path].params:
        if isinstance(each, click.Option) and each.required and "--login" not in each.opts:
            said += [each.opts[0], example(each, file)]
        elif isinstance(each, click.Argument) and each.required:
            said.append(example(each, file))
    return [*said, "--login", "ana", "--passphrase-file", str(file)]


def example(parameter: click.Parameter, file: Path) -> str:
    if isinstance(parameter.type, click.Choice):
        return str(next(iter(parameter.type.choices)))
    return str(file) if isinstance(parameter.type, click.Path) else "1"


def test_there_are_staff_commands_for_each_role() -> None:
    assert {("desk", "open"), ("device", "list"), ("forms", "publish"), ("statistics",)} <= set(STAFF)
    assert len(STAFF) > 30


@pytest.mark.parametrize("path", STAFF, ids=" ".join)
def test_a_staff_command_takes_pin_and_proxy_and_does_nothing_without_a_pin(
    path: tuple[str, ...], tmp_path: Path
) -> None:
    assert {"--pin", "--proxy", "--server"} <= options(STAFF[path])
    file = tmp_path / "file"
    file.write_text("uno dos tres cuatro cinco seis\n")
    refused = CliRunner(env={"CHASKI_PIN": ""}).invoke(main, words(path, file))
    assert (refused.exit_code, "--pin" in refused.output) == (2, True), refused.output


@pytest.mark.parametrize("path", [("desk", "queue"), ("device", "list"), ("statistics",)], ids=" ".join)
@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--pin", "abc"), "trust.bad_pin"),
        (("--pin", PIN, "--server", "http://chaski.example"), "transport.plain_http"),
        (("--pin", PIN, "--server", "http://127.0.0.1:9", "--proxy", "http://127.0.0.1:9"), "transport.plain_http"),
        (("--pin", PIN, "--server", "ftp://chaski.example"), "transport.bad_address"),
        (("--pin", PIN, "--server", "http://127.0.0.1:9"), "transport.unreachable"),
    ],
)
def test_a_wrong_pin_or_address_is_named_and_no_passphrase_is_asked_for(
    path: tuple[str, ...], more: tuple[str, ...], code: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("uno dos tres\n")
    given = ("--passphrase-file", str(file)) if code == "transport.unreachable" else ()
    refused = CliRunner().invoke(main, [*path, "--login", "ana", *given, *more])
    assert (refused.exit_code, code in refused.stderr, "Passphrase" in refused.output) == (1, True, False)


def test_the_pin_and_the_proxy_may_stand_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("uno dos tres\n")
    said = ["device", "list", "--login", "ana", "--passphrase-file", str(file), "--server", "https://chaski.example"]
    refused = CliRunner(env={"CHASKI_PIN": PIN, "CHASKI_PROXY": "http://127.0.0.1:9"}).invoke(main, said)
    assert "no connection to chaski.example through the proxy 127.0.0.1:9" in refused.stderr


def test_a_program_gives_a_token_in_place_of_a_login(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("chaski_token\n")
    said = ["forms", "versions", "--token-file", str(file), "--server", "http://127.0.0.1:9"]
    assert CliRunner(env={"CHASKI_PIN": ""}).invoke(main, said).exit_code == 2
    refused = CliRunner().invoke(main, [*said, "--pin", PIN])
    assert (refused.exit_code, "transport.unreachable" in refused.stderr) == (1, True), refused.output
    assert "--login" in CliRunner().invoke(main, ["forms", "versions", "--pin", PIN]).output
