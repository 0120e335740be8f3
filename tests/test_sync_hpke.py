"""Tests that SPEC.md alone is enough to open a screening: a second implementation of 8.3 and 8.4, from the text.

It shares no code with the first one: ML-KEM, X25519 and AES come from the library, the rest is written here.
"""

import hashlib
import json
import re
import zlib
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SYNC = Path(__file__).parent.parent / "sync"
RECIPIENT = b"JOSE-HPKE rcpt\xffA256GCM\xff"


def given(name: str) -> dict:
    return json.loads((SYNC / "vectors" / f"{name}.json").read_text())


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def i2(number: int) -> bytes:
    return number.to_bytes(2)


def open_hpke(seed: bytes, enc: bytes, ciphertext: bytes, info: bytes) -> bytes:
    """SPEC 8.4, read from top to bottom."""
    stretched = hashlib.shake_256(seed).digest(96)
    lattice, curve = (
        MLKEM768PrivateKey.from_seed_bytes(stretched[:64]),
        X25519PrivateKey.from_private_bytes(stretched[64:]),
    )
    ct_m, ct_x = enc[:1088], enc[1088:]
    ss_m, ss_x = lattice.decapsulate(ct_m), curve.exchange(X25519PublicKey.from_public_bytes(ct_x))
    pk_x = curve.public_key().public_bytes_raw()
    ss = hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + bytes.fromhex("5c2e2f2f5e5c")).digest()
    schedule = i2(0) + i2(32) + ss
    schedule += b"HPKE-v1" + b"HPKE" + i2(0x647A) + i2(0x0011) + i2(0x0002)
    schedule += i2(6) + b"secret" + i2(108)
    schedule += b"\0" + i2(0) + i2(len(info)) + info
    secrets = hashlib.shake_256(schedule).digest(108)
    return AESGCM(secrets[:32]).decrypt(secrets[32:44], ciphertext, None)


def test_the_text_alone_opens_a_screening():
    vector = given("envelope_ok")
    protected, ek, key, iv, ciphertext, tag, _ = vector["given"]["envelope"].split(".")
    header = json.loads(unb64(protected))
    info = RECIPIENT + f"chaski-1/env/{header['jti']}/{header['kid']}".encode()
    content_key = open_hpke(unb64(vector["given"]["keyring_seed"]), unb64(ek), unb64(key), info)
    plaintext = AESGCM(content_key).decrypt(unb64(iv), unb64(ciphertext) + unb64(tag), protected.encode())
    length = int.from_bytes(plaintext[:4])
    assert zlib.decompress(plaintext[4 : 4 + length], -15).decode() == vector["result"]["instance"]


def test_the_text_alone_unwraps_a_keyrings_seed_for_its_member_only():
    vector = given("key_wrap")
    asked, wrapped = vector["given"], unb64(vector["given"]["wrapped"])
    for member, works in ((asked["member_id"], True), ("A" * 22, False)):
        info = RECIPIENT + f"chaski-1/wrap/{asked['keyring']}/{asked['epoch']}/{member}".encode()
        parts = unb64(asked["member_seed"]), wrapped[:1120], wrapped[1120:], info
        if works:
            assert open_hpke(*parts) == unb64(vector["result"])
            continue
        with pytest.raises(InvalidTag):
            open_hpke(*parts)


def test_the_text_alone_opens_what_other_people_sealed():
    jwk, jwe = given("public_hpke_9_ke")["given"]["jwk"], given("public_hpke_9_ke")["given"]["jwe"]
    enc = unb64(json.loads(unb64(jwe["protected"]))["ek"])
    content_key = open_hpke(unb64(jwk["priv"]), enc, unb64(jwe["encrypted_key"]), RECIPIENT)
    aad = f"{jwe['protected']}.{jwe['aad']}".encode()
    sealed = unb64(jwe["ciphertext"]) + unb64(jwe["tag"])
    plaintext = AESGCM(content_key).decrypt(unb64(jwe["iv"]), sealed, aad)
    assert plaintext.decode() == given("public_hpke_9_ke")["result"]


def test_the_spec_names_every_number_that_the_second_implementation_used():
    text = (SYNC / "SPEC.md").read_text()
    section = re.search(r"^### 8\.4 .*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    for said in (
        "1,088",
        "5c 2e 2f 2f 5e 5c",
        "HPKE-v1",
        "I2(0x647a), I2(0x0011), I2(0x0002)",
        "`secret`",
        "108 bytes",
    ):
        assert said in section[0], said
