"""Background tasks of the staff API: work that takes longer than a request may take.

Two threads run the tasks; a client polls a task by its id. The tasks are in memory only and limited in number. After a
restart, or when a result was dropped, the client must start the task again.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from server.problems import Problem

WORKERS = 2
MOST_WAITING, MOST_PER_PERSON, MOST_KEPT = 16, 2, 64
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BackgroundTask:
    """A task of one person: progress (`done` out of `of`), and its result or its problem at the end.

    `state` is waiting, running, done or failed. `of` is 0 while the total is unknown.
    """

    id: str
    owner: str
    state: str = "waiting"
    done: int = 0
    of: int = 0
    result: Any = None
    problem: Problem | None = None

    @property
    def is_finished(self) -> bool:
        """Return True if the task is done or failed."""
        return self.state in ("done", "failed")


class BackgroundTasks:
    """The tasks of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, BackgroundTask] = {}
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="task")

    def start(self, owner: str, work: Callable[[Progress], Any]) -> BackgroundTask:
        """Queue `work`, which gets a function to report its progress.

        Raises Problem `task.too_many` if too many tasks wait in total, or too many of this person. One person cannot
        take all places.
        """
        task = BackgroundTask(secrets.token_hex(8), owner)
        with self._lock:
            waiting = [each.owner for each in self._tasks.values() if not each.is_finished]
            if len(waiting) >= MOST_WAITING or waiting.count(owner) >= MOST_PER_PERSON:
                raise Problem("task.too_many")
            finished = [each.id for each in self._tasks.values() if each.is_finished]
            for id_ in finished[: max(0, len(self._tasks) - MOST_KEPT + 1)]:
                del self._tasks[id_]
            self._tasks[task.id] = task
        self._pool.submit(self._run, task.id, work)
        return task

    def get(self, id_: str, owner: str) -> BackgroundTask:
        """Return a person's task. Raises Problem `task.unknown` if she has no task with this id."""
        with self._lock:
            task = self._tasks.get(id_)
        if task is None or task.owner != owner:
            raise Problem("task.unknown", id_)
        return task

    def close(self) -> None:
        """Start no more tasks. A sandbox process that runs now ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, id_: str, work: Callable[[Progress], Any]) -> None:
        self._update(id_, state="running")
        try:
            result = work(lambda done, of: self._update(id_, done=done, of=of))
        except Problem as error:
            self._update(id_, state="failed", problem=error)
        except BaseException:
            self._update(id_, state="failed", problem=Problem("server.failed"))
            raise
        else:
            self._update(id_, state="done", result=result)

    def _update(self, id_: str, **changes: Any) -> None:
        with self._lock:
            if id_ in self._tasks:
                self._tasks[id_] = replace(self._tasks[id_], **changes)
