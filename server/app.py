"""The server as one process: both doors on their own ports, the jobs, one database with one writer. `chaski serve`
calls `serve`; tests call the app factories. It refuses to start where screenings would not be safe."""

from __future__ import annotations

import fcntl
import logging
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask
from waitress import wasyncore

from server import addresses, jobs, keys
from server.api import people, tablets
from server.api.door import Parts, log_to, open_door
from server.config import Config, ConfigError, refuse_insecure, refuse_unfinished
from server.db import Db
from server.flows import aside, routing
from server.listener import Door, why_not
from server.store import documents, queues
from sync import trust
from sync.errors import SyncError
from sync.signed import Document

# How long requests in progress may take to end when the server is asked to stop, in seconds.
_GRACE = 10
# How long a thread may keep the others waiting for the interpreter, in seconds. Python's own 5 ms are more than most
# requests take, and a thread that comes back from the disk or the network would wait for them again and again.
_TURN = 0.002
# How far the machine's clock may be put right in one go without the jobs being planned anew, in milliseconds.
_STEP = 60_000
_log = logging.getLogger("chaski")


def tablets_app(parts: Parts) -> Flask:
    """The tablets' door: no cookies."""
    app = open_door("tablets", parts)
    addresses.believe(app, parts.config.proxies)
    addresses.slow_down_guessing(app)
    tablets.install(app)
    return app


def people_app(parts: Parts) -> Flask:
    """The people's door: no bearer keys but for a person's own programs, at the publishing addresses alone."""
    app = open_door("people", parts)
    addresses.believe(app, parts.config.proxies)
    people.install(app)
    return app


def clock() -> int:
    """The time in milliseconds."""
    return time.time_ns() // 1_000_000


def open_parts(config: Config, now: Callable[[], int] = clock) -> Parts:
    """Open keys and database, once the data folder is found safe. Raises ConfigError otherwise."""
    _refuse_no_server(config)
    try:
        own = keys.load(config.keys)
    except (SyncError, OSError) as wrong:
        raise ConfigError("CHASKI_DATA", f"the server's keys cannot be read: {wrong}") from wrong
    try:
        db = Db(config.database, most_mib=config.database_max_mb)
    except sqlite3.Error as wrong:
        raise ConfigError("CHASKI_DATA", f"the database {config.database} cannot be opened: {wrong}") from wrong
    try:
        refuse_insecure(config, demo=_is_demo(db), own=own.kids)
        return Parts(config, db, own, _rules(db), now, started=now())
    except ConfigError:
        db.close()
        raise


def _refuse_no_server(config: Config) -> None:
    refuse_unfinished(config)
    if not config.database.exists():
        raise ConfigError("CHASKI_DATA", f"{config.data} holds no server; `chaski init` makes one")


def _refuse_taken_ports(config: Config) -> None:
    """Refuse before the data folder is touched: opening the database would bring its tables up to date."""
    for name, host, port in (
        ("CHASKI_TABLETS_PORT", config.tablets_host, config.tablets_port),
        ("CHASKI_PEOPLE_PORT", config.people_host, config.people_port),
    ):
        if why := why_not(host, port):
            raise _no_port(name, host, port, why)


def _no_port(setting: str, host: str, port: int, why: str) -> ConfigError:
    return ConfigError(
        setting, f"{host}:{port} cannot be listened on: {why}. End what listens there, or set another port"
    )


def _is_demo(db: Db) -> bool:
    stored = documents.newest(db.read(), "trust")
    if stored is None:
        raise ConfigError("CHASKI_DATA", "there is no trust document yet; the roots have to sign one")
    return trust.read(Document.parse(stored.body)).demo


def _rules(db: Db) -> tuple[routing.Rule, ...]:
    """The routing rules; each must lead to a queue there is, or intake would fail on somebody's screening."""
    rules = routing.read_rules()
    missing = {rule.queue for rule in rules} - {queue.id for queue in queues.every(db.read())}
    if missing:
        raise ConfigError("CHASKI_DATA", f"queues that routing needs are missing: {', '.join(sorted(missing))}")
    return rules


def _offset() -> int:
    return clock() - time.monotonic_ns() // 1_000_000


def _reschedule(scheduler: BackgroundScheduler) -> None:
    """Do every job now and count its interval from here: what a clock that stood in 2090 planned would never be done,
    and after a leap forward each would look as if it had stopped."""
    _log.warning("clock stepped", extra={"fields": {}})
    for job in scheduler.get_jobs():
        job.reschedule("interval", seconds=job.trigger.interval.total_seconds())
        job.modify(next_run_time=datetime.now(UTC))


class Server:
    """Both doors listening in this process; `run` serves until `stop`."""

    def __init__(self, parts: Parts) -> None:
        """Bind both ports. Raises ConfigError when one is taken."""
        self.parts = parts
        self._channels: dict[int, Any] = {}
        self._stopping = False
        config = parts.config
        self.tablets = self._listen(tablets_app(parts), config.tablets_host, config.tablets_port)
        self.people = self._listen(people_app(parts), config.people_host, config.people_port)

    def _listen(self, app: Flask, host: str, port: int) -> Door:
        config = self.parts.config
        try:
            return Door(
                app, self._channels, host=host, port=port, threads=config.threads, patience=config.request_seconds
            )
        except OSError as wrong:
            raise _no_port(f"CHASKI_{app.name.upper()}_PORT", host, port, wrong.strerror or str(wrong)) from wrong

    def run(self) -> None:
        """Serve in this thread, jobs in another, until `stop`; then finish what was asked and close everything."""
        scheduler = jobs.schedule(self.parts.db, self.parts.config, self.parts.now)
        doors = (self.tablets, self.people)
        try:
            offset = _offset()
            while not self._stopping:
                wasyncore.loop(timeout=1, use_poll=True, map=self._channels, count=1)
                if abs(_offset() - offset) > _STEP:
                    offset = _offset()
                    _reschedule(scheduler)
            for door in doors:
                door.accepting = False
                door.socket.close()
                door.del_channel()
            self._finish(time.monotonic() + _GRACE)
        finally:
            scheduler.shutdown()
            for door in doors:
                door.task_dispatcher.shutdown()
                door.trigger.close()
            self.parts.tasks.close()
            self.parts.db.close()

    def _finish(self, until: float) -> None:
        while time.monotonic() < until and any(
            channel.requests or channel.total_outbufs_len
            for door in (self.tablets, self.people)
            for channel in door.active_channels.values()
        ):
            wasyncore.loop(timeout=0.05, use_poll=True, map=self._channels, count=1)

    def stop(self) -> None:
        """Ask `run` to end; safe from a signal handler and from another thread."""
        self._stopping = True
        self.tablets.pull_trigger()


def serve(config: Config, now: Callable[[], int] = clock) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises ConfigError when it would not be safe."""
    log_to(sys.stderr, config.log_level)
    _refuse_no_server(config)
    _refuse_taken_ports(config)
    with _alone(config):
        aside.tidy(config)
        _serve(config, open_parts(config, now))


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    """Hold the data folder: a second server on it would be a second writer, and each would stall the other."""
    with (config.data / "serving").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as wrong:
            raise ConfigError("CHASKI_DATA", f"another server is serving from {config.data}") from wrong
        yield


def _serve(config: Config, parts: Parts) -> None:
    sys.setswitchinterval(_TURN)
    server = Server(parts)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    _log.info("serving", extra={"fields": {"tablets": config.tablets_port, "people": config.people_port}})
    server.run()
    _log.info("stopped", extra={"fields": {}})
