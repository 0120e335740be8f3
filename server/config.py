"""The server's settings: one frozen value read from `CHASKI_*` once, at the edge. Refuses to build when anything is
wrong, missing, misspelt or insecure, and names the setting. Nothing else reads the environment."""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import pyrage

from sync.wire.encoding import natural

PREFIX = "CHASKI_"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Read by the test suite, never by the server, which must not stumble over them in its environment.
TEST_VARIABLES = frozenset({"CHASKI_REQUIRE_JAVA", "CHASKI_SABOTAGE"})
_KEY_FILE_LIMIT = 64 * 1024
# How a file begins, or a line of it, that holds the secret half of a backup key: in clear, locked, locked and armoured.
_AGE_SECRETS = (b"AGE-SECRET-KEY-", b"age-encryption.org/v1\n-> scrypt", b"YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdC")


class ConfigError(Exception):
    """A setting, or the data folder it points to, with which the server will not start. `setting` names it."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(f"{setting}: {why}")
        self.setting = setting
        self.why = why


def _parse_folder(text: str) -> Path:
    if not text.strip():
        raise ValueError("names no folder")
    return Path(text).expanduser().absolute()


def _parse_host(text: str) -> str:
    # One address, also where the name has two.
    return str(ipaddress.ip_address("127.0.0.1" if text == "localhost" else text))


def _parse_port(text: str) -> int:
    port = natural(text)
    if not 1 <= port <= 65535:
        raise ValueError("must be a port from 1 to 65535")
    return port


def _parse_positive(text: str) -> int:
    number = natural(text)
    if not 1 <= number <= 1_000_000:
        raise ValueError("must be a whole number above 0")
    return number


def _parse_seconds(text: str) -> int:
    seconds = natural(text)
    if not 1 <= seconds <= 3600:
        raise ValueError("must be 1 to 3600 seconds")
    return seconds


def _parse_limit(text: str) -> int:
    return _parse_positive(text) if text != "0" else 0


def _parse_networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",")) if text.strip() else ()


def _parse_token(text: str) -> str:
    if text and (len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text):
        raise ValueError("must be 16 printable letters at least, without blanks")
    return text


def _parse_level(text: str) -> str:
    if text not in ("debug", "info", "warning", "error"):
        raise ValueError("must be debug, info, warning or error")
    return text


def _parse_yes_or_no(text: str) -> bool:
    return {"yes": True, "no": False}[text]


def parse_recipient(text: str) -> str:
    try:
        return str(pyrage.x25519.Recipient.from_str(text)) if text else ""
    except pyrage.RecipientError as error:
        raise ValueError(f"must be the public half of a backup key, age1...: {error}") from error


def _parse_url(text: str) -> str:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
        raise ValueError("must be an http or https address")
    return text.rstrip("/")


@dataclass(frozen=True)
class Setting:
    """What a setting is for, in one sentence, and how its text is read; ValueError or KeyError means it is wrong."""

    about: str
    read: Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of the server; the environment name is the field's in capitals behind `CHASKI_`."""

    data: Annotated[Path, Setting("Folder with the database and the server's own keys, mode 0700.", _parse_folder)]
    tablets_host: Annotated[str, Setting("Address of the tablets' door.", _parse_host)] = "127.0.0.1"
    tablets_port: Annotated[int, Setting("Port of the tablets' door.", _parse_port)] = 8080
    tablets_url: Annotated[str, Setting("Where tablets reach that door, written into invitations.", _parse_url)] = ""
    people_host: Annotated[str, Setting("Address of the people's door.", _parse_host)] = "127.0.0.1"
    people_port: Annotated[int, Setting("Port of the people's door.", _parse_port)] = 8081
    people_secure_cookie: Annotated[
        bool, Setting("Session cookie over HTTPS only: yes, or no for a door on this machine alone.", _parse_yes_or_no)
    ] = True
    log_level: Annotated[str, Setting("debug, info, warning or error.", _parse_level)] = "info"
    threads: Annotated[int, Setting("Worker threads of each door.", _parse_positive)] = 8
    request_seconds: Annotated[
        int, Setting("Seconds a request may take to arrive, and one more for each KiB of it.", _parse_seconds)
    ] = 60
    proxies: Annotated[
        tuple[Network, ...],
        Setting(
            "Addresses of proxies before the doors, whose X-Forwarded-For is believed, with commas.", _parse_networks
        ),
    ] = ()
    database_max_mb: Annotated[
        int, Setting("MiB that the database may grow to; 0: as long as the disk has room.", _parse_limit)
    ] = 0
    hours_immediate: Annotated[int, Setting("Hours to answer for a child or a person in danger.", _parse_positive)] = 1
    hours_prompt: Annotated[int, Setting("Hours to answer any other positive.", _parse_positive)] = 24
    hours_routine: Annotated[int, Setting("Hours to answer a labour-rights case or a review.", _parse_positive)] = 72
    lease_minutes: Annotated[
        int, Setting("Minutes a claimed referral stays claimed unless accepted.", _parse_positive)
    ] = 30
    enrolment_code_minutes: Annotated[int, Setting("Minutes a one-time enrolment code lives.", _parse_positive)] = 60
    session_minutes: Annotated[int, Setting("Minutes a signed-in person may be idle.", _parse_positive)] = 60
    silent_days: Annotated[int, Setting("Days without a sync that put a tablet on the work list.", _parse_positive)] = (
        21
    )
    halt_after: Annotated[
        int,
        Setting(
            "Tablets of a ring that refuse a form version, or send broken screenings, to halt it.", _parse_positive
        ),
    ] = 3
    backup_recipient: Annotated[
        str, Setting("Public half (age1...) of the key that backups are made for.", parse_recipient)
    ] = ""
    backup_folder: Annotated[
        Path | None, Setting("Folder for daily backups, away from the data folder's disk.", _parse_folder)
    ] = None
    backup_keep: Annotated[int, Setting("Daily backups that are kept; older ones are removed.", _parse_positive)] = 14

    metrics_token: Annotated[
        str, Setting("What a monitor shows to read /metrics on the people's door; empty: nobody can.", _parse_token)
    ] = field(default="", repr=False)

    @property
    def database(self) -> Path:
        return self.data / "chaski.db"

    @property
    def database_files(self) -> tuple[Path, ...]:
        """The database and the files that SQLite lays beside it."""
        return tuple(self.database.with_name(self.database.name + end) for end in ("", "-wal", "-shm", "-journal"))

    @property
    def keys(self) -> Path:
        return self.data / "keys"

    @property
    def unfinished(self) -> Path:
        """The mark that stands from before the first key until the founding is done: until then nothing here counts."""
        return self.data / "founding"

    @property
    def tablets_address(self) -> str:
        """Where invitations send tablets."""
        return self.tablets_url or f"http://{self.tablets_host}:{self.tablets_port}"

    @property
    def deadline_hours(self) -> Mapping[str, int]:
        """Hours from receipt to deadline, per urgency of a route."""
        return {"immediate": self.hours_immediate, "prompt": self.hours_prompt, "routine": self.hours_routine}


