"""The server process: the tablet API and the staff API on two ports, the jobs, and one database with one writer.

`chaski serve` calls `serve`; tests call the app factories. The server must not start where screenings would be unsafe.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import logging
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import uvloop
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask

from server import jobs, server_keys
from server.api import client_address
from server.api.asgi import TabletRequests, WholeRequests
from server.api.flask_app import Services, configure_logging, create_app
from server.api.staff.install import install_staff_api
from server.api.sync_thread import SyncThread
from server.api.tablets import install_tablet_api
from server.config import Config, ConfigError, find_key_files, refuse_insecure, refuse_unfinished
from server.database import snapshot
from server.database.connection import Database, DatabaseBusyError, DatabaseDamagedError
from server.database.sqlite import SqliteDatabase, is_damage
from server.flows.desks import routing
from server.flows.operations import rollback_guard, scratch_files
from server.listener import Listener
from server.ports import why_no_port
from server.server_keys import ServerKeys
from server.store import documents, queues
from sync.documents import trust
from sync.documents.signed import Document
from sync.durations import MINUTE
from sync.errors import SyncError

# After `stop`, the server waits this long for requests in progress (seconds).
_STOP_SECONDS = 10
# How often memory that was freed is given back to the system (seconds): it takes some milliseconds after a rush.
TRIM_SECONDS = 10
# The interpreter's switch interval (seconds). Most requests take less than Python's default of 5 ms, so a thread that
# returns from the disk or the network would wait that long again and again.
_SWITCH_SECONDS = 0.002
_M_ARENA_MAX = -8  # In the malloc.h of glibc.
# A larger step of the machine's clock makes the server reschedule all jobs (milliseconds).
_CLOCK_STEP_MS = MINUTE
_log = logging.getLogger("chaski")


def tablet_api(services: Services) -> Flask:
    """Create the app of the tablet API. It uses no cookies."""
    app = create_app("tablets", services)
    client_address.trust_proxies(app, services.config.proxies)
    client_address.limit_enrolment_failures(app)
    install_tablet_api(app)
    return app


def staff_api(services: Services) -> Flask:
    """Create the app of the staff API. Only the publishing endpoints accept bearer tokens."""
    app = create_app("people", services)
    client_address.trust_proxies(app, services.config.proxies)
    install_staff_api(app)
    return app


def clock() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def open_services(config: Config, now: Callable[[], int] = clock) -> Services:
    """Check the data folder and open keys and database. Raises ConfigError if the folder is not safe.

    A database that is older than what it promised gets a new generation.
    """
    _refuse_no_server(config)
    try:
        own = server_keys.load(config.keys)
    except (SyncError, OSError) as error:
        raise ConfigError("CHASKI_DATA", f"the server's keys cannot be read: {error}") from error
    key_files = find_key_files(config)
    try:
        db = SqliteDatabase(
            config.database,
            max_mib=config.database_max_mb,
            on_commit=rollback_guard.keep_mark(config.database, own, now),
        )
    except snapshot.DAMAGE as error:
        raise ConfigError("CHASKI_DATA", f"the database {config.database} cannot be opened: {error}") from error
    try:
        refuse_insecure(config, demo=_is_demo(db), own=own.kids, key_files=key_files)
        rules = _read_routing_rules(db)
        _renew_if_behind(db, config, own, now())
        return Services(config, db, own, rules, now, started=now())
    except (DatabaseDamagedError, DatabaseBusyError, sqlite3.DatabaseError) as error:
        db.close()
        raise ConfigError(
            "CHASKI_DATA", f"the database {config.database} cannot be served: {_explain(error)}"
        ) from error
    except ConfigError:
        db.close()
        raise


def _renew_if_behind(db: Database, config: Config, own: ServerKeys, now: int) -> None:
    try:
        rollback_guard.renew_if_behind(db, config.database, own, now=now)
    except OSError as error:
        raise ConfigError("CHASKI_DATA", f"the mark of {config.database} cannot be used: {error}") from error


def _explain(error: Exception) -> str:
    if isinstance(error, DatabaseBusyError):
        return "another program writes to it; stop that first"
    if isinstance(error, DatabaseDamagedError):
        return f"its {error} is missing or damaged; `chaski check` says what to do"
    return f"{error}; `chaski check` says what to do" if is_damage(error) else str(error)


def _refuse_no_server(config: Config) -> None:
    refuse_unfinished(config)
    if not config.database.exists():
        raise ConfigError("CHASKI_DATA", f"{config.data} holds no server; `chaski init` makes one")


def _refuse_taken_ports(config: Config) -> None:
    """Raise ConfigError for a taken port. Must run before the database is opened, because opening it migrates it."""
    for name, host, port in (
        ("CHASKI_TABLETS_PORT", config.tablets_host, config.tablets_port),
        ("CHASKI_PEOPLE_PORT", config.people_host, config.people_port),
    ):
        if why := why_no_port(host, port):
            raise _port_error(name, host, port, why)


def _port_error(setting: str, host: str, port: int, why: str) -> ConfigError:
    return ConfigError(
        setting, f"{host}:{port} cannot be listened on: {why}. Stop the program that listens there, or set another port"
    )


def _is_demo(db: Database) -> bool:
    stored = documents.get_newest(db.read(), "trust")
    if stored is None:
        raise ConfigError("CHASKI_DATA", "there is no trust document yet; the roots must sign one")
    return trust.read(Document.parse(stored.body)).demo


def _read_routing_rules(db: Database) -> tuple[routing.RoutingRule, ...]:
    """Read the routing rules. Raises ConfigError if a rule's queue is missing: intake would fail on a screening."""
    rules = routing.read_rules()
    missing = {rule.queue for rule in rules} - {queue.id for queue in queues.list_queues(db.read())}
    if missing:
        raise ConfigError("CHASKI_DATA", f"queues that routing needs are missing: {', '.join(sorted(missing))}")
    return rules


