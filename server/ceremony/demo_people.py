"""The people of a demo server: the regions of DOMAIN 3 and the invented accounts of `chaski init --demo`. Data only."""

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
class DemoPerson:
    """One demo person: login, name, roles and desk groups."""

    login: str
    name: str
    roles: frozenset[str]
    groups: frozenset[str] = frozenset()


def _coordinator(login: str, name: str, *groups: str) -> DemoPerson:
    return DemoPerson(login, name, frozenset({"coordinator"}), frozenset(groups))


DEMO_PEOPLE = (
    DemoPerson("registro", "Registro de claves", frozenset({"registrar"})),
    DemoPerson("autora", "Autora de formularios", frozenset({"author"})),
    DemoPerson("revisor", "Revisor de formularios", frozenset({"reviewer"})),
    DemoPerson("publicacion", "Publicación y administración", frozenset({"publisher", "administrator"})),
    _coordinator("nacional", "Mesa nacional", "national"),
    *(
        _coordinator(f"proteccion-{code}", f"Protección, {name}", f"{code}-protection")
        for code, name in REGIONS.items()
    ),
    _coordinator("ninez-17", "Niñez, Madre de Dios", "17-child"),
    _coordinator("ninez-21", "Niñez, Puno", "21-child"),
    _coordinator("trabajo-17", "Inspección del trabajo, Madre de Dios", "17-labour"),
    _coordinator("trabajo-21", "Inspección del trabajo, Puno", "21-labour"),
)
