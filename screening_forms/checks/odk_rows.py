"""Where the nodes of a compiled form come from: the rows of the author's workbook, for what ODK Validate says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from screening_forms.sandbox.client import Progress
from screening_forms.scoring.calculates import node
from screening_forms.workbook import package
from screening_forms.workbook.reader import Workbook


def asked(content: bytes, _: Mapping[str, Any], __: Progress) -> dict[str, list[Any]]:
    """Answer for a source package what `rows` does: apart.py's verb "rows"."""
    return {name: [*place] for name, place in rows(package.read(content).workbook).items()}


def rows(workbook: Workbook) -> dict[str, tuple[str, int]]:
    """Return the author's row behind each node of the compiled form, also behind those that the compiler made."""
    found = {node(row.get("code")): row for row in workbook.indicators}
    groups = [row for row in workbook.survey if row.get("type").replace(" ", "_", 1) == "begin_group"]
    taken = {row.get("name") for row in workbook.survey}
    short = (name for number in range(1, len(groups) + len(taken) + 1) if (name := f"g{number}") not in taken)
    for group in groups:
        found["score" if group.get("name") == "score" else next(short)] = group
    for row in workbook.survey:
        found |= {f"u_{row.get('name')}": row, row.get("name"): row}
    return {name: (row.sheet, row.number) for name, row in found.items() if name}