def _clock_offset_ms() -> int:
    return clock() - time.monotonic_ns() // 1_000_000


def reschedule_jobs(scheduler: BackgroundScheduler) -> None:
    """Run every job now and restart its interval, after the clock has stepped.

    A clock that was wrong at 2090 would have scheduled the next run in 2090. After a step forward, every job would look
    as if it had stopped.
    """
    _log.warning("clock stepped", extra={"fields": {}})
    for job in scheduler.get_jobs():
        job.reschedule("interval", seconds=job.trigger.interval.total_seconds())
        job.modify(next_run_time=datetime.now(UTC))


class Server:
    """Both APIs, listening in this process. `run` serves until `stop`."""

    def __init__(self, services: Services) -> None:
        """Bind both ports. Raises ConfigError if one is taken."""
        self.services = services
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping, self._woken = False, asyncio.Event()
        self._offset, self._trimmed = _clock_offset_ms(), time.monotonic()
        config, threads = services.config, services.config.threads
        self._syncs = SyncThread(services)
        self._apps = (
            TabletRequests(tablet_api(services), threads, self._syncs),
            WholeRequests(staff_api(services), threads),
        )
        self.tablet_listener = self._listen("TABLETS", self._apps[0], config.tablets_host, config.tablets_port)
        self.staff_listener = self._listen("PEOPLE", self._apps[1], config.people_host, config.people_port)
        self._listeners = (self.tablet_listener, self.staff_listener)

    def _listen(self, name: str, app: WholeRequests, host: str, port: int) -> Listener:
        try:
            return Listener(app, host=host, port=port, patience=self.services.config.request_seconds)
        except OSError as error:
            raise _port_error(f"CHASKI_{name}_PORT", host, port, error.strerror or str(error)) from error

    def run(self) -> None:
        """Serve in this thread and run jobs in another until `stop`. Then finish open requests and close everything."""
        self._syncs.start()
        scheduler = jobs.start_scheduler(self.services.db, self.services.config, self.services.now)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(scheduler))
        finally:
            self._loop = None
            scheduler.shutdown()
            self._syncs.close()
            for app in self._apps:
                app.close()
            self.services.tasks.close()
            self.services.db.close()

    async def _serve(self, scheduler: BackgroundScheduler) -> None:
        self._loop = asyncio.get_running_loop()
        for listener in self._listeners:
            listener.start()
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), 1)
            try:
                await self._maintain(scheduler)
            except Exception:  # noqa: BLE001 (tried again in a second; the APIs must go on)
                _log.exception("maintenance failed")
        for listener in self._listeners:
            listener.stop_accepting()
        until = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < until and any(listener.works for listener in self._listeners):
            await asyncio.sleep(0.05)
        for listener in self._listeners:
            listener.close()

    async def _maintain(self, scheduler: BackgroundScheduler) -> None:
        """Do what is due once a second."""
        for listener in self._listeners:
            listener.maintain()
        if abs(_clock_offset_ms() - self._offset) > _CLOCK_STEP_MS:
            self._offset = _clock_offset_ms()
            reschedule_jobs(scheduler)
        if time.monotonic() >= self._trimmed + TRIM_SECONDS:
            self._trimmed = time.monotonic()
            # In a thread of its own: it may take 100 ms, in which no request would be answered.
            await asyncio.to_thread(give_memory_back)

    def stop(self) -> None:
        """Make `run` end. Safe to call from a signal handler and from another thread."""
        self._stopping = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # It has ended.
                self._loop.call_soon_threadsafe(self._woken.set)


def limit_arenas() -> None:
    """Let the threads share two arenas of memory, before the first thread starts. With one each, most of what a
    thread once used stays, scattered, with the process. Only glibc can; elsewhere it does nothing."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def give_memory_back() -> None:
    """Give memory that was freed after a rush back to the system. Only glibc can; elsewhere it does nothing."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def serve(config: Config, now: Callable[[], int] = clock) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises ConfigError if serving would not be safe."""
    configure_logging(sys.stderr, config.log_level)
    limit_arenas()
    _refuse_no_server(config)
    _refuse_taken_ports(config)
    with _lock_data_folder(config):
        scratch_files.remove_leftovers(config)
        _run_server(config, open_services(config, now))


@contextmanager
def _lock_data_folder(config: Config) -> Iterator[None]:
    """Lock the data folder, because a second server would be a second writer. Raises ConfigError if it is locked."""
    with (config.data / "serving").open("w") as lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError("CHASKI_DATA", f"another server is serving from {config.data}") from error
        yield


def _run_server(config: Config, services: Services) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    server = Server(services)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    _log.info("serving", extra={"fields": {"tablets": config.tablets_port, "people": config.people_port}})
    server.run()
    _log.info("stopped", extra={"fields": {}})
