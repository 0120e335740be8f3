"""Tests of trust: which keys may sign, which document replaces which, and which tablets are enrolled."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.documents import bundle, enrolment, manifest, receipt, registry, trust
from sync.documents.enrolment import Certificate, Invitation
from sync.documents.manifest import RouteKeyEntry, VersionEntry
from sync.documents.registry import Desk, Keyring, sealed_to
from sync.documents.signed import Document
from sync.documents.trust import STAFF_GRACE, Signer
from sync.errors import SyncError
from sync.keys.key_pairs import RouteKey, SealKey, SigningKey

ROOTS = [SigningKey(bytes([number]) * 32) for number in (1, 2, 3)]
REGISTRAR, AUTHOR, REVIEWER, SERVER, DEVICE = (SigningKey(bytes([number]) * 32) for number in range(4, 9))
PIN = trust.pin_of([root.public for root in ROOTS], 2)
MEMBERS = {
    "number": 1,
    "demo": False,
    "roots": [root.public for root in ROOTS],
    "threshold": 2,
    "registrars": [REGISTRAR.public],
    "authors": [Signer(AUTHOR.public, "ana")],
    "reviewers": [Signer(REVIEWER.public, "rita")],
    "servers": [SERVER.public],
    "issued": 1000,
    "expires": 2000,
}


def document(*signers, **changes):
    made = Document(trust.TrustContent(**{**MEMBERS, **changes}).to_payload())
    for key in signers:
        made = made.signed_by(key, trust.TYP)
    return made


TRUST = trust.accept(document(*ROOTS[:2]), None, PIN)


def refused(code, act, *args, **more):
    with pytest.raises(SyncError) as wrong:
        act(*args, **more)
    assert wrong.value.code == code


def test_the_pin_does_not_depend_on_the_order_of_the_roots_but_on_the_threshold():
    keys = [root.public for root in ROOTS]
    assert trust.pin_of(keys[::-1], 2) == PIN == TRUST.pin
    assert trust.pin_of(keys, 1) != PIN


def test_an_expired_trust_is_a_warning_for_tablets_and_for_staff_until_grace_is_over():
    old = trust.accept(document(*ROOTS[:2]), None, PIN)
    assert old.is_expired(3000)
    assert not old.is_expired(1500)
    old.require_current(2000 + STAFF_GRACE)
    refused("trust.expired", old.require_current, 2001 + STAFF_GRACE)


def test_the_same_trust_again_is_accepted():
    assert trust.accept(document(*ROOTS[:2]), TRUST, PIN) == TRUST


def test_root_keys_change_only_with_the_old_and_the_new_roots():
    new = SigningKey(b"n" * 32)
    roots = [ROOTS[0].public, new.public]
    assert trust.accept(document(*ROOTS[:2], new, number=2, roots=roots), TRUST, PIN).number == 2
    refused("signed.too_few", trust.accept, document(*ROOTS[:2], number=2, roots=roots), TRUST, PIN)
    refused("signed.too_few", trust.accept, document(ROOTS[0], new, number=2, roots=roots), TRUST, PIN)


def test_a_threshold_beyond_the_roots_and_a_key_of_two_persons_are_malformed():
    refused("document.malformed", trust.accept, document(*ROOTS, threshold=4), None, PIN)
    twice = [Signer(AUTHOR.public, "ana"), Signer(AUTHOR.public, "otra")]
    refused("document.malformed", trust.accept, document(*ROOTS, authors=twice), None, PIN)


def registry_of(*desks, signer=REGISTRAR, number=1):
    keyrings = [Keyring.of(name, 1, SealKey(name.encode().ljust(32)).public) for name in ("national", "a", "b", "c")]
    made = registry.make(number=number, keyrings=keyrings, desks=desks, revoked=[DEVICE.kid], issued=1)
    return Document(made).signed_by(signer, registry.TYP)


def test_a_screening_goes_to_the_nearest_desk_of_its_kind():
    desks = (Desk("17", "protection", "a"), Desk("1702", "protection", "b"), Desk("17", "child", "c"))
    known = registry.accept(registry_of(*desks), TRUST, None)
    for ubigeo, kind, keyring in (
        ("170204", "protection", "b"),
        ("170102", "protection", "a"),
        ("170102", "review", "a"),
        ("170102", "", "a"),
        ("170102", "child", "c"),
        ("170102", "labour", "national"),
        ("210101", "protection", "national"),
        ("", "child", "national"),
    ):
        assert known.keyring_for(ubigeo, kind).id == keyring
    assert DEVICE.kid in known.revoked


def test_a_child_is_always_sealed_to_the_child_desk():
    assert sealed_to(("child", "protection")) == "child"
    assert sealed_to(("labour",)) == "labour"
    assert sealed_to(("labour", "protection")) == sealed_to(("review",)) == sealed_to(()) == "protection"


def test_a_registry_is_taken_from_registrars_only_and_is_whole():
    refused("signed.too_few", registry.accept, registry_of(signer=SERVER), TRUST, None)
    refused("document.malformed", registry.accept, registry_of(Desk("17", "child", "no_such")), TRUST, None)
    twice = (Desk("17", "child", "a"), Desk("17", "child", "b"))
    refused("document.malformed", registry.accept, registry_of(*twice), TRUST, None)
    held = registry.accept(registry_of(number=5), TRUST, None)
    refused("document.rolled_back", registry.accept, registry_of(number=4), TRUST, held)


def test_a_keyring_public_key_is_known_by_its_hash():
    key, other = SealKey(b"k" * 32).public, SealKey(b"o" * 32).public
    keyring = Keyring.of("17-child", 1, key)
    assert keyring.public(key.raw) == key
    refused("registry.wrong_key", keyring.public, other.raw)
    refused("key.malformed", keyring.public, key.raw[:-1])


@given(st.integers(0, 1000), st.binary(min_size=16, max_size=16))
def test_a_wider_ring_keeps_the_tablets_of_the_narrower_one(permille, seed):
    dev = SigningKey(seed * 2).kid
    narrow, wide = (
        VersionEntry("ab" * 32, share_permille=permille),
        VersionEntry("ab" * 32, share_permille=min(permille + 100, 1000)),
    )
    assert wide.applies_to(dev, "17") or not narrow.applies_to(dev, "17")
    assert VersionEntry("ab" * 32, share_permille=1000).applies_to(dev, "17")
    assert not VersionEntry("ab" * 32, share_permille=0).applies_to(dev, "17")


def test_route_keys_follow_each_other_and_the_last_one_stays():
    first, second = RouteKey(b"1" * 32).public, RouteKey(b"2" * 32).public
    made = manifest.make(number=1, forms={}, route_keys=[RouteKeyEntry(first, 10), RouteKeyEntry(second, 20)], issued=1)
    known = manifest.accept(Document(made).signed_by(SERVER, manifest.TYP), TRUST, None)
    assert [known.route_key(now) for now in (5, 10, 20, 99)] == [first, second, second, second]


def test_a_form_needs_an_author_and_a_reviewer_who_differ():
    made = Document.of({"channel": "field"}, bundle.TYP, AUTHOR, REVIEWER)
    assert bundle.accept(made, TRUST, made.sha256) == made.payload
    refused("signed.too_few", bundle.accept, Document.of({"channel": "field"}, bundle.TYP, AUTHOR), TRUST)
    same = replace(TRUST, reviewers={REVIEWER.kid: Signer(REVIEWER.public, "ana")})
    refused("bundle.one_person", bundle.accept, made, same)


def test_a_registrar_certifies_a_tablet_by_its_six_words():
    certificate = Certificate(DEVICE.kid, DEVICE.public, "17", "Tableta 14", 1)
    made = Document(certificate.to_payload(5)).signed_by(REGISTRAR, enrolment.CERTIFICATE_TYP)
    assert enrolment.accept_certificate(made, TRUST, DEVICE.kid) == certificate
    heard = [word.upper() for word in DEVICE.public.words()]
    assert (
        enrolment.sign_certificate(DEVICE.public, heard, REGISTRAR, region="17", label="Tableta 14", number=1, issued=5)
        == made
    )
    other = REVIEWER.public.words()
    refused(
        "enrolment.wrong_words",
        enrolment.sign_certificate,
        DEVICE.public,
        other,
        REGISTRAR,
        region="17",
        label="",
        number=1,
        issued=5,
    )
    assert enrolment.accept_enrolment_request(enrolment.write_enrolment_request("un-codigo", DEVICE)) == (
        "un-codigo",
        DEVICE.public,
    )


def test_a_certificate_follows_a_lower_number_only():
    def signed(number, region="17", issued=5):
        said = Certificate(DEVICE.kid, DEVICE.public, region, "", number).to_payload(issued)
        return Document(said).signed_by(REGISTRAR, enrolment.CERTIFICATE_TYP)

    held = enrolment.accept_certificate(signed(2), TRUST, DEVICE.kid)
    assert enrolment.accept_certificate(signed(2), TRUST, DEVICE.kid, held) == held
    assert enrolment.accept_certificate(signed(3, "21"), TRUST, DEVICE.kid, held).region == "21"
    refused("document.rolled_back", enrolment.accept_certificate, signed(1), TRUST, DEVICE.kid, held)
    refused("document.same_number", enrolment.accept_certificate, signed(2, issued=6), TRUST, DEVICE.kid, held)


def test_an_invitation_can_be_typed_and_other_text_is_refused():
    invitation = Invitation("https://chaski.gob.pe/t?x=1&y", "codigo-1", PIN)
    assert Invitation.parse(f" {invitation.to_text()}\n") == invitation
    good = invitation.to_text()
    for text in (
        "",
        "https://x",
        good.replace("chaski:1", "chaski:2"),
        good[:-1],
        good.replace("https", "ftp"),
        good + "&u=x",
    ):
        refused("enrolment.bad_invitation", Invitation.parse, text)


def test_receipts_count_for_their_tablet_and_their_request_only():
    made = receipt.make(
        SERVER,
        dev=DEVICE.kid,
        n=3,
        at=9,
        generation="A" * 11,
        head="",
        items=[receipt.ReceiptItem("ab" * 32, "rejected")],
    )
    items = receipt.accept(made, TRUST, dev=DEVICE.kid, n=3).items
    assert [item.done for item in items] == [False]
    refused("receipt.other_device", receipt.accept, made, TRUST, dev=AUTHOR.kid, n=3)
    refused("receipt.stale", receipt.accept, made, TRUST, dev=DEVICE.kid, n=4)
    refused("signed.too_few", receipt.accept, made, replace(TRUST, servers={}), dev=DEVICE.kid, n=3)


def test_a_key_or_a_keyring_named_twice_is_malformed():
    refused("document.malformed", trust.accept, document(*ROOTS, servers=[SERVER.public] * 2), None, PIN)
    keyring = Keyring.of("national", 1, SealKey(b"n" * 32).public)
    made = Document(registry.make(number=1, keyrings=[keyring, keyring], desks=[], revoked=[], issued=1))
    refused("document.malformed", registry.accept, made.signed_by(REGISTRAR, registry.TYP), TRUST, None)
