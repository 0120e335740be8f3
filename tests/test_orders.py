"""What a registrar orders a tablet to do: signed by her, for that tablet, carried out once, and nothing sealed is lost."""

from __future__ import annotations

import pytest
from conftest import FOUNDED, World
from intake_material import Field, open_field

from sync import order
from sync.errors import SyncError
from sync.keys import SigningKey

DEV = "A" * 22


@pytest.fixture
def field(world: World):
    opened = open_field(world)
    yield opened
    opened.parts.db.close()


def test_an_order_says_what_the_registrar_signed(field: Field) -> None:
    registrar = field.world.office("registro", "registrar")
    document = order.make(registrar, dev=DEV, number=3, issued=FOUNDED, order="wipe")
    assert order.accept(document, field.trust, DEV) == order.Order(DEV, 3, FOUNDED, "wipe")


def test_an_order_by_anybody_else_or_for_another_tablet_or_of_another_kind_is_refused(field: Field) -> None:
    registrar, stranger = field.world.office("registro", "registrar"), SigningKey.generate()
    said = {"dev": DEV, "number": 1, "issued": FOUNDED, "order": "revoke"}
    for signer, wrong, code in (
        (stranger, {}, "signed.too_few"),
        (registrar, {"dev": "B" * 22}, "order.wrong_device"),
        (registrar, {"order": "sing"}, "document.malformed"),
        (registrar, {"number": 0}, "document.malformed"),
    ):
        with pytest.raises(SyncError) as refused:
            order.accept(order.make(signer, **{**said, **wrong}), field.trust, DEV)
        assert refused.value.code == code
