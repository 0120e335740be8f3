"""The limit of one expensive request per person at the staff API, so that other people do not wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from werkzeug.test import TestResponse

from screening_forms.checks import odk_validate
from screening_forms.errors import FormProblem
from screening_forms.sandbox import client as sandbox
from screening_forms.sandbox.tasks import CompiledDraft
from server.flows.forms import upload_sandbox
from support.forms import SMALL
from support.intake import Field
from support.waiting import PATIENCE
from test_server_authors_api import body, signature
from test_server_staff_api import client, code


@contextmanager
def held(field: Field, patch: pytest.MonkeyPatch, *people: str) -> Iterator[None]:
    """Run a check for each of these people that waits in the sandbox."""
    begun, over = threading.Semaphore(0), threading.Event()

    def reading(*_: Any) -> CompiledDraft:
        begun.release()
        assert over.wait(PATIENCE)
        return CompiledDraft([])

    def check(who: str) -> TestResponse:
        return client(field, who).post("/v1/checks", data=b"x")

    with ThreadPoolExecutor() as pool:
        patch.setattr(sandbox, "run", reading)
        waiting = [pool.submit(check, who) for who in people]
        try:
            for _ in people:
                assert begun.acquire(timeout=PATIENCE)
            patch.setattr(sandbox, "run", lambda *_: CompiledDraft([]))
            yield
        finally:
            over.set()
        assert [each.result().status_code for each in waiting] == [200] * len(people)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waiting time so that the tests are fast."""
    assert upload_sandbox.PATIENCE <= 1
    monkeypatch.setattr(upload_sandbox, "PATIENCE", 0.01)


def test_one_expensive_request_per_person_runs_and_others_run_theirs(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    author, reviewer = client(field, "autora"), client(field, "revisor")
    with held(field, monkeypatch, "autora"):
        assert code(author.post("/v1/checks", data=b"x")) == (503, "server.busy")
        assert reviewer.post("/v1/checks", data=b"x").status_code == 200
        assert author.get("/v1/versions").status_code == 200
    assert author.post("/v1/checks", data=b"x").status_code == 200


def test_a_request_gets_server_busy_at_once_when_all_slots_are_taken(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_sandbox, "MOST_CONCURRENT", 1)
    reviewer = client(field, "revisor")
    with held(field, monkeypatch, "autora"):
        assert code(reviewer.post("/v1/checks", data=b"x")) == (503, "server.busy")
    assert reviewer.post("/v1/checks", data=b"x").status_code == 200


def test_a_slot_is_released_after_any_result(field: Field) -> None:
    author = client(field, "autora")
    assert code(author.post("/v1/drafts", data=b"no table"))[1] == "form.problems"
    assert author.post("/v1/checks", data=b"no table").status_code == 200


def test_odk_validate_runs_in_its_authors_slot(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    author, checked = client(field, "autora"), []

    def validate(*_: object) -> list[FormProblem]:
        checked.append(code(client(field, "autora").post("/v1/checks", data=b"x")))
        return []

    monkeypatch.setattr(odk_validate, "validate", validate)
    made = body(author.post("/v1/drafts", data=SMALL.encode()), 201)
    payload = author.get(f"/v1/versions/{made['id']}/compiled").data
    signed = author.post(f"/v1/versions/{made['id']}/submission", data=signature(field, payload, "autora", "author"))
    assert (signed.status_code, checked) == (200, [(503, "server.busy")])
