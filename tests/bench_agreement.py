"""What `make bench` compares with other engines: many drawn interviews, every node of each; none may differ."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from agreement import Interview, Nodes, differences, in_java_rosa, in_web_forms, interviews
from bench_figure import Figure
from bench_forms import Material


def agreement(material: Material, java: Path | None, node: Path, quick: bool) -> list[Figure]:
    """Count the interviews in which JavaRosa (of 1,000) or ODK Web Forms' engine (of 100) sees any node otherwise."""
    drawn = interviews(material.scorer, "bench", 1 if quick else 1000)
    some = drawn[: 1 if quick else 100]
    with tempfile.TemporaryDirectory(prefix="chaski-bench-") as folder:
        xform = Path(folder) / "form.xml"
        xform.write_text(material.form.xform, encoding="utf-8")
        return [
            _figure(material, "javarosa", "JavaRosa", drawn, in_java_rosa(java, xform, drawn) if java else None),
            _figure(material, "web_forms", "ODK Web Forms", some, in_web_forms(node, xform, some)),
        ]


def _figure(
    material: Material, name: str, engine: str, drawn: Sequence[Interview], theirs: Sequence[Nodes] | None
) -> Figure:
    about = f"interviews of {len(drawn):,} that {engine} sees otherwise"
    if theirs is None:
        return Figure(f"agreement.{name}", about, None, "", 0, None, "no JDK")
    pairs = zip(drawn, theirs, strict=True)
    differing = sum(bool(differences(material.scorer, passes, nodes)) for passes, nodes in pairs)
    nodes = sum(map(len, theirs))
    return Figure(f"agreement.{name}", about, differing, "", 0, None, f"{nodes:,} nodes compared")
