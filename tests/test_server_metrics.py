"""The operator's metrics: queues, storage and jobs, without data about persons, and only with the token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from conftest import World
from server import jobs
from server.app import staff_api, tablet_api
from server.flows.operations import health
from server.flows.operations.scratch_files import database_files
from support.databases import writing_connection
from support.intake import ROUTE, Field, open_field
from sync.durations import HOUR

TOKEN = "a-monitor-s-own-token"


@pytest.fixture
def field(world: World) -> Iterator[Field]:
    opened = open_field(world)
    yield replace(
        opened, services=replace(opened.services, config=replace(opened.services.config, metrics_token=TOKEN))
    )
    opened.services.db.close()


def figures(client: FlaskClient) -> dict[tuple[str, ...], float]:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_metrics_count_received_waiting_and_overdue_screenings(field: Field) -> None:
    tablet = field.tablet()
    for mode in ("field", "training"):
        field.push(tablet, field.envelope(tablet, replace(ROUTE, mode=mode)))
    later = replace(field.services, now=lambda: field.now + 25 * HOUR)
    tablet_api(later).test_client().post("/v1/sync", data=b"x")
    seen = figures(staff_api(later).test_client())
    assert seen[("chaski_referrals_waiting",)] == 1
    assert seen[("chaski_referrals_overdue",)] == 1
    assert seen["chaski_requests_total", "tablets", "POST", "/v1/sync", "400"] == 1
    assert seen["chaski_request_seconds_count", "tablets"] == 1
    assert seen[("chaski_database_bytes",)] > 100_000
    assert seen[("chaski_disk_free_bytes",)] > 0
    assert seen[("chaski_trust_expires_seconds",)] == (field.trust.expires - later.now()) / 1000
    assert seen[("process_resident_memory_bytes",)] > 0


def test_the_metrics_contain_the_last_success_of_each_job(field: Field) -> None:
    services = field.services
    jobs.run_job(jobs.JOBS[0], services.db, services.config, field.now)
    seen = figures(staff_api(services).test_client())
    assert seen["chaski_job_success_timestamp_seconds", jobs.JOBS[0].name] == field.now / 1000


def test_no_metric_names_a_tablet_or_person_or_repeats_text_from_a_client(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    client = staff_api(field.services).test_client()
    client.open(f"/v1/queues/{tablet.key.kid}?q=canary", method="CANARY", headers={"Chaski-Request": "1"})
    text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    for unsaid in (tablet.key.kid, field.referrals(raw)[0].id, "proteccion-17", "canary", "CANARY"):
        assert unsaid not in text


def test_no_metric_reveals_what_kind_of_respondent_was_just_screened(field: Field) -> None:
    tablet, client = field.tablet(), staff_api(field.services).test_client()
    child = replace(ROUTE, queue_kinds=("child",), tier="child", urgency="immediate", age_band="under_14")
    said = []
    for route, to in ((ROUTE, "17-protection"), (child, "17-child")):
        field.push(tablet, field.envelope(tablet, route, to=to))
        said.append({name: n for name, n in figures(client).items() if "request" not in name[0]})
    assert said[0].keys() == said[1].keys()
    assert not [each for each in said[1] if {"child", "protection", "immediate", "prompt", "under_14"} & {*each}]
    assert said[1][("chaski_referrals_waiting",)] == 2


@pytest.mark.parametrize("shown", ["", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ñ"])
def test_a_client_without_the_token_gets_no_metrics(field: Field, shown: str) -> None:
    answer = (
        staff_api(field.services)
        .test_client()
        .get("/metrics", headers={"Authorization": shown.encode().decode("latin-1")})
    )
    assert (answer.status_code, answer.json["code"]) == (401, "metrics.refused")  # type: ignore[index]


def test_metrics_are_missing_without_a_token_setting_and_on_the_tablet_api(field: Field) -> None:
    bare = replace(field.services, config=replace(field.services.config, metrics_token=""))
    for client in (staff_api(bare).test_client(), tablet_api(field.services).test_client()):
        assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_printed_settings_do_not_contain_the_token(field: Field) -> None:
    assert TOKEN not in repr(field.services.config)


def test_an_api_is_healthy_while_it_can_write_and_its_jobs_run(field: Field) -> None:
    for app in (tablet_api, staff_api):
        assert app(field.services).test_client().get("/healthz").json == {"status": "ok"}
    late = replace(field.services, now=lambda: field.now + 48 * HOUR)
    answer = tablet_api(late).test_client().get("/healthz")
    assert (answer.status_code, answer.json["code"]) == (503, "server.jobs_stopped")  # type: ignore[index]
    for job in jobs.JOBS:
        jobs.run_job(job, field.services.db, field.services.config, late.now())
    assert tablet_api(late).test_client().get("/healthz").status_code == 200


def test_a_full_database_is_unhealthy_until_there_is_space_again(field: Field) -> None:
    db, client = field.services.db, tablet_api(field.services).test_client()
    used = sum(file.stat().st_size for file in database_files(field.world.config.database)[:2])
    writing_connection(db).limit(used + 10 * 4096)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json["code"]) == (507, "storage.full")  # type: ignore[index]
    writing_connection(db).limit(2**30)
    assert client.get("/healthz").status_code == 200


def test_frequent_health_checks_write_rarely(field: Field) -> None:
    def asked(later: int) -> int:
        health.check_writable(field.services.db, field.services.config, now=field.now + later)
        return int(field.rows("select value from meta where name = 'pulse'")[0][0]) - field.now

    assert [asked(later) for later in (0, 1_000, 9_999, 10_000, 12_000)] == [0, 0, 0, 10_000, 10_000]
