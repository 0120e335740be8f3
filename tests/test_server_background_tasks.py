"""Tests of background tasks: they start at once, a client polls them by id, they are limited, and only their owner sees
them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from server.flows.forms.background_tasks import (
    MOST_KEPT,
    MOST_PER_PERSON,
    MOST_WAITING,
    BackgroundTask,
    BackgroundTasks,
    Progress,
)
from server.problems import Problem
from support.waiting import PATIENCE, wait_until


@pytest.fixture
def tasks() -> Iterator[BackgroundTasks]:
    made = BackgroundTasks()
    yield made
    made.close()


def over(tasks: BackgroundTasks, task: BackgroundTask) -> BackgroundTask:
    """Poll until a task ends; `BackgroundTasks` sends no notification."""
    wait_until(lambda: tasks.get(task.id, task.owner).is_finished, "the task does not end")
    return tasks.get(task.id, task.owner)


def test_a_task_reports_its_progress_and_its_result(tasks: BackgroundTasks) -> None:
    halfway, go_on = threading.Event(), threading.Event()

    def work(progress: Progress) -> str:
        progress(150, 300)
        halfway.set()
        assert go_on.wait(PATIENCE)
        return "12 of 300 move"

    task = tasks.start("ana", work)
    assert halfway.wait(PATIENCE)
    found = tasks.get(task.id, "ana")
    assert (found.state, found.done, found.of, found.result) == ("running", 150, 300, None)
    go_on.set()
    assert (over(tasks, task).state, over(tasks, task).result) == ("done", "12 of 300 move")


def test_a_failed_task_reports_its_problem(tasks: BackgroundTasks) -> None:
    def work(progress: Progress) -> None:
        raise Problem("form.problems", problems=[{"row": 4}])

    failed = over(tasks, tasks.start("ana", work))
    assert failed.state == "failed"
    assert failed.problem is not None
    assert (failed.problem.code, failed.problem.members) == ("form.problems", {"problems": [{"row": 4}]})
    unknown = over(tasks, tasks.start("ana", lambda progress: 1 // 0))
    assert unknown.problem is not None
    assert unknown.problem.code == "server.failed"


def test_a_task_is_visible_to_its_owner_only_and_dropped_after_newer_ones(tasks: BackgroundTasks) -> None:
    first = tasks.start("ana", lambda progress: 1)
    over(tasks, first)
    with pytest.raises(Problem, match=r"task\.unknown"):
        tasks.get(first.id, "bea")
    for _ in range(MOST_KEPT):
        over(tasks, tasks.start("bea", lambda progress: 1))
    with pytest.raises(Problem, match=r"task\.unknown"):
        tasks.get(first.id, "ana")


def test_results_are_kept_until_there_are_too_many_of_them(tasks: BackgroundTasks) -> None:
    made: list[BackgroundTask] = []
    for _ in range(MOST_KEPT):
        made.append(over(tasks, tasks.start("ana", lambda progress: 1)))
    assert [over(tasks, each).result for each in made] == [1] * MOST_KEPT


def test_one_person_cannot_take_all_places(tasks: BackgroundTasks) -> None:
    go_on = threading.Event()
    waiting = [tasks.start("ana", lambda progress: go_on.wait(PATIENCE)) for _ in range(MOST_PER_PERSON)]
    with pytest.raises(Problem, match=r"task\.too_many"):
        tasks.start("ana", lambda progress: 1)
    bea = tasks.start("bea", lambda progress: 1)
    go_on.set()
    for task in (*waiting, bea):
        over(tasks, task)
    assert over(tasks, tasks.start("ana", lambda progress: 1)).result == 1


def test_a_task_above_the_limit_is_refused(tasks: BackgroundTasks) -> None:
    go_on = threading.Event()
    people = [f"person {number // MOST_PER_PERSON}" for number in range(MOST_WAITING)]
    waiting: list[Any] = [tasks.start(each, lambda progress: go_on.wait(PATIENCE)) for each in people]
    with pytest.raises(Problem, match=r"task\.too_many"):
        tasks.start("bea", lambda progress: 1)
    go_on.set()
    for task in waiting:
        over(tasks, task)
    assert over(tasks, tasks.start("bea", lambda progress: 1)).result == 1
