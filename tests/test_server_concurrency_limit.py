"""What authors send takes no more than a place each at the people's door: nobody else who works there waits for it."""

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
    """Keep a check of each of these people waiting for the process apart."""
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
    """Nobody has to wait for somebody to wait."""
    assert upload_sandbox.PATIENCE <= 1
    monkeypatch.setattr(upload_sandbox, "PATIENCE", 0.01)


def test_a_person_has_one_thing_read_at_a_time_and_others_have_theirs(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    author, reviewer = client(field, "autora"), client(field, "revisor")
    with held(field, monkeypatch, "autora"):
        assert code(author.post("/v1/checks", data=b"x")) == (503, "server.busy")
        assert reviewer.post("/v1/checks", data=b"x").status_code == 200
        assert author.get("/v1/versions").status_code == 200
    assert author.post("/v1/checks", data=b"x").status_code == 200


def test_when_all_places_are_taken_the_next_is_told_so_at_once(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_sandbox, "MOST_CONCURRENT", 1)
    reviewer = client(field, "revisor")
    with held(field, monkeypatch, "autora"):
        assert code(reviewer.post("/v1/checks", data=b"x")) == (503, "server.busy")
    assert reviewer.post("/v1/checks", data=b"x").status_code == 200


def test_a_place_is_given_back_whatever_becomes_of_the_reading(field: Field) -> None:
    author = client(field, "autora")
    assert code(author.post("/v1/drafts", data=b"no table"))[1] == "form.problems"
    assert author.post("/v1/checks", data=b"no table").status_code == 200


def test_odk_validate_runs_in_its_authors_place(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    author, checked = client(field, "autora"), []

    def validate(*_: object) -> list[FormProblem]:
        checked.append(code(client(field, "autora").post("/v1/checks", data=b"x")))
        return []

    monkeypatch.setattr(odk_validate, "validate", validate)
    made = body(author.post("/v1/drafts", data=SMALL.encode()), 201)
    payload = author.get(f"/v1/versions/{made['id']}/compiled").data
    signed = author.post(f"/v1/versions/{made['id']}/submission", data=signature(field, payload, "autora", "author"))
    assert (signed.status_code, checked) == (200, [(503, "server.busy")])
