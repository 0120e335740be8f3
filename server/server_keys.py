"""The server's own key pairs in `<data>/keys`: one signing key, and one route key per epoch.

`chaski init` creates them, and the server loads them at its start. A key that opens screenings must never be here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sync.errors import SyncError
from sync.keys.key_files import load_secret, save_secret
from sync.keys.key_pairs import RouteKey, SigningKey

SIGNING_FILE = "server.key"


@dataclass(frozen=True)
class ServerKeys:
    """The server's signing key, and its route keys by key id."""

    signing: SigningKey
    routes: Mapping[str, RouteKey]

    @property
    def kids(self) -> frozenset[str]:
        """The ids of all keys."""
        return frozenset({self.signing.kid, *self.routes})


def create(folder: Path) -> ServerKeys:
    """Create the signing key and the first route key. Raises SyncError if they exist already."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signing, route = SigningKey.generate(), RouteKey.generate()
    save_secret(folder / SIGNING_FILE, signing)
    save_secret(folder / f"route-{route.kid}.key", route)
    return ServerKeys(signing, {route.kid: route})


def load(folder: Path) -> ServerKeys:
    """Load all keys. The route key of an old epoch opens that epoch's routes. Raises SyncError or OSError."""
    return ServerKeys(load_secret(folder / SIGNING_FILE, SigningKey), _load_route_keys(folder))


def find_route_keys(folder: Path) -> dict[str, RouteKey]:
    """Load the route keys for a check of the database; none if one cannot be read: the other checks need none."""
    try:
        return _load_route_keys(folder)
    except (SyncError, OSError):
        return {}


def _load_route_keys(folder: Path) -> dict[str, RouteKey]:
    routes = (load_secret(path, RouteKey) for path in sorted(folder.glob("route-*.key")))
    return {route.kid: route for route in routes}
