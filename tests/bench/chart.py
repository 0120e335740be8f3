"""Draws the bench for the README: how much of its target each figure uses up. `--chart FILE` calls it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import tostring

from pygal import Config, HorizontalBar
from pygal.style import Style

from bench.figure import Figure

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
    shown = [(title, figure) for title, figure in _titled(figures) if figure.used is not None]
    shown.reverse()  # The library draws from below.
    longest = max(100.0, *((figure.used or 0) * 100 for _, figure in shown))
    config = Config(
        title=f"How much of its target each figure uses up (100 %: just met)\n{machine}",
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
    chart.uuid = "bench"  # Else every drawing would differ from the one before.
    chart.x_labels = [title for title, _ in shown]
    chart.add("", [_bar(figure) for _, figure in shown])
    tree = chart.render_tree()
    # The picture is looked at on pages that run no script.
    for parent in tree.iter():
        for script in parent.findall("script"):
            parent.remove(script)
    file.write_bytes(tostring(tree, encoding="utf-8"))


def _titled(figures: Sequence[Figure]) -> Iterator[tuple[str, Figure]]:
    """Name each figure so that it can stand alone: an indented one belongs to the last that is not."""
    above = ""
    for figure in figures:
        if figure.about.startswith(" "):
            yield f"{above}: {figure.about.strip()}", figure
        else:
            above = figure.about
            yield above, figure


def _bar(figure: Figure) -> dict[str, object]:
    return {
        "value": (figure.used or 0) * 100,
        "formatter": lambda percent: f"{percent:.0f} %" + (" missed" if figure.missed else ""),
        "color": MISSED if figure.missed else MET,
    }
