"""The vectors of which form version and which route key a tablet uses: manifests and bundles."""

from typing import Any

from vector_material import (
    AUTHOR,
    DEVICE,
    NOW,
    REGISTRAR,
    REVIEWER,
    ROOTS,
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
    trust_document,
)

from sync import bundle, manifest, trust
from sync.encoding import canonical
from sync.keys import RouteKey, SigningKey
from sync.manifest import Entry, RouteKeyEntry
from sync.signed import Document
from sync.trust import Signer

DAYS_90 = 90 * 86_400_000
NEXT_ROUTE_KEY = RouteKey(fixed("next route")).public


def manifest_cases() -> dict[str, Case]:
    def document(*keys: SigningKey, **changes: Any) -> Document:
        ring = [
            Entry("a1" * 32, devices=(DEVICE.kid,)),
            Entry("b2" * 32, regions=("17",), share_permille=500),
            Entry("c3" * 32),
        ]
        never = [Entry("e5" * 32, regions=()), Entry("e5" * 32, devices=()), Entry("e5" * 32, share_permille=0)]
        forms = {"pe_laboral_adulto": ring, "piloto": [*never, Entry("d4" * 32, regions=("21",))]}
        keys_of_routes = [
            RouteKeyEntry(ROUTE_KEY.public, NOW + DAYS_90),
            RouteKeyEntry(NEXT_ROUTE_KEY, NOW + 2 * DAYS_90),
        ]
        said = {"number": NOW // 1000, "forms": forms, "route_keys": keys_of_routes, "issued": NOW}
        return signed(manifest.make(**{**said, **changes}), manifest.TYP, *keys)

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
        "no_route_key": accept("document.malformed", "A route key there must be.", document(SERVER, route_keys=[])),
    }


def bundle_cases() -> dict[str, Case]:
    demo = trust_document(*ROOTS[:2], demo=True)

    def accept(
        expect: str, about: str, content: bytes, *keys: SigningKey, under: Document = TRUST, sha: str = ""
    ) -> Case:
        made = signed(content, bundle.TYP, *keys)
        given = {"trust": text(under), "document": text(made), "sha": sha or made.sha256}
        return case("bundle", expect, about, given)

    field, training = (canonical({"channel": channel, "form_id": "piloto"}) for channel in ("field", "training"))
    return {
        "ok": accept("ok", "An author and a reviewer.", field, AUTHOR, REVIEWER),
        "one_person": accept("bundle.one_person", "The author reviewed it herself.", field, AUTHOR),
        "no_review": accept(
            "signed.too_few",
            "Nobody who may review signed.",
            field,
            AUTHOR,
            under=trust_document(*ROOTS[:2], reviewers=[Signer(REVIEWER.public, "p-revisor")]),
        ),
        "version_before_signatures": accept(
            "bundle.wrong_version", "Another version, and signed by a stranger.", field, STRANGER, sha="00" * 32
        ),
        "persons_before_channel": accept(
            "bundle.one_person", "One person, under a demo, for the field.", field, AUTHOR, under=demo
        ),
        "wrong_version": accept(
            "bundle.wrong_version", "Not what the manifest names.", field, AUTHOR, REVIEWER, sha="00" * 32
        ),
        "demo_training": accept("ok", "A demo signs for training.", training, AUTHOR, REVIEWER, under=demo),
        "demo_field": accept(
            "bundle.demo_trust", "A demo never signs for the field.", field, AUTHOR, REVIEWER, under=demo
        ),
    }
