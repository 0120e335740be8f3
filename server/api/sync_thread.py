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
from collections.abc import Sequence

from server.api.coded_bytes import find_delta
from server.api.flask_app import AnsweredRequest, Services, record_answered
from server.api.sync_queue import SyncQueue, WaitingSync
from server.flows.desks.routing import Rulebook
from server.flows.intake import sync_group
from server.flows.intake.storage_budget import MIB, StorageBudget
from server.flows.intake.sync_group import GroupAnswer
from sync.exchange.messages import PATH, Message

_log = logging.getLogger("chaski")
# How long a transaction may wait until as many requests are ready as the one before it took, in seconds. Tablets that
# were answered together come back together: without the wait, the first of them would have a commit for itself.
GATHER_SECONDS = 0.001


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
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the requests that wait."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def answer(self, message: Message, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Message | None]:
        """Return the future answer to a request, for this event loop; None: it has to be answered alone."""
        answered: asyncio.Future[Message | None] = loop.create_future()
        with self._changed:
            self._ready.put(WaitingSync(message, time.perf_counter(), loop, answered))
            if len(self._ready) in (1, self._expected):
                self._changed.notify()
        return answered

    def _run(self) -> None:
        while group := self._take_group():
            answers = self._answer(group)
            # The answers leave first: what is logged and counted costs time that no tablet has to wait.
            with contextlib.suppress(RuntimeError):  # The server was stopped, and waits for no answer any more.
                group[0].loop.call_soon_threadsafe(_deliver, group, answers)
            try:
                self._record(group, answers)
            except Exception:  # noqa: BLE001 (the thread must go on; the tablets have their answers)
                _log.exception("requests not logged")

    def _answer(self, group: Sequence[WaitingSync]) -> list[GroupAnswer | None]:
        services = self._services
        try:
            return sync_group.answer_group(
                services.db,
                [waiting.message for waiting in group],
                keys=services.keys,
                rulebook=self._rulebook,
                now=services.now(),
                budget=self._budget,
                find_delta=find_delta,
            )
        except BaseException:  # noqa: BLE001 (the thread must go on; answered alone, each gets its problem)
            _log.exception("group failed")
            return [None] * len(group)

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


def _deliver(group: Sequence[WaitingSync], answers: Sequence[GroupAnswer | None]) -> None:
    for waiting, answer in zip(group, answers, strict=True):
        if not waiting.answered.done():
            waiting.answered.set_result(answer.message if answer else None)
