"""Tests that people learn long before that the trust expires: on the work list and in the metrics."""

from __future__ import annotations

import pytest

from conftest import FOUNDED
from server import jobs
from server.flows.trust import expiry
from server.store import worklist
from support.intake import Field
from sync.documents.trust import STAFF_GRACE
from sync.durations import DAY, HOUR
from sync.errors import SyncError
from test_server_documents import NOW
from test_server_orphans import install


def watch(field: Field, now: int) -> list[str]:
    """Run the job; return the reasons of the open items."""
    (job,) = (each for each in jobs.JOBS if each.name == "trust")
    jobs.run_job(job, field.services.db, field.services.config, now)
    found = worklist.list_open(field.services.db.read())
    assert {each.kind for each in found} <= {expiry.KIND}
    return [each.reason for each in found]


def test_the_work_list_warns_90_30_and_7_days_before_and_when_it_has_expired(field: Field) -> None:
    expires = field.trust.expires
    for left, reasons in (
        (90 * DAY + 1, []),
        (90 * DAY, ["days.90 trust.1"]),
        (30 * DAY + 1, ["days.90 trust.1"]),
        (30 * DAY, ["days.30 trust.1"]),
        (7 * DAY + 1, ["days.30 trust.1"]),
        (7 * DAY, ["days.7 trust.1"]),
        (1, ["days.7 trust.1"]),
        (0, ["days.0 trust.1"]),
        (-STAFF_GRACE - HOUR, ["days.0 trust.1"]),
    ):
        assert watch(field, expires - left) == reasons, left


def test_a_warning_that_was_checked_comes_back_with_the_next_stage_only(field: Field) -> None:
    expires = field.trust.expires
    watch(field, expires - 80 * DAY)
    with field.services.db.write() as w:
        (item,) = worklist.list_open(w)
        worklist.record_decision(w, item.id, decision="checked", by="tests", at=expires - 79 * DAY)
    assert watch(field, expires - 50 * DAY) == []
    assert watch(field, expires - 29 * DAY) == ["days.30 trust.1"]


def test_a_new_trust_closes_the_warning(field: Field) -> None:
    expires = field.trust.expires
    assert watch(field, expires - DAY) == ["days.7 trust.1"]
    install(field, expires=expires + 365 * DAY)
    assert watch(field, expires - DAY) == []
    assert expiry.time_left(field.services.db.read(), FOUNDED) == expires + 365 * DAY - FOUNDED


def test_a_warning_that_was_checked_comes_back_under_the_next_trust(field: Field) -> None:
    expires = field.trust.expires
    for trust, end in ((1, expires), (2, expires + 365 * DAY)):
        for days in (90, 30, 7, 0):
            assert watch(field, end - days * DAY) == [f"days.{days} trust.{trust}"]
            with field.services.db.write() as w:
                (item,) = worklist.list_open(w)
                worklist.record_decision(w, item.id, decision="checked", by="tests", at=end - days * DAY)
        install(field, expires=end + 365 * DAY)


@pytest.mark.parametrize("expires", [1, NOW // 1000, NOW - STAFF_GRACE - 1], ids=["past", "seconds", "grace is over"])
def test_a_trust_that_staff_would_refuse_at_once_is_not_installed(field: Field, expires: int) -> None:
    with pytest.raises(SyncError, match=r"trust\.expired"):
        install(field, expires=expires)
    assert field.trust.number == 1
    install(field, expires=NOW - STAFF_GRACE)
    assert field.trust.number == 2
