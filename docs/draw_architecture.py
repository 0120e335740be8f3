"""Draws docs/architecture.svg from the imports of the code: `make pictures` runs it.

A picture drawn by hand stops being true in silence; a test draws this one again and compares. It must stay the same,
byte for byte, as long as no room and no import between rooms comes or goes.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise, permutations
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "architecture.svg"
PACKAGES = ("server", "sync", "screening_forms")
WIDTH, MARGIN, GAP = 720, 8, 44  # px, as all that follow
HEAD, ROW, BOX, FOOT = 40, 52, 34, 22
COLUMN = {"server": (MARGIN, 300), "sync": (MARGIN, 300), "screening_forms": (MARGIN + 300 + GAP, 360)}
LETTER = 10.4  # Width of one letter at 19 px in the widest of the usual typefaces.
LEGEND = (
    ("serving", "the process of chaski serve"),
    ("closed", "seals or opens screenings: the"),
    ("", "serving process cannot import it"),
    ("partly", "the same for one module of it:"),
    ("", "{partly}"),
    ("plain", "everything else"),
    ("arrow", "imports (what follows from"),
    ("", "other arrows is left out)"),
)
STYLE = """
text { font: 19px system-ui, "Segoe UI", Roboto, "DejaVu Sans", Arial, sans-serif; fill: #1d1d1d }
.name { font-weight: 700; font-size: 21px }
.small { font-size: 16px; fill: #4a4a4a }
.frame { fill: #f6f5f1; stroke: #b9b5a8; stroke-width: 1.5 }
.room { stroke-width: 1.5 }
.serving { fill: #d9ecdf; stroke: #2b6a4d }
.closed { fill: #fbdcc4; stroke: #b0501a }
.partly { fill: #ffffff; stroke: #b0501a; stroke-width: 2.5; stroke-dasharray: 6 3 }
.plain { fill: #ffffff; stroke: #8a8a8a }
.arrow { fill: none; stroke: #6d6d6d; stroke-width: 1.5; marker-end: url(#tip) }
.between { fill: none; stroke: #1d1d1d; stroke-width: 4; marker-end: url(#end) }
"""
MARKER = (
    '<marker id="{0}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="{2}" markerHeight="{2}" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="{1}"/></marker>'
)

Edges = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Imports:
    """The rooms of the code, the modules that stand beside them, and which room imports which."""

    rooms: frozenset[str]
    beside: frozenset[str]
    edges: Edges


@dataclass(frozen=True)
class Place:
    """Where a room stands: its middle and its width; a width of 0 is a bend of an arrow that passes the row."""

    x: float
    y: float
    width: float


def read_imports() -> Imports:
    """Read every import between rooms; a room is a folder in a package, or a module there that imports a room."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    edges = frozenset(
        (above, below)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if (above := _room(module)) and (below := _room(imported)) and above != below
    )
    folders = {name for name in map(_room, graph.modules) if name and graph.find_children(name)}
    importing = {above for above, below in edges if below in folders and _package(above) == _package(below)}
    rooms = frozenset(folders | importing)
    beside = frozenset(name for name in map(_room, graph.modules) if name) - rooms
    return Imports(rooms, beside, frozenset((a, b) for a, b in edges if a in rooms and b in rooms))


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2]) if "." in module else ""


def _package(room: str) -> str:
    return room.partition(".")[0]


def reachable(edges: Edges, start: str) -> set[str]:
    """Find every room that a room imports, directly or through others."""
    found, waiting = set[str](), [start]
    while waiting:
        room = waiting.pop()
        further = {below for above, below in edges if above == room} - found
        found |= further
        waiting += sorted(further)
    return found


def without_implied(edges: Edges) -> Edges:
    """Leave out each import that also follows from a chain of others."""
    return frozenset(
        (above, below)
        for above, below in edges
        if not any(below in reachable(edges, other) for first, other in edges if first == above and other != below)
    )


def rows_of(rooms: Iterable[str], edges: Edges) -> list[list[str]]:
    """Put each room one row above the highest that it imports; the first row is the lowest. Raises CycleError."""
    below = {room: {b for a, b in edges if a == room} for room in sorted(rooms)}
    height: dict[str, int] = {}
    for room in TopologicalSorter(below).static_order():
        height[room] = max((height[each] + 1 for each in below[room]), default=0)
    return [sorted(room for room in height if height[room] == row) for row in range(max(height.values()) + 1)]


def with_bends(rows: list[list[str]], edges: Edges) -> tuple[list[list[str]], list[list[str]]]:
    """Add a bend to every row that an arrow passes; return the rows, and each arrow as the names along it."""
    rows, arrows = [list(row) for row in rows], []
    height = {room: number for number, row in enumerate(rows) for room in row}
    for above, below in sorted(edges):
        bends = [(number, f"{above}>{below}>{number}") for number in range(height[above] - 1, height[below], -1)]
        for number, name in bends:
            rows[number].append(name)
        arrows.append([above, *(name for _, name in bends), below])
    return rows, arrows


def _width(name: str) -> float:
    return 0 if ">" in name else max(64, len(_label(name)) * LETTER + 22)


def _label(name: str) -> str:
    return name.partition(".")[2]


def _across(row: Sequence[str], left: float, width: float) -> dict[str, float]:
    """Spread a row's names over a width; return the middle of each."""
    space = (width - sum(map(_width, row))) / (len(row) + 1)
    middles, x = {}, left
    for name in row:
        middles[name] = x + space + _width(name) / 2
        x += space + _width(name)
    return middles


def arrange(rows: list[list[str]], arrows: list[list[str]], left: float, width: float) -> dict[str, float]:
    """Order each row so that its arrows run as straight as they can, and return each name's middle."""
    steps = [step for arrow in arrows for step in pairwise(arrow)]
    middles = {name: x for row in rows for name, x in _across(row, left, width).items()}
    for number in [*range(len(rows)), *reversed(range(len(rows)))] * 3:
        orders = [_across(order, left, width) for order in permutations(sorted(rows[number]))]
        middles |= min(orders, key=lambda order: _slant(steps, middles | order))
    return middles


def _slant(steps: Sequence[tuple[str, str]], middles: Mapping[str, float]) -> float:
    return round(sum((middles[a] - middles[b]) ** 2 for a, b in steps), 3)


def draw_package(package: str, imports: Imports, top: float, marks: Mapping[str, str]) -> tuple[list[str], float]:
    """Draw the frame of a package with its rooms and arrows; return the lines and the frame's bottom."""
    left, width = COLUMN[package]
    rooms = [room for room in imports.rooms if _package(room) == package]
    inside = frozenset((a, b) for a, b in imports.edges if _package(a) == _package(b) == package)
    rows, arrows = with_bends(rows_of(rooms, inside), without_implied(inside))
    middles = arrange(rows, arrows, left, width)
    beside = list(_wrapped([_label(name) for name in sorted(imports.beside) if _package(name) == package], width))
    low = top + HEAD + ROW * len(rows)
    places = {
        name: Place(middles[name], low - ROW * number - ROW / 2, _width(name))
        for number, row in enumerate(rows)
        for name in row
    }
    bottom = low + FOOT * len(beside) + 8
    lines = [f'<rect class="frame" x="{left}" y="{top}" width="{width}" height="{bottom - top:g}" rx="10"/>']
    lines.append(f'<text class="name" x="{left + 14}" y="{top + 27}">{package}</text>')
    lines += [_arrow([places[name] for name in arrow]) for arrow in arrows]
    lines += [line for name in sorted(rooms) for line in _box(_label(name), places[name], marks.get(name, "plain"))]
    for number, text in enumerate(beside):
        lines.append(f'<text class="small" x="{left + 14}" y="{low + FOOT * number + 14:g}">{text}</text>')
    return lines, bottom


def _wrapped(words: Sequence[str], width: float) -> Iterator[str]:
    line = "beside:"
    for word in words:
        if len(f"{line} {word}") * 8.4 > width - 24:
            yield line
            line = word
        else:
            line = f"{line} {word}"
    yield line


def _box(label: str, place: Place, mark: str) -> list[str]:
    x, y = place.x - place.width / 2, place.y - BOX / 2
    return [
        f'<rect class="room {mark}" x="{x:.1f}" y="{y:g}" width="{place.width:.1f}" height="{BOX}" rx="6"/>',
        f'<text x="{place.x:.1f}" y="{place.y + 6.5:g}" text-anchor="middle">{escape(label)}</text>',
    ]


def _arrow(places: Sequence[Place]) -> str:
    """Draw one arrow from the bottom of its first place, through its bends, to the top of its last."""
    first, last = places[0], places[-1]
    points = [(first.x, first.y + BOX / 2), *((bend.x, bend.y) for bend in places[1:-1]), (last.x, last.y - BOX / 2)]
    path = f"M{points[0][0]:.1f} {points[0][1]:g}"
    for (x, y), (to_x, to_y) in pairwise(points):
        half = (y + to_y) / 2
        path += f"C{x:.1f} {half:g} {to_x:.1f} {half:g} {to_x:.1f} {to_y:g}"
    return f'<path class="arrow" d="{path}"/>'


def _contract(key: str) -> list[str]:
    """Read one list of modules of the contract `blind-server`."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config["importlinter:contract:blind-server"][key].split()


def marks_of_rooms() -> dict[str, str]:
    """Tell which rooms serve, and which rooms, whole or in part, the serving process must not import."""
    marks = {_room(module): "serving" for module in _contract("source_modules")}
    for module in _contract("forbidden_modules"):
        marks[_room(module)] = "closed" if module == _room(module) else "partly"
    return marks


def _legend(left: float, top: float) -> Iterator[str]:
    partly = ", ".join(_label(module) for module in _contract("forbidden_modules") if module != _room(module))
    y = top
    for kind, text in LEGEND:
        y += 32 if kind else 22
        if kind == "arrow":
            yield f'<path class="arrow" d="M{left + 13:g} {y - 20:g}V{y + 4:g}"/>'
        elif kind:
            yield f'<rect class="room {kind}" x="{left:g}" y="{y - 15:g}" width="26" height="20" rx="4"/>'
        yield f'<text class="small" x="{left + 38:g}" y="{y:g}">{escape(text.format(partly=partly))}</text>'


def _between(imports: Imports, bottoms: Mapping[str, float], tops: Mapping[str, float]) -> Iterator[str]:
    """Draw one thick arrow for each pair of packages of which one imports the other."""
    pairs = {(_package(above), _package(below)) for above, below in imports.edges}
    right = MARGIN + 300
    paths = {
        ("server", "sync"): f"M{MARGIN + 150} {bottoms['server']:g}V{tops['sync'] - 3:g}",
        ("server", "screening_forms"): f"M{right} {tops['server'] + 120:g}H{right + GAP - 3}",
        ("sync", "screening_forms"): f"M{right} {tops['sync'] + 20:g}H{right + GAP - 3}",
    }
    for pair in sorted(pairs):
        if pair[0] != pair[1]:
            yield f'<path class="between" d="{paths[pair]}"/>'


def draw(imports: Imports) -> str:
    """Return the whole picture as SVG."""
    marks = marks_of_rooms()
    tops: dict[str, float] = {"server": MARGIN, "screening_forms": MARGIN}
    bottoms: dict[str, float] = {}
    lines: list[str] = []
    for package in PACKAGES:
        tops.setdefault(package, bottoms.get("server", 0) + GAP)
        drawn, bottoms[package] = draw_package(package, imports, tops[package], marks)
        lines += drawn
    lines += _between(imports, bottoms, tops)
    lines += _legend(COLUMN["screening_forms"][0] + 14, bottoms["screening_forms"] + 12)
    height = max(bottoms.values()) + MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="t">'
    title = '<title id="t">The rooms of Chaski, from the top down, and which imports which</title>'
    tips = MARKER.format("tip", "#6d6d6d", 7) + MARKER.format("end", "#1d1d1d", 4)
    ground = f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", f"<defs>{tips}</defs>", ground, *lines, "</svg>", ""])


if __name__ == "__main__":
    FILE.write_text(draw(read_imports()), encoding="utf-8")