def known_settings() -> dict[str, tuple[str, Setting, Any]]:
    """Each setting by its environment name: field, setting, and default (MISSING: there is none)."""
    hints = get_type_hints(Config, include_extras=True)
    return {
        PREFIX + item.name.upper(): (item.name, hints[item.name].__metadata__[0], item.default)
        for item in fields(Config)
    }


def load(environ: Mapping[str, str]) -> Config:
    """Read the settings. Raises ConfigError for the first that is missing, wrong or unknown."""
    known = known_settings()
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and name not in TEST_VARIABLES:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(name, "there is no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    values = {}
    for name, (attribute, setting, default) in known.items():
        if name in environ:
            try:
                values[attribute] = setting.read(environ[name])
            except (ValueError, KeyError) as error:
                raise ConfigError(name, f"{environ[name]!r} is not usable: {error}") from error
        elif default is MISSING:
            raise ConfigError(name, f"is missing. {setting.about}")
    config = Config(**values)
    if (config.tablets_host, config.tablets_port) == (config.people_host, config.people_port):
        raise ConfigError("CHASKI_PEOPLE_PORT", "the two doors need two ports")
    if bool(config.backup_recipient) != bool(config.backup_folder):
        raise ConfigError("CHASKI_BACKUP_FOLDER", "and CHASKI_BACKUP_RECIPIENT go together: one alone backs nothing up")
    if config.backup_folder and config.backup_folder.resolve().is_relative_to(config.data.resolve()):
        raise ConfigError("CHASKI_BACKUP_FOLDER", "lies in the data folder, and would be lost with it")
    return config


def refuse_unfinished(config: Config) -> None:
    """Refuse a data folder whose founding was cut off: the next `chaski init` removes what is there."""
    if config.unfinished.exists():
        raise ConfigError(
            "CHASKI_DATA", f"the founding of {config.data} was cut off; the same `chaski init` begins it again"
        )


@dataclass(frozen=True)
class KeyFile:
    """A file that holds a secret key: where it is, and the key's id ("" for a backup key, which has none)."""

    path: Path
    kid: str


def refuse_insecure(config: Config, *, demo: bool, own: Collection[str], key_files: Iterable[KeyFile]) -> None:
    """Refuse to serve where screenings would not be safe. Raises ConfigError.

    `demo`: the trust in force is marked demo. `own`: kids of the server's own keys; any other secret under the data
    folder (root, registrar, author, reviewer, recovery, keyring) would let a taken-over server speak for people, or, a
    backup key, read what it has forgotten. `key_files`: what `find_key_files` found before the database was opened.
    """
    if demo:
        for name, host in (("CHASKI_TABLETS_HOST", config.tablets_host), ("CHASKI_PEOPLE_HOST", config.people_host)):
            if not _is_loopback(host):
                raise ConfigError(name, f"{host} can be reached by others, but the trust is a demo: use 127.0.0.1")
    if not config.people_secure_cookie and not _is_loopback(config.people_host):
        raise ConfigError(
            "CHASKI_PEOPLE_SECURE_COOKIE", f"`no` would show sessions to whoever listens on {config.people_host}"
        )
    _require_private(config.data, "the data folder")
    for file in key_files:
        _require_private(file.path, f"the key file {file.path.name}")
        if file.kid not in own and not demo:
            raise ConfigError(
                "CHASKI_DATA", f"holds a secret that is not the server's ({file.path}); keep it with its person"
            )


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback


def _require_private(path: Path, what: str) -> None:
    if not path.exists():
        raise ConfigError("CHASKI_DATA", f"{what} {path} is missing; `chaski init` makes it")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError("CHASKI_DATA", f"{what} ({path}) is open to others (mode {mode:04o}); chmod go= {path}")


def find_key_files(config: Config) -> tuple[KeyFile, ...]:
    """Find every key file under the data folder: JSON with `kind` and `kid` (SPEC 3.4), or an age identity.

    Must run before the database is opened, and never reads the database's own files: when a process closes any
    descriptor of a file, POSIX drops all its locks on that file (fcntl(2)), SQLite's too. Another process then takes
    itself for the first, and rebuilds the index of the write-ahead log under the writer.
    """
    return tuple(_walk_key_files(config))


def _walk_key_files(config: Config) -> Iterator[KeyFile]:
    for where, _, names in os.walk(config.data):
        for path in (Path(where) / name for name in names):
            if path in config.database_files or path.stat().st_size > _KEY_FILE_LIMIT:
                continue
            raw = path.read_bytes()
            if any(mark in raw for mark in _AGE_SECRETS):
                yield KeyFile(path, "")
            try:
                content = json.loads(raw)
            except ValueError:
                continue
            if isinstance(content, dict) and {"kind", "kid"} <= content.keys():
                yield KeyFile(path, str(content["kid"]))
