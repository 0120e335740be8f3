"""The thread that answers sync requests: all that are ready in one transaction, without Flask.

One commit costs the same for one request or many, and much of what a request needs to know is the same for all. The
thread leaves whatever is unusual to the Flask app, which answers each request alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from server.api.coded_bytes import find_delta
from server.api.flask_app import AnsweredRequest, Services, record_answered
from server.api.sync_queue import SyncQueue, WaitingSync
from server.flows.desks.routing import Rulebook
from server.flows.intake import sync_group
from server.flows.intake.storage_budget import MIB, StorageBudget
from server.flows.intake.sync_group import GroupAnswer
from sync.exchange.messages import PATH, Message

T = TypeVar("T")
_log = logging.getLogger("chaski")
# How long a transaction may wait until as many requests are ready as the one before it took, in seconds. Tablets that
# were answered together come back together: without the wait, the first of them would have a commit for itself.
GATHER_SECONDS = 0.001
# How often answers are handed over to the event loop until it takes them, and the pause between (seconds).
_TRIES, _PAUSE_SECONDS = 3, 0.1


class SyncThread:
    """Answers sync requests in one thread of its own, from `start` to `close`."""

    def __init__(self, services: Services) -> None:
        config = services.config
        self._services = services
        self._rulebook = Rulebook(services.rules, config.deadline_hours)
        self._budget = StorageBudget(config.tablet_max_mb * MIB)
        self._ready = SyncQueue()
        self._expected = 1
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="syncs", daemon=True)

    def start(self) -> None:
        """Begin to answer. From now on the server is healthy only while the thread lives."""
        self._thread.start()
        self._services.vital.append(self._thread)

    def close(self) -> None:
        """End the thread, after the requests that wait."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
            self._services.vital.remove(self._thread)

    def put(self, message: Message, loop: asyncio.AbstractEventLoop) -> WaitingSync:
        """Let a request wait for its answer, which comes in this event loop; None: it has to be answered alone."""
        waiting = WaitingSync(message, time.perf_counter(), loop, loop.create_future())
        with self._changed:
            self._ready.put(waiting)
            if len(self._ready) in (1, self._expected):
                self._changed.notify()
        return waiting

    def forget(self, waiting: WaitingSync) -> None:
        """Do not answer a request, and cancel its answer; unless it is answered now, or was."""
        with self._changed:
            was_waiting = self._ready.forget(waiting)
        if was_waiting:
            waiting.answered.cancel()

    def _run(self) -> None:
        # Nothing that fails may end the thread: no tablet would be answered any more.
        while not (self._closing and not self._ready):
            _attempt("group lost", self._answer_next)

    def _answer_next(self) -> None:
        if group := self._take_group():
            answers = _attempt("group failed", partial(self._answer, group)) or [None] * len(group)
            # The answers leave first: what is logged and counted costs time that no tablet has to wait.
            _attempt("answers not delivered", partial(_hand_over, group, answers))
            _attempt("requests not logged", partial(self._record, group, answers))

    def _answer(self, group: Sequence[WaitingSync]) -> list[GroupAnswer | None]:
        return sync_group.answer_group(
            self._services.db,
            [waiting.message for waiting in group],
            keys=self._services.keys,
            rulebook=self._rulebook,
            now=self._services.now(),
            budget=self._budget,
            find_delta=find_delta,
        )

    def _take_group(self) -> Sequence[WaitingSync]:
        """Wait for requests, and return those that are ready; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._closing)
            self._changed.wait_for(lambda: len(self._ready) >= self._expected or self._closing, GATHER_SECONDS)
            group = self._ready.take_group()
            self._expected = max(len(group), 1)
            return group

    def _record(self, group: Sequence[WaitingSync], answers: Sequence[GroupAnswer | None]) -> None:
        ended, group_id = time.perf_counter(), secrets.token_hex(5)
        for place, (waiting, answer) in enumerate(zip(group, answers, strict=True)):
            if answer is not None:
                seconds, outcomes = ended - waiting.began, Counter(item.outcome for item in answer.items)
                request_id = f"{group_id}{place:02x}"
                answered = AnsweredRequest("tablets", "POST", PATH, 200, seconds, request_id, outcomes)
                record_answered(answered, self._services.metrics)


def _attempt(event: str, work: Callable[[], T]) -> T | None:
    """Return what `work` returns. If it fails, log that as `event`, if there is memory for a line, and return None."""
    try:
        return work()
    except BaseException:  # noqa: BLE001 (the thread must go on)
        with contextlib.suppress(BaseException):
            _log.exception(event)
        return None


def _hand_over(group: Sequence[WaitingSync], answers: Sequence[GroupAnswer | None]) -> None:
    """Give the answers to the event loop. They are stored already, so a fault is worth another try."""
    for left in reversed(range(_TRIES)):
        try:
            group[0].loop.call_soon_threadsafe(_deliver, group, answers)
        except RuntimeError:  # The server was stopped, and waits for no answer any more.
            return
        except Exception:
            if not left:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _deliver(group: Sequence[WaitingSync], answers: Sequence[GroupAnswer | None]) -> None:
    for waiting, answer in zip(group, answers, strict=True):
        if not waiting.answered.done():
            waiting.answered.set_result(answer.message if answer else None)
