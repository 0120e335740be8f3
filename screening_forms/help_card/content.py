"""The content of the neutral help card: telephone numbers of help lines for a region, and the texts around them.

`chaski forms card` prints it; page.py lays it out. The numbers are data (hotlines.csv), each with the day of its
verification call, or a mark that there was none. The folded card must not show why a person got it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polib

from screening_forms.errors import FormError, FormProblem
from screening_forms.languages import OWN_NAMES
from screening_forms.rules.csv_table import TableFormat, is_date
from screening_forms.texts.sign_off import lacking_fields
from screening_forms.ubigeo import place_name
from screening_forms.workbook.resources import LOCALES

HOTLINES = Path(__file__).parent / "hotlines.csv"
REGIONS = ("17", "21", "08", "04", "16", "15")
DRAFT_MARK = "[borrador] "
PENDING = "verificado: pendiente"
OUTSIDE_TEXTS = ("title", "notes")
"""The texts that are visible on the folded card."""

CARD_TEXTS = {
    "title": "Números útiles",
    "notes": "Notas",
    "question": "¿A quién puedo llamar?",
    "option": "opción",
    "region": "Oficina de su región:",
    "free": "Usted decide si llama, y cuándo. Otra persona puede llamar por usted.",
    "safe": "Si no es seguro llevar esta hoja, recuerde un número.",
}

HOTLINE_TABLE = TableFormat(
    "hotlines",
    "la lista de teléfonos",
    "list of hotlines",
    ("name", "number", "option", "serves", "regions", "verified_on", "source", "provenance"),
)


@dataclass(frozen=True)
class Hotline:
    """A telephone number. Empty `regions`: the whole country. `verified_on`: ISO date of the verifying call, or ""."""

    name: str
    number: str
    option: str
    serves: str
    regions: tuple[str, ...]
    verified_on: str
    source: str
    provenance: str

    @property
    def verified(self) -> str:
        """The day of the verification call, in the card's words."""
        return f"verificado: {self.verified_on}" if self.verified_on else PENDING


@dataclass(frozen=True)
class Page:
    """The card in one language; `draft` is true if one of its texts is a draft or has no translation."""

    lang: str
    draft: bool
    texts: Mapping[str, str]
    serves: Mapping[str, str]


@dataclass(frozen=True)
class Card:
    """The card of a region: its numbers, and one page of texts for each language, Spanish first."""

    region: str
    region_name: str
    hotlines: tuple[Hotline, ...]
    pages: tuple[Page, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the card as JSON values."""
        return asdict(self)


def make_card(region: str, *, hotlines: str | None = None, locales: Path = LOCALES) -> Card:
    """Make the card of a region; raises FormError on an unknown region or a faulty list of hotlines.

    `hotlines` is the text of a CSV file to use instead of hotlines.csv.
    """
    if region not in REGIONS:
        known = ", ".join(f"{code} {place_name(code)}" for code in REGIONS)
        es = f"no hay tarjeta para la región «{region}»; escriba el código de una de estas: {known}"
        en = f"there is no card for the region '{region}'; write the code of one of these: {known}"
        raise FormError([FormProblem("card", 0, "region", "card.unknown_region", es, en)])
    rows = read_hotlines(HOTLINES.read_text(encoding="utf-8") if hotlines is None else hotlines)
    here = tuple(line for line in rows if not line.regions or region in line.regions)
    return Card(region, place_name(region), here, tuple(_page(lang, here, locales) for lang in OWN_NAMES))


def card_texts(hotlines: Sequence[Hotline]) -> dict[str, str]:
    """Return the Spanish texts of the card by their gettext context."""
    return {
        **{f"card/{name}": text for name, text in CARD_TEXTS.items()},
        **{f"card/{line.name}/serves": line.serves for line in hotlines},
    }


def read_hotlines(text: str) -> tuple[Hotline, ...]:
    """Read a list of hotlines from the text of its CSV table; raises FormError with every problem at once."""
    rows = HOTLINE_TABLE.read_rows("hotlines", text)
    problems = [
        HOTLINE_TABLE.problem(what, "hotlines", n, *place) for n, cells in rows for what, *place in _wrong(cells)
    ]
    if problems:
        raise FormError(problems)
    return tuple(_hotline(**cells) for _, cells in rows)


def _hotline(*, regions: str, **cells: str) -> Hotline:
    return Hotline(regions=tuple(regions.split()), **cells)


def _wrong(cells: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for column in ("name", "number", "serves", "source", "provenance"):
        if not cells[column]:
            yield "empty", column, f"falta el valor de «{column}»", f"'{column}' is empty"
    for region in cells["regions"].split():
        if region not in REGIONS:
            es, en = f"«{region}» no es una de: {', '.join(REGIONS)}", f"'{region}' is not one of: {', '.join(REGIONS)}"
            yield "bad_region", "regions", es, en
    if (day := cells["verified_on"]) and not is_date(day):
        es = f"«{day}» no es una fecha como 2026-11-22; deje la celda vacía mientras nadie haya llamado"
        yield (
            "bad_date",
            "verified_on",
            es,
            f"'{day}' is not a date such as 2026-11-22; leave the cell blank until the number is verified by a call",
        )


def _page(lang: str, hotlines: Sequence[Hotline], locales: Path) -> Page:
    spanish = card_texts(hotlines)
    path = locales / lang / "LC_MESSAGES" / "card.po"
    found = {e.msgctxt: e for e in polib.pofile(str(path)) if not e.obsolete and e.msgstr} if path.exists() else {}
    texts = {context: found[context].msgstr if context in found else text for context, text in spanish.items()}
    reviewed = all(context in found and _is_reviewed(found[context], text, lang) for context, text in spanish.items())
    return Page(
        lang,
        lang != "es" and not reviewed,
        {name: texts[f"card/{name}"] for name in CARD_TEXTS},
        {line.name: texts[f"card/{line.name}/serves"] for line in hotlines},
    )


def _is_reviewed(entry: polib.POEntry, spanish: str, lang: str) -> bool:
    return entry.msgid == spanish and not entry.fuzzy and not lacking_fields(entry.tcomment, lang)
