"""What a server wants to know of a new version of an indicator set or a policy. Only called apart (apart.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from screening_forms.checks.table_versions import TABLE_KINDS, previous_version, read_table_text, version_problems
from screening_forms.impact import table_effect
from screening_forms.sandbox.client import Progress
from screening_forms.workbook.package import pack_package, parse_package
from screening_forms.workbook.resources import BUILT_IN, Resources


def table(content: bytes, options: Mapping[str, Any], _: Progress) -> dict[str, Any]:
    """Read a table (`kind` set or policy, `name`, `filename`), and hold it against what was published (`indicator_sets`
    and `policies`, name -> CSV) until `year`: its text, its problems, the table before it, and what changed since."""
    kind, name = options["kind"], options["name"]
    earlier = Resources(options["indicator_sets"], options["policies"]).with_fallback(BUILT_IN)
    text = read_table_text(content, options["filename"], kind)
    problems = version_problems(kind, name, text, earlier, year=options["year"])
    before = previous_version(kind, name, earlier)
    changes = (
        table_effect.table_changes(kind, before, TABLE_KINDS[kind].tables_in(earlier)[before], name, text)
        if before and not problems
        else []
    )
    return {
        "text": text,
        "problems": [asdict(each) for each in problems],
        "former": before,
        "changes": [each.as_dict() for each in changes],
    }


def effect(content: bytes, options: Mapping[str, Any], progress: Progress) -> list[dict[str, Any]]:
    """What a table (CSV; `kind`, `name`) does to each form in `sources` (name -> source package) that uses its family,
    over its cases and `count` made-up interviews; `route_vocabulary` as for compiling."""
    packages = {form: parse_package(source) for form, source in options["sources"].items()}
    found = table_effect.effect_on_forms(
        options["kind"],
        options["name"],
        content.decode("utf-8-sig"),
        packages,
        route_vocabulary=options["route_vocabulary"],
        count=options["count"],
        progress=progress,
    )
    return [each.as_dict() for each in found]


def renewed(content: bytes, options: Mapping[str, Any], _: Progress) -> dict[str, Any]:
    """The source package in `content` with the table `text` (`kind`, `name`) in its settings, and a new `version`."""
    found = parse_package(content)
    with_it = table_effect.with_table(found, options["kind"], options["name"], options["text"], options["version"])
    return {"source": pack_package(with_it)}
