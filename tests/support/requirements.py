"""The packages that Chaski needs on this machine, computed from the installed ones."""

from __future__ import annotations

from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(*requirements: str) -> set[str]:
    """Return the packages that these requirements need, directly or indirectly, without Chaski itself."""
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
