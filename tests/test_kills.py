"""Power cuts: server and tablet are killed at random moments, and nothing that was promised is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import World

from server.cli.process import ServerProcess, free_ports
from server.cli.story import Stage, enrol, publish
from server.cli.terminal import now_ms
from server.db import Db, rows
from sync.tablet import Tablet

KILLS = 20


@pytest.fixture
def stage(world: World) -> Stage:
    """A running server with the form published and one certified tablet."""
    folder = world.data.parent
    stage = Stage(folder, ServerProcess(folder, *free_ports(2)), now_ms)
    stage.server.start()
    for step in (publish, enrol):
        list(step(stage))
    return stage


def work(stage: Stage, journal: Path) -> subprocess.Popen[str]:
    """Start the tablet's process and wait until it works."""
    worker = Path(__file__).with_name("tablet_worker.py")
    tablet = subprocess.Popen(
        [sys.executable, str(worker), str(stage.tablet), str(journal)], stdout=subprocess.PIPE, text=True
    )
    assert tablet.stdout is not None
    assert tablet.stdout.readline() == "ready\n"
    return tablet


def test_twenty_kills_of_server_and_tablet_lose_no_screening_and_store_none_twice(stage: Stage, tmp_path: Path) -> None:
    chance, journal = random.Random(20261121), tmp_path / "journal"
    tablet = work(stage, journal)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 0.8))
        victim = chance.choice(["server", "tablet", "both"])
        if victim != "tablet":
            stage.server.kill()
        if victim != "server":
            tablet.kill()
            tablet.wait()
            tablet = work(stage, journal)
        if victim != "tablet":
            stage.server.start()
    time.sleep(1)
    tablet.kill()
    tablet.wait()
    with Tablet(stage.tablet) as survivor:
        survivor.sync()
        assert survivor.status().waiting == 0
        kept = survivor.outbox.kept()
    stage.server.kill()

    said = [line.split() for line in journal.read_text(encoding="ascii").splitlines()]
    promised = {words[1] for words in said if words[0] == "receipted"}
    screened = {words[1] for words in said if words[0] == "kept"}
    assert len(promised) > KILLS, "too little happened between the kills to prove anything"
    db = Db(stage.folder / "server" / "chaski.db")
    stored = rows(db.read(), "SELECT jti, chain, seq, outcome FROM envelopes")
    work_list = rows(db.read(), "SELECT kind FROM work_items")
    db.close()
    times = Counter(row["jti"] for row in stored)
    assert promised <= set(times), "a receipt was given for something that is not there"
    assert screened <= set(times), "a screening that the tablet had sealed is gone"
    assert set(times.values()) == {1}, "a screening is stored twice"
    assert {envelope.jti for envelope in kept} <= set(times)
    assert len({(row["chain"], row["seq"]) for row in stored}) == len(stored), "a number was used twice"
    assert {row["outcome"] for row in stored} == {"stored"}
    assert [item for item in work_list if item["kind"] in ("fork", "conflict")] == []
