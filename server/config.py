"""The server's settings: one frozen `Config`, read once from the `CHASKI_*` environment variables.

`load` rejects a wrong, missing or misspelt setting and names it; `refuse_insecure` rejects an insecure one. Other
modules must not read the environment.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import pyrage

from sync.errors import SyncError
from sync.exchange.address import origin_of, require_private
from sync.wire.encoding import natural

PREFIX = "CHASKI_"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# The test suite reads these. The server ignores them, so that they do not count as misspelt settings.
TEST_VARIABLES = frozenset({"CHASKI_REQUIRE_JAVA", "CHASKI_SABOTAGE"})
# The commands of staff and tablets take these as options (server/cli/staff_session.py). A server has no use for them.
CLIENT_VARIABLES = frozenset({"CHASKI_PIN", "CHASKI_PROXY", "CHASKI_KNOWN"})
_FOUNDING_MARK = re.compile(r"[0-9a-f]{32}")
_MOST_SHOWN = 60  # Characters of a wrong value that an error repeats.
_KEY_FILE_LIMIT = 64 * 1024
# Marks of a file with an age secret key (backup key): plain, with a passphrase, with a passphrase and armoured.
_AGE_SECRETS = (b"AGE-SECRET-KEY-", b"age-encryption.org/v1\n-> scrypt", b"YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdC")


class ConfigError(Exception):
    """A wrong setting, or an unfit data folder. The server does not start. `setting`: the name of the setting."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(f"{setting}: {why}")
        self.setting = setting
        self.why = why


def _parse_folder(text: str) -> Path:
    if not text.strip():
        raise ValueError("must name a folder")
    return Path(text).expanduser().absolute()


def _parse_host(text: str) -> str:
    # "localhost" may resolve to two addresses; the server listens on one.
    return str(ipaddress.ip_address("127.0.0.1" if text == "localhost" else text))


def _parse_port(text: str) -> int:
    port = natural(text)
    if not 1 <= port <= 65535:
        raise ValueError("must be a port from 1 to 65535")
    return port


def _parse_positive(text: str) -> int:
    number = natural(text)
    if not 1 <= number <= 1_000_000:
        raise ValueError("must be a whole number from 1 to 1,000,000")
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
        raise ValueError("must be at least 16 printable ASCII letters, without spaces")
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
        raise ValueError(f"must be the public key of a backup key pair, age1...: {error}") from error


def _parse_url(text: str) -> str:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
        raise ValueError("must be an http or https address")
    return text.rstrip("/")


def _parse_origins(text: str) -> tuple[str, ...]:
    """Parse URLs, separated by commas, to the one spelling of their origins (SPEC 5.9)."""
    try:
        urls = [each.strip() for each in text.split(",")] if text.strip() else []
        for url in urls:
            require_private(url)
        return tuple(map(origin_of, urls))
    except SyncError as error:
        raise ValueError(error.detail) from error


