"""The server's own key pairs, under `<data>/keys`: one that signs, and one per epoch that opens routes. Made by `chaski
init`, loaded once when serving starts. No key that opens a screening ever belongs here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sync.keys.key_files import load_secret, save_secret
from sync.keys.key_pairs import RouteKey, SigningKey

SIGNING_FILE = "server.key"


@dataclass(frozen=True)
class ServerKeys:
    """What the server signs with, and what it opens routes with, by key id."""

    signing: SigningKey
    routes: Mapping[str, RouteKey]

    @property
    def kids(self) -> frozenset[str]:
        """The ids of all of them."""
        return frozenset({self.signing.kid, *self.routes})


def create(folder: Path) -> ServerKeys:
    """Make the signing key and the first route key. Raises SyncError when they are there already."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signing, route = SigningKey.generate(), RouteKey.generate()
    save_secret(folder / SIGNING_FILE, signing)
    save_secret(folder / f"route-{route.kid}.key", route)
    return ServerKeys(signing, {route.kid: route})


def load(folder: Path) -> ServerKeys:
    """Read them all; every epoch's route key that is still there opens the routes of its time."""
    routes = (load_secret(path, RouteKey) for path in sorted(folder.glob("route-*.key")))
    return ServerKeys(load_secret(folder / SIGNING_FILE, SigningKey), {route.kid: route for route in routes})
