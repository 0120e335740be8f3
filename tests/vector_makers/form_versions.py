"""The vectors of bundles: valid signatures, the version that a tablet uses instead of a refused one, and recordings."""

import hashlib
from typing import Any

from sync.documents import bundle, manifest
from sync.documents.manifest import RouteKeyEntry, VersionEntry
from sync.documents.signed import Document
from sync.documents.trust import Signer
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u, canonical
from vector_makers.fixed_inputs import (
    AUTHOR,
    DEVICE,
    NEW_AUTHOR,
    NOW,
    REVIEWER,
    ROOTS,
    ROUTE_KEY,
    SERVER,
    STRANGER,
    TRUST,
    TRUST_MEMBERS,
    Case,
    case,
    signed,
    text,
    trust_document,
)

_REVIEWERS = [Signer(REVIEWER.public, "p-revisor")]
_NEW_AUTHORS = [Signer(NEW_AUTHOR.public, "p-nueva")]
APART = trust_document(*ROOTS[:2], reviewers=_REVIEWERS)
"""A trust in which no person is both author and reviewer."""
REVOKED = trust_document(*ROOTS[:2], number=2, authors=_NEW_AUTHORS, reviewers=_REVIEWERS)
"""The next trust, without the author."""
DEMO = trust_document(*ROOTS[:2], demo=True)
SOUND = b"OggS, and so on"


def form(version: str, form_id: str = "piloto", **members: Any) -> bytes:
    """The payload of a form version."""
    return canonical({"channel": "field", "form_id": form_id, "version": version, **members})


def heard(**changes: Any) -> dict[str, Any]:
    said = {"milliseconds": 1800, "sha256": hashlib.sha256(SOUND).hexdigest(), "size": len(SOUND), "type": "audio/ogg"}
    return {**said, **changes}


# This function and those below are longer than usual: lists of cases, to read from top to bottom.
def bundle_cases() -> dict[str, Case]:
    def accept(
        expect: str, about: str, content: bytes | Document, *keys: SigningKey, under: Document = APART, sha: str = ""
    ) -> Case:
        made = content if isinstance(content, Document) else signed(content, bundle.TYP, *keys)
        given = {"trust": text(under), "document": text(made), "sha": sha or made.sha256}
        return case("bundle", expect, about, given)

    def sounding(expect: str, about: str, audio: Any) -> Case:
        return accept(expect, about, form("1", audio=audio), AUTHOR, REVIEWER)

    def sounds(*sizes: int) -> dict[str, Any]:
        return {"quz": {f"q{n}": heard(sha256=f"{n:064x}", size=size) for n, size in enumerate(sizes)}}

    good, other = signed(form("1"), bundle.TYP, AUTHOR, REVIEWER), form("2")
    training = form("1", channel="training")
    second_key = trust_document(*ROOTS[:2], reviewers=[Signer(STRANGER.public, "p-autora")])
    no_reviewer = trust_document(*ROOTS[:2], number=2, reviewers=[Signer(STRANGER.public, "p-otra")])
    return {
        "ok": accept("ok", "An author and a reviewer.", good),
        "author_alone": accept("signed.too_few", "One signature: the author's.", form("1"), AUTHOR),
        "reviewer_alone": accept("signed.too_few", "One signature: the reviewer's.", form("1"), REVIEWER),
        "author_twice": accept("signed.too_few", "Two signatures by the author's key.", form("1"), AUTHOR, AUTHOR),
        "one_person": accept("bundle.one_person", "The author reviewed it herself.", form("1"), AUTHOR, under=TRUST),
        "two_keys_one_person": accept(
            "bundle.one_person", "Two keys, and one person behind both.", form("1"), AUTHOR, STRANGER, under=second_key
        ),
        "revoked_author": accept("signed.too_few", "The newest trust names the author no more.", good, under=REVOKED),
        "revoked_reviewer": accept(
            "signed.too_few", "The newest trust names the reviewer no more.", good, under=no_reviewer
        ),
        "signed_anew": accept(
            "ok", "Another author signed the same version since.", good.signed_by(NEW_AUTHOR, bundle.TYP), under=REVOKED
        ),
        "changed_byte": accept(
            "bundle.wrong_version", "Not what the manifest names.", Document(other, good.signatures), sha=good.sha256
        ),
        "changed_byte_and_name": accept(
            "signed.bad_signature",
            "What the manifest names, and not what was signed.",
            Document(other, good.signatures),
        ),
        "channel_changed": accept(
            "signed.bad_signature",
            "Signed for training, and sent for the field.",
            Document(form("1"), signed(training, bundle.TYP, AUTHOR, REVIEWER).signatures),
        ),
        "version_before_signatures": accept(
            "bundle.wrong_version", "Another version, and signed by a stranger.", form("1"), STRANGER, sha="00" * 32
        ),
        "persons_before_channel": accept(
            "bundle.one_person", "One person, under a demo, for the field.", form("1"), AUTHOR, under=DEMO
        ),
        "no_channel": accept("document.malformed", "It says no channel.", b"{}", AUTHOR, REVIEWER),
        "unknown_channel": accept(
            "document.malformed", "A channel of tomorrow.", form("1", channel="pilot"), AUTHOR, REVIEWER
        ),
        "channel_before_demo": accept(
            "document.malformed", "No channel, under a demo.", b"{}", AUTHOR, REVIEWER, under=DEMO
        ),
        "demo_training": accept("ok", "A demo signs for training.", training, AUTHOR, REVIEWER, under=DEMO),
        "demo_field": accept("bundle.demo_trust", "A demo never signs for the field.", good, under=DEMO),
        "audio": sounding("ok", "It is heard in Quechua.", {"quz": {"piloto/edad/label": heard()}}),
        "audio_too_large": sounding(
            "document.malformed", "A byte more than 1 MiB.", {"quz": {"a": heard(size=2**20 + 1)}}
        ),
        "audio_128_mib": sounding("ok", "128 recordings of 1 MiB.", sounds(*[2**20] * 128)),
        "audio_above_128_mib": sounding("document.malformed", "And one of a byte.", sounds(*[2**20] * 128, 1)),
        "audio_other_type": sounding("document.malformed", "No sound.", {"quz": {"a": heard(type="video/ogg")}}),
        "audio_no_length": sounding("document.malformed", "It has no length.", {"quz": {"a": heard(milliseconds=0)}}),
        "audio_two_sizes": sounding(
            "document.malformed", "One recording, two sizes.", {"quz": {"a": heard(), "b": heard(size=1)}}
        ),
        "audio_unknown_language": sounding("document.malformed", "No language.", {"q": {"a": heard()}}),
        "audio_of_nothing": sounding("document.malformed", "A recording of no text.", {"quz": {"": heard()}}),
    }