@dataclass(frozen=True)
class Setting:
    """A setting's meaning in one sentence, and its parser. For a wrong text it raises ValueError or KeyError."""

    about: str
    read: Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of the server. The environment variable is `CHASKI_` and the field's name in capitals."""

    data: Annotated[Path, Setting("Folder with the database and the server's own keys, mode 0700.", _parse_folder)]
    tablets_host: Annotated[str, Setting("IP address of the tablet API.", _parse_host)] = "127.0.0.1"
    tablets_port: Annotated[int, Setting("Port of the tablet API.", _parse_port)] = 8080
    tablets_url: Annotated[str, Setting("URL of the tablet API, for invitations.", _parse_url)] = ""
    people_host: Annotated[str, Setting("IP address of the staff API.", _parse_host)] = "127.0.0.1"
    people_port: Annotated[int, Setting("Port of the staff API.", _parse_port)] = 8081
    people_url: Annotated[
        tuple[str, ...],
        Setting(
            "URLs of the staff API that people dial, separated by commas; empty: this machine only.", _parse_origins
        ),
    ] = ()
    people_secure_cookie: Annotated[
        bool, Setting("yes: session cookies over HTTPS only; no: allowed only on a loopback address.", _parse_yes_or_no)
    ] = True
    log_level: Annotated[str, Setting("debug, info, warning or error.", _parse_level)] = "info"
    threads: Annotated[int, Setting("Worker threads of each API.", _parse_positive)] = 8
    request_seconds: Annotated[
        int, Setting("Seconds in which a request must arrive; each KiB of it adds one second.", _parse_seconds)
    ] = 60
    proxies: Annotated[
        tuple[Network, ...],
        Setting(
            "Networks of trusted proxies, separated by commas; the server uses their X-Forwarded-For.", _parse_networks
        ),
    ] = ()
    database_max_mb: Annotated[
        int, Setting("Maximum size of the database and its log in MiB; 0: only the disk limits it.", _parse_limit)
    ] = 0
    tablet_max_mb: Annotated[
        int,
        Setting(
            "Maximum size in MiB of the screenings of one tablet; since its revocation, a 32nd of it.", _parse_positive
        ),
    ] = 1024
    hours_immediate: Annotated[
        int, Setting("Deadline in hours for a child or a person in danger.", _parse_positive)
    ] = 1
    hours_prompt: Annotated[int, Setting("Deadline in hours for any other positive screening.", _parse_positive)] = 24
    hours_routine: Annotated[
        int, Setting("Deadline in hours for a labour-rights case or a review.", _parse_positive)
    ] = 72
    lease_minutes: Annotated[
        int, Setting("Minutes until a claim on a referral expires, unless it is accepted.", _parse_positive)
    ] = 30
    enrolment_code_minutes: Annotated[
        int, Setting("Minutes until a one-time enrolment code expires.", _parse_positive)
    ] = 60
    session_minutes: Annotated[int, Setting("Minutes without a request until a session ends.", _parse_positive)] = 60
    silent_days: Annotated[
        int, Setting("Days without a sync until a tablet is put on the work list.", _parse_positive)
    ] = 21
    halt_after: Annotated[
        int,
        Setting(
            "Number of tablets that refuse a form version, or send broken screenings, to halt their ring.",
            _parse_positive,
        ),
    ] = 3
    backup_recipient: Annotated[
        str, Setting("Public key (age1...) for which backups are encrypted.", parse_recipient)
    ] = ""
    backup_folder: Annotated[
        Path | None, Setting("Folder for daily backups, outside the data folder; use another disk.", _parse_folder)
    ] = None
    backup_keep: Annotated[
        int, Setting("Number of daily backups to keep; older ones are removed.", _parse_positive)
    ] = 14

    metrics_token: Annotated[
        str, Setting("Bearer token for /metrics of the staff API; empty: no /metrics.", _parse_token)
    ] = field(default="", repr=False)

    @property
    def database(self) -> Path:
        return self.data / "chaski.db"

    @property
    def database_files(self) -> tuple[Path, ...]:
        """The database, the files that SQLite creates beside it, and the mark of its last commit."""
        ends = ("", "-wal", "-shm", "-journal", ".mark")
        return tuple(self.database.with_name(self.database.name + end) for end in ends)

    @property
    def keys(self) -> Path:
        return self.data / "keys"

    @property
    def unfinished(self) -> Path:
        """A mark file. It exists while `chaski init` founds the server; meanwhile, the data folder is not usable."""
        return self.data / "founding"

    @property
    def tablets_address(self) -> str:
        """The URL of the tablet API in invitations."""
        return self.tablets_url or f"http://{self.tablets_host}:{self.tablets_port}"

    @property
    def deadline_hours(self) -> Mapping[str, int]:
        """Hours from receipt to deadline, by the urgency of a route."""
        return {"immediate": self.hours_immediate, "prompt": self.hours_prompt, "routine": self.hours_routine}


def known_settings() -> dict[str, tuple[str, Setting, Any]]:
    """Return field, setting and default of each environment variable. Default MISSING: the setting is required."""
    hints = get_type_hints(Config, include_extras=True)
    return {
        PREFIX + item.name.upper(): (item.name, hints[item.name].__metadata__[0], item.default)
        for item in fields(Config)
    }


def _shorten(value: str) -> str:
    return value if len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}..."


