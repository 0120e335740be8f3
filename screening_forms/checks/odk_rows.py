"""Finds the rows of the author's workbook behind the nodes of a compiled form.

ODK Validate names nodes, and an author knows rows. It stands apart from odk_validate.py, which must stay small for the
serving process: the sandbox and the author's command find the rows.
"""

from __future__ import annotations

from screening_forms.scoring.calculates import indicator_node
from screening_forms.workbook.reader import Workbook


def node_rows(workbook: Workbook) -> dict[str, tuple[str, int]]:
    """Return node -> sheet and row number in the workbook, also for nodes that the compiler adds."""
    found = {indicator_node(row.get("code")): row for row in workbook.indicators}
    groups = [row for row in workbook.survey if row.get("type").replace(" ", "_", 1) == "begin_group"]
    taken = {row.get("name") for row in workbook.survey}
    short = (name for number in range(1, len(groups) + len(taken) + 1) if (name := f"g{number}") not in taken)
    for group in groups:
        found["score" if group.get("name") == "score" else next(short)] = group
    for row in workbook.survey:
        found |= {f"u_{row.get('name')}": row, row.get("name"): row}
    return {name: (row.sheet, row.number) for name, row in found.items() if name}