def recording_cases() -> dict[str, Case]:
    second = heard(sha256="ab" * 32, size=7, type="audio/mpeg")
    texts = {"quz": {"piloto/edad/label": heard(), "piloto/si_no.si/label": second}, "ayr": {"piloto/x/label": second}}

    def listed(about: str, **members: Any) -> Case:
        made = signed(form("1", **members), bundle.TYP, AUTHOR, REVIEWER)
        named = [second, heard()] if members else []
        result = [[each["sha256"], each["size"], each["type"]] for each in sorted(named, key=lambda one: one["sha256"])]
        return case("recordings", "ok", about, {"document": text(made)}, result)

    def check(expect: str, about: str, body: bytes) -> Case:
        given = {"sha256": heard()["sha256"], "size": len(SOUND), "bytes": b64u(body)}
        return case("recording", expect, about, given)

    return {
        "none": listed("A form that is read."),
        "each_once": listed("One recording may belong to several texts.", audio=texts),
        "ok": check("ok", "The bytes that the bundle names.", SOUND),
        "other_bytes": check("bundle.wrong_recording", "As long, and others.", SOUND[::-1]),
        "cut_off": check("bundle.wrong_recording", "The last byte is missing.", SOUND[:-1]),
    }


def version_cases() -> dict[str, Case]:
    def names(number: int, **forms: Document) -> Document:
        entries = {each: [VersionEntry(document.sha256)] for each, document in forms.items()}
        routes = [RouteKeyEntry(ROUTE_KEY.public, NOW)]
        return signed(manifest.make(number=number, forms=entries, route_keys=routes, issued=NOW), manifest.TYP, SERVER)

    def made(version: str, *keys: SigningKey, form_id: str = "piloto") -> Document:
        return signed(form(version, form_id), bundle.TYP, *(keys or (AUTHOR, REVIEWER)))

    def works(
        about: str,
        offered: Document,
        *served: Document,
        held: tuple[Document | None, Document | None] = (None, None),
        under: Document = APART,
        now: int = NOW,
        instead: Document | None = None,
        expect: str = "ok",
        result: Any = None,
    ) -> Case:
        """Return a case of the version that a tablet uses.

        `held` is the manifest and the version of `piloto` on the tablet. The server sends `instead` in place of `two`.
        """
        before, one = held
        given = {
            "trust": text(under),
            "held": text(before) if before else None,
            "manifest": text(offered),
            "dev": DEVICE.kid,
            "region": "1702",
            "in_use": {"piloto": text(one)} if one else {},
            "served": {each.sha256: text(each) for each in served} | ({sha: text(instead)} if instead else {}),
            "now": now,
        }
        return case("versions", expect, about, given, result)

    def so(refused: dict[str, str] | None = None, *, old: bool = False, **in_use: Document) -> dict[str, Any]:
        shas = {each: document.sha256 for each, document in in_use.items()}
        return {"in_use": shas, "refused": refused or {}, "old": old}

    one, two, other = made("1"), made("2"), made("1", form_id="otro")
    half, alone = Document(two.payload, two.signatures[:1]), made("2", AUTHOR)
    by_new, first = made("3", NEW_AUTHOR, REVIEWER), names(1, piloto=one)
    first_in_use, sha = (first, one), two.sha256
    second = names(2, piloto=two)
    late = TRUST_MEMBERS["expires"] + 1
    renewed = one.signed_by(NEW_AUTHOR, bundle.TYP)
    both = names(2, piloto=two, otro=other)
    ringed = manifest.make(
        number=2,
        forms={"piloto": [VersionEntry(sha, regions=("21",)), VersionEntry(one.sha256)]},
        route_keys=[RouteKeyEntry(ROUTE_KEY.public, NOW)],
        issued=NOW,
    )
    return {
        "first": works("A tablet without forms takes one.", first, one, result=so(piloto=one)),
        "newer": works("The newer version takes the place.", second, two, held=first_in_use, result=so(piloto=two)),
        "same": works("What is on board is not asked for.", first, held=first_in_use, result=so(piloto=one)),
        "one_signature": works(
            "The author's alone: it works on with what it had, and says why.",
            second,
            half,
            held=first_in_use,
            result=so({sha: "signed.too_few"}, piloto=one),
        ),
        "one_person": works(
            "One person signed for both, under a trust in which the author may review.",
            second,
            alone,
            held=first_in_use,
            under=TRUST,
            result=so({sha: "bundle.one_person"}, piloto=one),
        ),
        "changed_byte": works(
            "Not the bytes that were signed.",
            second,
            held=first_in_use,
            instead=Document(two.payload.replace(b'"2"', b'"9"'), two.signatures),
            result=so({sha: "bundle.wrong_version"}, piloto=one),
        ),
        "nothing_to_go_on_with": works(
            "Refused, and there is no former version.", second, half, result=so({sha: "signed.too_few"})
        ),
        "one_refused_of_two": works(
            "One refused version costs the other form nothing.",
            both,
            half,
            other,
            held=first_in_use,
            result=so({sha: "signed.too_few"}, piloto=one, otro=other),
        ),
        "not_served": works(
            "The server does not have what it names.",
            second,
            held=first_in_use,
            result=so({sha: "form.unknown"}, piloto=one),
        ),
        "not_named": works(
            "A version that the manifest does not name is not asked for.",
            first,
            two,
            held=first_in_use,
            result=so(piloto=one),
        ),
        "older_manifest": works(
            "A version that an older manifest names.",
            first,
            one,
            held=(second, two),
            expect="document.rolled_back",
        ),
        "rolled_back_by_a_newer_manifest": works(
            "A newer manifest names the former version again.",
            names(3, piloto=one),
            one,
            held=(second, two),
            result=so(piloto=one),
        ),
        "gone": works("The manifest names the form no more.", names(2), held=first_in_use, result=so()),
        "other_ring": works(
            "The newer version is for another region.",
            signed(ringed, manifest.TYP, SERVER),
            two,
            held=first_in_use,
            result=so(piloto=one),
        ),
        "revoked_author": works(
            "The newest trust names the author no more: nobody takes it.",
            second,
            two,
            held=first_in_use,
            under=REVOKED,
            result=so({sha: "signed.too_few"}, piloto=one),
        ),
        "revoked_author_on_board": works(
            "It was on board before: work goes on, marked.",
            first,
            one,
            held=first_in_use,
            under=REVOKED,
            result=so({one.sha256: "signed.too_few"}, piloto=one),
        ),
        "revoked_author_signed_anew": works(
            "Another author signed the same version since: no mark.",
            first,
            renewed,
            held=first_in_use,
            under=REVOKED,
            result=so(piloto=one),
        ),
        "revoked_author_replaced": works(
            "A newer version by another author takes its place.",
            names(2, piloto=by_new),
            by_new,
            held=first_in_use,
            under=REVOKED,
            result=so(piloto=by_new),
        ),
        "expired_on_board": works(
            "An old trust stops nothing, and is marked.",
            second,
            two,
            held=first_in_use,
            now=late,
            result=so(old=True, piloto=two),
        ),
    }
