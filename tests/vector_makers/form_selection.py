"""The vectors of a manifest's choice of form version and route key for a tablet."""

from typing import Any

from sync.documents import manifest, trust
from sync.documents.manifest import RouteKeyEntry, VersionEntry
from sync.documents.signed import Document
from sync.durations import DAY
from sync.keys.key_pairs import RouteKey, RoutePublicKey, SigningKey
from vector_makers.fixed_inputs import (
    AUTHOR,
    DEVICE,
    NOW,
    REGISTRAR,
    REVIEWER,
    ROUTE_KEY,
    SERVER,
    STRANGER,
    TRUST,
    YEAR_2090,
    Case,
    case,
    fixed,
    signed,
    text,
)

DAYS_90 = 90 * DAY
NEXT_ROUTE_KEY = RouteKey(fixed("next route")).public


# The u of RFC 7748 that give zero with any secret, and encodings that are not below the field.
BAD_ROUTE_KEYS = (
    ("zero", "of order 2", "00" * 32),
    ("zero_high_bit", "of order 2, with the bit that X25519 ignores", "00" * 31 + "80"),
    ("one", "of order 4", "01" + "00" * 31),
    ("minus_one", "of order 4, twist", "ec" + "ff" * 30 + "7f"),
    ("order_8", "of order 8", "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    ("order_8b", "of order 8, the other", "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ("field", "of zero, not canonical", "ed" + "ff" * 30 + "7f"),
    ("field_plus_9", "of the base point, not canonical", "f6" + "ff" * 30 + "7f"),
)


def manifest_cases() -> dict[str, Case]:
    def document(*keys: SigningKey, **changes: Any) -> Document:
        ring = [
            VersionEntry("a1" * 32, devices=(DEVICE.kid,)),
            VersionEntry("b2" * 32, regions=("17",), share_permille=500),
            VersionEntry("c3" * 32),
        ]
        never = [
            VersionEntry("e5" * 32, regions=()),
            VersionEntry("e5" * 32, devices=()),
            VersionEntry("e5" * 32, share_permille=0),
        ]
        forms = {"pe_laboral_adulto": ring, "piloto": [*never, VersionEntry("d4" * 32, regions=("21",))]}
        keys_of_routes = [
            RouteKeyEntry(ROUTE_KEY.public, NOW + DAYS_90),
            RouteKeyEntry(NEXT_ROUTE_KEY, NOW + 2 * DAYS_90),
        ]
        said = {"number": NOW // 1000, "forms": forms, "route_keys": keys_of_routes, "issued": NOW}
        return signed(manifest.make(**{**said, **changes}), manifest.TYP, *keys)

    def bad_route_key(raw: str) -> Document:
        return document(SERVER, route_keys=[RouteKeyEntry(RoutePublicKey(bytes.fromhex(raw)), NOW + DAYS_90)])

    def accept(expect: str, about: str, offered: Document, held: Document | None = None, now: int = NOW) -> Case:
        asked = [["pe_laboral_adulto", dev, "1702"] for dev in (DEVICE.kid, AUTHOR.kid, REVIEWER.kid, STRANGER.kid)]
        asked += [["piloto", DEVICE.kid, "17"], ["piloto", DEVICE.kid, "2110"]]
        given: Case = {"trust": text(TRUST), "document": text(offered), "held": text(held) if held else None}
        given |= {"asked": asked, "now": now}
        if expect != "ok":
            return case("manifest", expect, about, given)
        known = manifest.accept(offered, trust.read(TRUST), None)
        chosen = [known.choose(*question) for question in asked]
        return case("manifest", expect, about, given, {"chosen": chosen, "route_key": known.route_key(now).kid})

    good = document(SERVER)
    return {
        "ok": accept("ok", "The first entry that takes the tablet.", good),
        "rolled_back": accept("document.rolled_back", "An older number.", document(SERVER, number=5), good),
        "same_number": accept(
            "document.same_number", "Another under the same number.", document(SERVER, issued=1), good
        ),
        "by_registrar": accept("signed.too_few", "Only a server signs manifests.", document(REGISTRAR)),
        "second_route_key": accept("ok", "The first route key is past.", good, now=NOW + DAYS_90),
        "clock_2090": accept("ok", "All route keys are past: the last one.", good, now=YEAR_2090),
        "clock_1970": accept("ok", "A clock of 1970: the first route key.", good, now=0),
        **{
            f"route_key_{name}": accept("key.malformed", f"A route key {about}.", bad_route_key(raw))
            for name, about, raw in BAD_ROUTE_KEYS
        },
        "no_route_key": accept("document.malformed", "A route key there must be.", document(SERVER, route_keys=[])),
    }