def load(environ: Mapping[str, str]) -> Config:
    """Read the settings. Raises ConfigError for the first missing, wrong or unknown one."""
    known = known_settings()
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in {*known, *TEST_VARIABLES, *CLIENT_VARIABLES}:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(name, "there is no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    values = {}
    for name, (attribute, setting, default) in known.items():
        if name in environ:
            try:
                values[attribute] = setting.read(environ[name])
            except (ValueError, KeyError) as error:
                raise ConfigError(name, f"{_shorten(environ[name])!r} is not usable: {error}") from error
        elif default is MISSING:
            raise ConfigError(name, f"is missing. {setting.about}")
    config = Config(**values)
    if (config.tablets_host, config.tablets_port) == (config.people_host, config.people_port):
        raise ConfigError("CHASKI_PEOPLE_PORT", "the tablet API and the staff API need different ports")
    if bool(config.backup_recipient) != bool(config.backup_folder):
        raise ConfigError("CHASKI_BACKUP_FOLDER", "must be set together with CHASKI_BACKUP_RECIPIENT, or not at all")
    if config.backup_folder and config.backup_folder.resolve().is_relative_to(config.data.resolve()):
        raise ConfigError("CHASKI_BACKUP_FOLDER", "must be outside the data folder, or backups are lost with it")
    return config


def founding_mark(file: Path) -> str:
    """Return the mark of a founding in progress, 32 hex digits; empty if the file is missing or is anything else."""
    if file.is_symlink() or not file.is_file():
        return ""
    text = file.read_text(encoding="ascii", errors="replace")
    return text if _FOUNDING_MARK.fullmatch(text) else ""


def refuse_unfinished(config: Config) -> None:
    """Raise ConfigError for a data folder whose founding was cut off. The next `chaski init` removes its files.

    Only a file with a mark tells that: another file of that name belongs to a person and stops nothing.
    """
    if founding_mark(config.unfinished):
        raise ConfigError("CHASKI_DATA", f"the founding of {config.data} was cut off; run the same `chaski init` again")


@dataclass(frozen=True)
class KeyFile:
    """A file with a secret key. `kid`: the key's id; "" for a backup key, which has none."""

    path: Path
    kid: str


def refuse_insecure(config: Config, *, demo: bool, own: Collection[str], key_files: Iterable[KeyFile]) -> None:
    """Raise ConfigError if the settings or the data folder would make screenings unsafe.

    `demo`: the trust in force is marked demo. `own`: kids of the server's own keys. `key_files`: the result of
    `find_key_files`, from before the database was opened. No other secret may be under the data folder: with a person's
    key, an attacker on the server could sign for her; with a backup key, the attacker could read deleted data.
    """
    if demo:
        for name, host in (("CHASKI_TABLETS_HOST", config.tablets_host), ("CHASKI_PEOPLE_HOST", config.people_host)):
            if not _is_loopback(host):
                raise ConfigError(
                    name, f"{host} is reachable from other machines, but the trust is a demo: use 127.0.0.1"
                )
    if not config.people_secure_cookie and not _is_loopback(config.people_host):
        raise ConfigError(
            "CHASKI_PEOPLE_SECURE_COOKIE",
            f"`no` would send session cookies unencrypted over the network of {config.people_host}",
        )
    _require_private(config.data, "the data folder")
    for file in key_files:
        _require_private(file.path, f"the key file {file.path.name}")
        if file.kid not in own and not demo:
            raise ConfigError(
                "CHASKI_DATA",
                f"holds a secret key that is not the server's ({file.path}); its owner must keep it elsewhere",
            )


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback


def _require_private(path: Path, what: str) -> None:
    if not path.exists():
        raise ConfigError("CHASKI_DATA", f"{what} {path} is missing; `chaski init` creates it")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError("CHASKI_DATA", f"{what} ({path}) is open to others (mode {mode:04o}); chmod go= {path}")


def find_key_files(config: Config) -> tuple[KeyFile, ...]:
    """Find all key files under the data folder: JSON with `kind` and `kid` (SPEC 3.4), or an age identity.

    Must run before the database is opened, and must not read the database's own files. When a process closes any
    descriptor of a file, POSIX drops all its locks on that file (fcntl(2)), including SQLite's. Another process then
    finds no lock and rebuilds the index of the write-ahead log while this process writes.
    """
    return tuple(_walk_key_files(config))


def _walk_key_files(config: Config) -> Iterator[KeyFile]:
    for where, _, names in os.walk(config.data):
        for path in (Path(where) / name for name in names):
            if path in config.database_files:
                continue
            try:
                info = path.stat()
                if not stat.S_ISREG(info.st_mode) or info.st_size > _KEY_FILE_LIMIT:
                    continue  # A pipe would block the start; a key file is small.
                raw = path.read_bytes()
            except FileNotFoundError:
                continue  # A backup at work removes its scratch file, or a link leads nowhere.
            if any(mark in raw for mark in _AGE_SECRETS):
                yield KeyFile(path, "")
            try:
                content = json.loads(raw)
            except ValueError:
                continue
            if isinstance(content, dict) and {"kind", "kid"} <= content.keys():
                yield KeyFile(path, str(content["kid"]))
