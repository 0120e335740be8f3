"""Draws the bench for docs/benchmarks.md: how much of its target each figure uses up, and peers beside it.

`--chart FILE` and `--peers FILE` call it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import tostring

from pygal import Config, HorizontalBar
from pygal.style import Style

from bench.figure import Figure
from bench.peers import Comparison

MET, MISSED = "#2b6a4d", "#b3261e"
_STYLE = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#1d1d1d",
    foreground_strong="#1d1d1d",
    foreground_subtle="#8a8a8a",
    label_font_size=13,
    major_label_font_size=13,
    value_font_size=13,
    title_font_size=17,
    value_colors=("#1d1d1d",),
)


def draw(figures: Sequence[Figure], machine: str, file: Path) -> None:
    """Write the chart as SVG: one bar for each figure with a target, met up to 100 %; `machine` is the subtitle."""
    bars = [(title, _bar(figure)) for title, figure in titled(figures) if figure.used is not None]
    _draw(f"How much of its target each figure uses up (100 %: just met)\n{machine}", bars, "bench", file)


def draw_peers(compared: Sequence[Comparison], machine: str, file: Path) -> None:
    """Write as SVG what Chaski takes as a part of what ODK Central takes: below 100 % it takes less."""
    days = ", ".join(sorted({each.measured for each in compared if not each.is_of_this_run}))
    about = f"Times and rates: both servers in one hour ({days}). Bytes marked *: {machine}"
    bars = [(_title(each), _bar_of(each)) for each in compared]
    _draw(f"What Chaski takes, ODK Central = 100 % (less is better)\n{about}", bars, "peers", file)


def _draw(title: str, bars: Sequence[tuple[str, dict[str, Any]]], name: str, file: Path) -> None:
    shown = list(reversed(bars))  # The library draws from below.
    longest = max(100.0, *(bar["value"] for _, bar in shown))
    config = Config(
        title=title,
        height=110 + 36 * len(shown),
        width=1100,
        margin_right=60,
        range=(0, longest * 1.1),
        x_labels_major=[100],
        show_y_guides=False,
        show_legend=False,
        print_values=True,
        print_values_position="top",
        truncate_label=-1,
    )
    chart = HorizontalBar(config, style=_STYLE)
    chart.uuid = name  # Else every drawing would differ from the one before.
    chart.x_labels = [label for label, _ in shown]
    chart.add("", [bar for _, bar in shown])
    tree = chart.render_tree()
    # The picture is looked at on pages that run no script.
    for parent in tree.iter():
        for script in parent.findall("script"):
            parent.remove(script)
    file.write_bytes(tostring(tree, encoding="utf-8"))


def titled(figures: Sequence[Figure]) -> Iterator[tuple[str, Figure]]:
    """Name each figure so that it can stand alone: an indented one belongs to the last that is not."""
    above = ""
    for figure in figures:
        if figure.about.startswith(" "):
            yield f"{above}: {figure.about.strip()}", figure
        else:
            above = figure.about
            yield above, figure


def _bar(figure: Figure) -> dict[str, Any]:
    return {
        "value": (figure.used or 0) * 100,
        "formatter": lambda percent: f"{percent:.0f} %" + (" missed" if figure.missed else ""),
        "color": MISSED if figure.missed else MET,
    }


def _title(each: Comparison) -> str:
    of_this_run = " *" if each.is_of_this_run else ""
    return f"{each.about}: {_number(each.central)} and {_number(each.chaski)} {each.unit}{of_this_run}"


def _bar_of(each: Comparison) -> dict[str, Any]:
    return {
        "value": each.cost * 100,
        "formatter": lambda percent: f"{percent:.0f} %",
        "color": MET if each.cost <= 1 else MISSED,
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"
