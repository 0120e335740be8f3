"""Which packages Chaski needs on this machine, read from what is installed."""

from __future__ import annotations

from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(*requirements: str) -> set[str]:
    """The packages that these requirements name and those that they need in turn, without Chaski itself."""
    reached: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        this = waiting.pop()
        node = (canonicalize_name(this.name), frozenset(this.extras))
        if node in reached:
            continue
        reached.add(node)
        for other in map(Requirement, distribution(this.name).requires or []):
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in this.extras | {""}):
                waiting.append(other)
    return {name for name, _ in reached} - {"chaski"}
