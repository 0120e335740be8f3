"""What a server wants to know of an uploaded form: its problems, its compiled bytes. Only called apart (apart.py).

`options`: `name` of the file, `channel`, and `route_vocabulary`, the codes of each route field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from screening_forms import checks, package
from screening_forms.apart import Progress
from screening_forms.compile import compile_form, examine


def check(content: bytes, options: Mapping[str, Any], _: Progress) -> dict[str, Any]:
    """Name the form, and every problem: `blocking` ones keep it from being compiled for the channel."""
    found, channel = package.read(content, options["name"]), options["channel"]
    vocabulary = options["route_vocabulary"]
    problems = examine(found.workbook, channel=channel, route_vocabulary=vocabulary, shelf=found.shelf)
    stops = set(checks.blocking(problems, channel))
    return {
        "settings": dict(found.workbook.settings),
        "problems": [{**asdict(each), "blocking": each in stops} for each in problems],
    }


def compile_upload(content: bytes, options: Mapping[str, Any], _: Progress) -> dict[str, Any]:
    """Compile for a channel; FormError says what is wrong with the form."""
    found = package.read(content, options["name"])
    form = compile_form(
        found.workbook,
        channel=options["channel"],
        route_vocabulary=options["route_vocabulary"],
        shelf=found.shelf,
    )
    return {"compiled": form.to_bytes()}
