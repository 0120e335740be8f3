"""The bench measures every figure that was promised, and the sizes among them hold on every machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.run import QUICK_FORMS
from server import jobs
from test_flow_sabotage import SABOTAGE

TIMED = {"load", "seal", "verify", "open", "open_first"}
INTAKE = {
    f"ingest.{size}.{figure}"
    for size in ("single", "batch")
    for figure in ("rate", "times", "p50", "p99", "cpu", "load")
}
SIZES = {"nothing_new.requests": 1, "nothing_new.bytes": 1000, "push.requests": 1, "push.bytes": 32_000}
MEASURED = {
    "storm.lost": 0,
    "open": 60,
    "memory": 200,
    "queue.page": 20,
    "ingest.single.p99": 50,
    "ingest.batch.cpu": 0.7,
    "check": 300,
    "impact": 30,
    **{f"compile.{form}": 200 for form in QUICK_FORMS},
    **{f"agreement.{form}.web_forms": 0 for form in QUICK_FORMS},
}
IN_JAVA = {f"agreement.{form}.javarosa": 0 for form in QUICK_FORMS}
SCORED = {f"score.{form}" for form in QUICK_FORMS}
MEASURED |= {"growth.intake": 1.2, **{f"growth.{job.name}.held": 20 for job in jobs.JOBS}}
# As parts of what bare SQLite does in the same run: a fifth of it, and fifteen hundredths.
MEASURED |= {"ingest.single.times": 1 / 0.20, "ingest.batch.times": 1 / 0.15}


def test_the_bench_measures_every_figure_and_a_sync_is_as_small_as_promised() -> None:
    command = [sys.executable, "-m", "bench.run", "--quick", "--json", "--scale", "300"]
    quick = {"PYTHONPATH": str(SABOTAGE), "QUICK_PASSPHRASES": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent, env={**os.environ, **quick}
    )
    assert done.returncode in (0, 1), done.stderr
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    assert figures.keys() >= TIMED | INTAKE | SIZES.keys() | SCORED | {
        "download",
        "audit.verify",
        "database.check",
        "database.scrub",
    }
    targets = {name: figure["target"] for name, figure in figures.items() if figure["target"] is not None}
    in_java = {name: figures[name]["limit"] / 20 for name in SCORED} | IN_JAVA if shutil.which("javac") else {}
    assert targets == SIZES | MEASURED | in_java
    for name, most in SIZES.items():
        assert 0 < figures[name]["value"] <= most
    assert done.returncode == any(figure["verdict"] == "missed" for figure in figures.values())
