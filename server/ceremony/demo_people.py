"""Who sits where in a demo: the regions of DOMAIN 3 and the invented people of `chaski init --demo`. Data, no rules."""

from __future__ import annotations

from dataclasses import dataclass

REGIONS = {
    "17": "Madre de Dios",
    "21": "Puno",
    "08": "Cusco",
    "04": "Arequipa",
    "16": "Loreto",
    "15": "Lima",
}


@dataclass(frozen=True)
class Seat:
    """One demo person: her login, what she is called, her roles and desk groups."""

    login: str
    name: str
    roles: frozenset[str]
    groups: frozenset[str] = frozenset()


def _desk(login: str, name: str, *groups: str) -> Seat:
    return Seat(login, name, frozenset({"coordinator"}), frozenset(groups))


SEATS = (
    Seat("registro", "Registro de claves", frozenset({"registrar"})),
    Seat("autora", "Autora de formularios", frozenset({"author"})),
    Seat("revisor", "Revisor de formularios", frozenset({"reviewer"})),
    Seat("publicacion", "Publicación y administración", frozenset({"publisher", "administrator"})),
    _desk("nacional", "Mesa nacional", "national"),
    *(_desk(f"proteccion-{code}", f"Protección, {name}", f"{code}-protection") for code, name in REGIONS.items()),
    _desk("ninez-17", "Niñez, Madre de Dios", "17-child"),
    _desk("ninez-21", "Niñez, Puno", "21-child"),
    _desk("trabajo-17", "Inspección del trabajo, Madre de Dios", "17-labour"),
    _desk("trabajo-21", "Inspección del trabajo, Puno", "21-labour"),
)
