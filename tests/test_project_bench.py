"""The bench measures every figure that was promised, and the sizes among them hold on every machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench import chart, peers
from bench.figure import Figure
from bench.run import QUICK_FORMS, measure
from server import jobs
from test_flow_sabotage import SABOTAGE

TIMED = {"load", "seal", "verify", "open", "open_first"}
INTAKE = {
    f"ingest.{kind}.{figure}"
    for kind in ("single", "many", "quiet", "batch")
    for figure in ("rate", "p50", "p99", "cpu", "load")
}
SIZES = {"nothing_new.requests": 1, "nothing_new.bytes": 756, "push.requests": 1, "ingest.batch.differs": 3}
MOST = {
    "push.bytes": 28_000,
    "update.body": 600,
    "update.after.requests": 1,
    "ingest.single.cpu": 1.0,
    "ingest.single.p99": 25,
    "ingest.quiet.cpu": 0.6,
    "ingest.batch.cpu": 0.5,
    "ingest.beside.wait": 1000,
    "storm.lost": 0,
    "storm.last": 60,
    "storm.peak": 400,
    "memory": 150,
    "queue.page": 20,
    "line.first": 15,
    "line.quiet": 2,
    "line.push_1": 3,
    "line.push_10": 9,
    "line.update": 3,
    "open": 60,
    "check": 300,
    "impact": 30,
    "growth.intake": 1.2,
    **{f"growth.{job.name}.held": 20 for job in jobs.JOBS},
    **{f"compile.{form}": 200 for form in QUICK_FORMS},
    **{f"agreement.{form}.web_forms": 0 for form in QUICK_FORMS},
}
LEAST = {"ingest.single.part": 0.22, "ingest.many.part": 0.95, "ingest.quiet.rate": 1800, "ingest.batch.part": 0.15}
PRINTED = {
    "download",
    "first.requests",
    "first.bytes",
    "ingest.bulk.rate",
    "audit.verify",
    "database.check",
    "database.scrub",
    "line.set_up",
}
IN_JAVA = {f"agreement.{form}.javarosa": 0 for form in QUICK_FORMS}
SCORED = {f"score.{form}" for form in QUICK_FORMS}


def test_the_bench_measures_every_figure_and_a_sync_is_as_small_as_promised() -> None:
    command = [sys.executable, "-m", "bench.run", "--quick", "--json", "--scale", "300"]
    quick = {"PYTHONPATH": str(SABOTAGE), "QUICK_PASSPHRASES": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent, env={**os.environ, **quick}
    )
    assert done.returncode in (0, 1), done.stderr
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    assert figures.keys() >= TIMED | INTAKE | PRINTED | SCORED
    targets = {name: figure["target"] for name, figure in figures.items() if figure["target"] is not None}
    in_java = {name: figures[name]["limit"] / 20 for name in SCORED} | IN_JAVA if shutil.which("javac") else {}
    assert targets == SIZES | MOST | in_java
    assert {name: figure["least"] for name, figure in figures.items() if figure["least"] is not None} == LEAST
    for name, most in SIZES.items():
        assert 0 <= figures[name]["value"] <= most
    assert done.returncode == any(figure["verdict"] == "missed" for figure in figures.values())


def test_a_missed_target_is_told_from_a_met_one_in_both_directions() -> None:
    most, least = Figure("a", "a", 2, "ms", target=1), Figure("b", "b", 2, "/s", least=1)
    assert (most.verdict, least.verdict) == ("missed", "met")
    assert (most.used, least.used) == (2, 0.5)
    unmeasured = Figure("c", "c", None, "ms", target=1)
    assert unmeasured.verdict == "missed"
    assert Figure("d", "d", 2, "ms", limit=4).verdict == "printed"


def test_chosen_parts_are_measured_alone(tmp_path: Path) -> None:
    figures = list(measure(True, ["sealing"], lambda words: None))
    assert {figure.name for figure in figures} == {"seal", "verify", "open", "open_first"}
    chart.draw(figures, "a machine", tmp_path / "bench.svg")
    chart.draw_peers(peers.beside(figures), "a machine", tmp_path / "peers.svg")
    drawn = (tmp_path / "peers.svg").read_text(encoding="utf-8")
    assert "2026-11-29" in drawn
    assert "<script" not in drawn


def test_a_comparison_takes_bytes_from_the_run_and_times_from_the_same_hour() -> None:
    run = [Figure("push.bytes", "", 24_000, "B"), Figure("download", "", 9, "B", limit=50_000)]
    compared = {f"{each.about}, {each.unit}": each for each in peers.beside(run)}
    pushed = compared["push of ten interviews, B"]
    assert pushed.is_of_this_run
    assert pushed.cost == 0.5
    rate = compared["encrypted submissions, 8 clients, /s"]
    assert not rate.is_of_this_run
    assert compared["five changed sentences, B"].central == 50_000
    assert rate.cost == rate.central / rate.chaski
