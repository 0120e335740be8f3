"""The vectors of a tablet that accepted new roots, was started again, and judges by the trust that it stored."""

from typing import Any

from sync.documents.signed import Document
from sync.keys.key_pairs import SigningKey
from vector_makers.fixed_inputs import (
    DEVICE,
    PIN,
    REGISTRAR,
    ROOTS,
    STRANGER,
    TRUST,
    Case,
    case,
    fixed,
    text,
    trust_document,
)
from vector_makers.tablets import certificate

NEW_ROOT, NEWER_ROOT, NEW_REGISTRAR = (SigningKey(fixed(name)) for name in ("new root", "newer root", "new registrar"))
SECOND_ROOTS, THIRD_ROOTS = [*ROOTS[:2], NEW_ROOT], [ROOTS[0], NEW_ROOT, NEWER_ROOT]


def _trust(number: int, roots: list[SigningKey], *signers: SigningKey, **changes: Any) -> Document:
    return trust_document(*signers, number=number, roots=[key.public for key in roots], **changes)


# The third root is lost and replaced; then the second one too.
SECOND = _trust(2, SECOND_ROOTS, *ROOTS[:2])
THIRD = _trust(3, THIRD_ROOTS, ROOTS[0], NEW_ROOT)


def reopened_cases() -> dict[str, Case]:
    def check(
        expect: str,
        about: str,
        *trusts: Document,
        then: Document | None = None,
        by: SigningKey = REGISTRAR,
        number: int | None = None,
        pin: str = PIN,
    ) -> Case:
        given = {"pin": pin, "trusts": [text(each) for each in trusts], "document": text(then) if then else None}
        device = {"dev": DEVICE.kid, "certificate": text(certificate(by))}
        return case("reopened", expect, about, given | device, number)

    replaced = _trust(2, SECOND_ROOTS, *ROOTS[:2], registrars=[NEW_REGISTRAR.public])
    return {
        "same_roots": check("ok", "No root changed.", TRUST, number=1),
        "after_root_change": check("ok", "The pin is that of the former roots.", TRUST, SECOND, number=2),
        "after_two_changes": check("ok", "Two changes of roots.", TRUST, SECOND, THIRD, number=3),
        "next": check("ok", "The stored roots sign the next trust.", TRUST, SECOND, then=THIRD, number=3),
        "held_already": check("ok", "The same trust again.", TRUST, SECOND, then=SECOND, number=2),
        "skipped": check("signed.too_few", "Two changes at once, the first one unseen.", TRUST, THIRD),
        "next_skipped": check("signed.too_few", "The same after a restart.", TRUST, then=THIRD),
        "unknown_root": check(
            "signed.too_few",
            "Roots that neither the held trust nor the pin names.",
            TRUST,
            SECOND,
            then=_trust(3, [STRANGER, NEWER_ROOT], STRANGER, NEWER_ROOT),
        ),
        "former_roots": check(
            "signed.too_few",
            "The roots of the pin, signed by the lost one: they decide no longer.",
            TRUST,
            SECOND,
            then=_trust(3, ROOTS, *ROOTS[1:]),
        ),
        "rolled_back": check("document.rolled_back", "The first trust, whose pin it is.", TRUST, SECOND, then=TRUST),
        "wrong_pin": check("trust.wrong_pin", "The pin still decides on the first trust.", SECOND, pin="00" * 32),
        "registrar_replaced": check(
            "ok", "Registrar and root replaced at once.", TRUST, replaced, by=NEW_REGISTRAR, number=2
        ),
        "former_registrar": check(
            "signed.too_few", "A certificate by the registrar who was replaced.", TRUST, replaced, by=REGISTRAR
        ),
    }
