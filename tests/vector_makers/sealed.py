"""The vectors of encryption: envelopes, routes, keyrings, passphrases."""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sync.documents.signed import sign_bare
from sync.envelope import seal
from sync.envelope.route import PLAIN_BYTES, SUITE, VOCABULARY, seal_route
from sync.envelope.verify import EK_BYTES, SIGNATURE_TYP, Envelope, Header, parse_envelope
from sync.keys.key_pairs import SealKey, SigningKey
from sync.keys.passphrases import DerivedKeys, derive_keys
from sync.wire.encoding import b64u, canonical, unb64u
from vector_makers.fixed_inputs import (
    AUTHOR,
    CONTEXT,
    DEVICE,
    INSTANCE,
    JTI,
    KEYRING,
    MEMBER,
    OTHER_KEYRING,
    PROVINCE_ROUTE,
    ROUTE_KEY,
    STRANGER,
    Case,
    case,
    fixed,
    sealed,
)

SealOnce = Callable[[str, Callable[[], str]], str]


@dataclass(frozen=True)
class Sealed:
    """One real envelope and its content key. Other envelopes are made from it with fixed randomness."""

    raw: str
    envelope: Envelope
    content_key: bytes

    @property
    def header(self) -> Header:
        """The protected header of the one real envelope."""
        return self.envelope.header

    def again(
        self, header: bytes, plain: bytes | None = None, key: SigningKey = DEVICE, wrapped: bytes | None = None
    ) -> str:
        """Seal other bytes, or under another header, with the same content key and a valid signature."""
        protected, iv = b64u(header), self.envelope.iv
        sealed = AESGCM(self.content_key).encrypt(iv, plain or older_plaintext(INSTANCE), protected.encode())
        keys = wrapped or self.envelope.ek + self.envelope.encrypted_key
        parts = [keys[:EK_BYTES], keys[EK_BYTES:], iv, sealed[:-16], sealed[-16:]]
        body = ".".join([protected, *map(b64u, parts)])
        return f"{body}.{sign_bare(body.encode(), key, SIGNATURE_TYP)}"


def deflated(content: bytes, dictionary: bytes = b"") -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=dictionary)
    return packer.compress(content) + packer.flush()


def padded(stream: bytes, length: int | None = None, size: int = 1024) -> bytes:
    """Put a length, that of the stream unless another is given, in front of a stream, and zeros behind it."""
    return ((len(stream) if length is None else length).to_bytes(4) + stream).ljust(size, b"\0")


def older_plaintext(instance: bytes) -> bytes:
    """What older tablets sealed: no context, and a stream without a dictionary."""
    return padded(deflated(instance))


def one_sealed(seal_once: SealOnce) -> Sealed:
    """Return the one real envelope: from sealed_once.json, or sealed now."""

    def build() -> str:
        return sealed(INSTANCE, context=None).decode()

    raw = seal_once("envelope", build)
    parsed = parse_envelope(raw.encode())
    info = b"JOSE-HPKE rcpt\xffA256GCM\xff" + f"chaski-1/env/{JTI}/{KEYRING.kid}".encode()
    return Sealed(raw, parsed, seal.SUITE.decrypt(parsed.ek + parsed.encrypted_key, KEYRING.hpke, info))


# A list of cases, longer than a function should be.
def envelope_cases(seal_once: SealOnce) -> dict[str, Case]:
    first = one_sealed(seal_once)
    good, parsed, again, header = first.raw, first.envelope, first.again, first.header

    def check(expect: str, about: str, raw: str, seed: SealKey = KEYRING, opened_route: str = "ok") -> Case:
        given = {"envelope": raw, "device": b64u(DEVICE.public.raw), "keyring_seed": b64u(seed.seed)}
        given |= {"route_secret": b64u(ROUTE_KEY.secret)}
        read = {
            "instance": INSTANCE.decode(),
            "route": PROVINCE_ROUTE.to_content() if opened_route == "ok" else opened_route,
        }
        return case("envelope", expect, about, given, read if expect == "ok" else None)

    grant_info = b"JOSE-HPKE rcpt\xffA256GCM\xff" + f"chaski-1/grant/{parsed.id}/{KEYRING.kid}".encode()
    grant = seal_once("grant", lambda: b64u(seal.SUITE.encrypt(first.content_key, KEYRING.public.hpke, grant_info)))
    other_route = seal_once(
        "route of another screening", lambda: seal_route(PROVINCE_ROUTE, ROUTE_KEY.public, b64u(fixed("x")[:16]))
    )
    packed, bomb = deflated(INSTANCE), deflated(b"\0" * 1_100_000)
    written = header.to_bytes()

    def spelled(**said: Any) -> bytes:
        return replace(header, **said).to_bytes()

    flipped = good.split(".")
    flipped[4] = ("A" if flipped[4][0] != "A" else "B") + flipped[4][1:]
    loose = good.split(".")
    loose[6] = loose[6][:-1] + chr(ord(loose[6][-1]) + 1)
    return {
        "ok": check("ok", "Parsed, verified, opened, route opened.", good),
        "bad_signature": check("envelope.bad_signature", "One letter of the ciphertext changed.", ".".join(flipped)),
        "wrong_device": check(
            "envelope.wrong_device",
            "The header names another device.",
            again(replace(header, dev=STRANGER.kid).to_bytes(), key=STRANGER),
        ),
        "signed_by_stranger": check(
            "envelope.bad_signature", "Signed by another device.", again(written, key=STRANGER)
        ),
        "wrong_recipient": check("seal.wrong_recipient", "Opened by another keyring.", good, OTHER_KEYRING),
        "moved": check(
            "seal.unopenable",
            "The sealed key moved to another screening.",
            again(replace(header, jti=b64u(fixed("y")[:16])).to_bytes()),
        ),
        "grant_as_envelope": check(
            "seal.unopenable",
            "The key of a grant (16) in the place of an envelope's: made for something else, it opens nothing.",
            again(header.to_bytes(), wrapped=unb64u(grant)),
        ),
        "tampered_route": check(
            "envelope.bad_signature",
            "The route was exchanged on the way.",
            ".".join([b64u(replace(header, route=other_route).to_bytes()), *good.split(".")[1:]]),
        ),
        "unopenable_route": check(
            "ok",
            "A route that does not open costs nothing but the route.",
            again(replace(header, route=other_route).to_bytes()),
            opened_route="route.unopenable",
        ),
        "truncated": check("envelope.malformed", "The last field is missing.", good.rpartition(".")[0]),
        "short_field": check(
            "envelope.malformed",
            "A ciphertext that is no whole block.",
            ".".join([*good.split(".")[:4], b64u(parsed.ciphertext[:-3]), *good.split(".")[5:]]),
        ),
        "non_canonical_base64": check("encoding.base64", "The last letter has stray bits.", ".".join(loose)),
        "header_unknown_member": check(
            "envelope.bad_header", "A member that SPEC does not know.", again(written[:-1] + b',"zip":"DEF"}')
        ),
        "header_duplicate_member": check(
            "encoding.duplicate_member", "Two kids.", again(written[:-1] + b',"kid":"x"}')
        ),
        "header_spaced": check("ok", "Readers take any spelling of the header.", again(written.replace(b",", b", "))),
        "header_array": check("encoding.json", "An array in place of the header.", again(b"[]")),
        "header_fraction": check(
            "envelope.bad_header", "A number with a fraction.", again(written.replace(b'"seq":1', b'"seq":1.0'))
        ),
        "header_other_alg": check(
            "envelope.bad_header", "Another alg.", again(written.replace(b"HPKE-9-KE", b"HPKE-0-KE"))
        ),
        "header_seq_zero": check("envelope.bad_header", "Places count from 1.", again(spelled(seq=0, kseq=0))),
        "header_kseq_above_seq": check(
            "envelope.bad_header", "More to one keyring than to all.", again(spelled(kseq=2))
        ),
        "header_past_of_the_first": check(
            "envelope.bad_header", "The first names one before.", again(spelled(prev="a1" * 32))
        ),
        "header_upper_case": check("envelope.bad_header", "A hash in capitals.", again(spelled(seq=2, prev="A1" * 32))),
        "header_short_route": check("envelope.bad_header", "A route of another length.", again(spelled(route="x"))),
        "second_of_a_chain": check("ok", "The second names the first.", again(spelled(seq=2, prev="a1" * 32))),
        "eight_fields": check("envelope.malformed", "A field too many.", good + "." + good.rpartition(".")[2]),
        "lengths_before_header": check(
            "envelope.malformed", "A header that is none, and a short signature.", f"AA{good[good.index('.') : -2]}"
        ),
        "header_before_signature": check(
            "envelope.bad_header", "A strange header, signed by a stranger.", again(b"{}", key=STRANGER)
        ),
        "device_before_signature": check(
            "envelope.wrong_device",
            "Another device, and signed by neither.",
            again(spelled(dev=STRANGER.kid), key=AUTHOR),
        ),
        "signature_before_recipient": check(
            "envelope.bad_signature", "Changed, and for another keyring.", ".".join(flipped), OTHER_KEYRING
        ),
        "padding_before_deflate": check(
            "seal.nonzero_padding",
            "Cut off, and bytes in the padding.",
            again(written, padded(packed, len(packed) - 2)),
        ),
        "size_before_end": check(
            "seal.too_large", "Past 1 MiB, and cut off.", again(written, padded(bomb[:-2], size=2048))
        ),
        "no_stream": check("seal.truncated", "No bytes at all.", again(written, bytes(1024))),
        "header_no_past": check(
            "envelope.bad_header", "The second of a chain names no first.", again(replace(header, seq=2).to_bytes())
        ),
        "truncated_deflate": check(
            "seal.truncated", "The deflate stream is cut off.", again(written, padded(packed[:-2]))
        ),
        "length_beyond_end": check("seal.truncated", "A length beyond the end.", again(written, padded(packed, 1021))),
        "trailing_deflate": check(
            "seal.trailing_data",
            "Bytes after the deflate stream.",
            again(written, padded(packed + b"x")),
        ),
        "nonzero_padding": check(
            "seal.nonzero_padding", "Bytes in the padding.", again(written, padded(packed + b"x", len(packed)))
        ),
        "inflate_bomb": check("seal.too_large", "Inflates past 1 MiB.", again(written, padded(bomb, size=2048))),
    }


# A list of cases, longer than a function should be.
def context_cases(seal_once: SealOnce) -> dict[str, Case]:
    """Contents that begin with a context (8.2), and those that begin with something like it."""
    first = one_sealed(seal_once)
    written, line = first.header.to_bytes(), CONTEXT.to_bytes()

    def check(
        expect: str, about: str, front: bytes, instance: bytes = INSTANCE, dictionary: bytes = seal.DICTIONARY
    ) -> Case:
        raw = first.again(written, padded(deflated(front + instance, dictionary), size=2048))
        given = {"envelope": raw, "device": b64u(DEVICE.public.raw), "keyring_seed": b64u(KEYRING.seed)}
        given |= {"route_secret": b64u(ROUTE_KEY.secret)}
        read = {"instance": instance.decode(), "route": PROVINCE_ROUTE.to_content(), "context": vars(CONTEXT)}
        return case("envelope", expect, about, given, read if expect == "ok" else None)

    bad, sha = "seal.bad_context", CONTEXT.sha.encode()
    return {
        "ok": check("ok", "A context with the version's hash, in front of the instance.", line + b"\n"),
        "no_dictionary": check("ok", "Compressed without the dictionary.", line + b"\n", dictionary=b""),
        "empty_instance": check("ok", "Nothing after the context.", line + b"\n", b""),
        "instance_that_looks_like_one": check(
            "ok", "The instance is not looked at: only the first line is a context.", line + b"\n", line + b"\n"
        ),
        "no_line_feed": check(bad, "The instance follows without a line feed.", line),
        "nothing_after": check(bad, "A context, and no line feed.", line, b""),
        "carriage_return": check(bad, "A carriage return before the line feed.", line + b"\r\n"),
        "unknown_member": check(bad, "A member that SPEC does not know.", line[:-1] + b',"then":1}\n'),
        "no_member": check(bad, "No member.", b"{}\n"),
        "member_twice": check(bad, "The same member twice.", line[:-1] + b',"sha":"%s"}\n' % sha),
        "spaced": check(bad, "Not canonical: a space.", line.replace(b":", b": ") + b"\n"),
        "escaped": check(bad, "Not canonical: an escape.", b'{"\\u0073ha":"%s"}\n' % sha),
        "line_feed_inside": check(bad, "Not canonical: a line feed.", b'{\n"sha":"%s"}\n' % sha),
        "not_json": check(bad, "Not JSON.", b"{sha}\n"),
        "not_utf8": check(bad, "Not UTF-8.", b'{"sha":"\xff"}\n'),
        "hash_in_capitals": check(bad, "A hash in capitals.", b'{"sha":"%s"}\n' % sha.upper()),
        "hash_too_short": check(bad, "A hash of 63 digits.", b'{"sha":"%s"}\n' % sha[1:]),
        "hash_null": check(bad, "No hash.", b'{"sha":null}\n'),
        "too_long": check(bad, "513 bytes before the line feed.", b'{"sha":"%s"}\n' % (b"a" * 503)),
        "deflate_before_context": check("seal.too_large", "Past 1 MiB, and no context.", b"{" + b"\0" * 1_100_000),
    }


def route_cases(seal_once: SealOnce) -> dict[str, Case]:
    def spelled(**said: Any) -> bytes:
        return canonical([said.get(name) for name in VOCABULARY])

    def check(expect: str, about: str, plain: bytes, **changes: str) -> Case:
        padded = plain.ljust(PLAIN_BYTES, b"\0")
        info = f"chaski-1/route/{JTI}/{ROUTE_KEY.kid}".encode()
        sealed = seal_once(about, lambda: b64u(SUITE.encrypt(padded, ROUTE_KEY.public.hpke, info)))
        given = {"route": f"{ROUTE_KEY.kid}.{sealed}", "route_secret": b64u(ROUTE_KEY.secret), "jti": JTI} | changes
        return case(
            "route",
            expect,
            about,
            given,
            {name: value for name, value in zip(VOCABULARY, json.loads(plain), strict=True) if value is not None}
            if expect == "ok"
            else None,
        )

    return {
        "empty": check("ok", "A route that says nothing.", spelled()),
        "three_fields": check("ok", "Three fields.", spelled(tier="child", queue_kinds=["child"], province="1702")),
        "all_fields": check("ok", "All fields.", spelled(**PROVINCE_ROUTE.to_content())),
        **{
            f"sector_{sector}": check("ok", f"The sector {sector}.", spelled(sector=sector))
            for sector in ("fishing", "workshop", "kiln", "begging")
        },
        "sector_unknown": check(
            "route.bad_value", "A sector that is not in the vocabulary.", spelled(sector="factory")
        ),
        "no_kinds": check("ok", "In no queue.", spelled(queue_kinds=[])),
        "spaced": check("ok", "Readers take any spelling.", spelled(tier="T2").replace(b",", b", ")),
        "unknown_key": check(
            "route.unknown_key", "Opened with another key.", spelled(lang="es"), route_secret=b64u(fixed("other route"))
        ),
        "other_screening": check(
            "route.unopenable", "Of another screening.", spelled(lang="quz"), jti=b64u(fixed("x")[:16])
        ),
        "not_base64": check("encoding.base64", "Not base64url.", spelled(lang="ayr"), route=f"{ROUTE_KEY.kid}.="),
        "no_dot": check("route.unknown_key", "No key is named.", spelled(lang="other"), route="x"),
        "not_json": check("encoding.json", "Zeros alone.", b""),
        "no_such_day": check("route.bad_value", "A day that never was.", spelled(taken="2026-02-30")),
        "short_province": check("route.bad_value", "A region of three digits.", spelled(province="170")),
        "kinds_twice": check("route.bad_value", "A kind twice.", spelled(queue_kinds=["child", "child"])),
        "number": check("route.bad_value", "A number in the place of a code.", spelled(tier=1)),
        "too_long": check("route.malformed", "A fifteenth value.", spelled()[:-1] + b',"x"]'),
        "object": check("route.malformed", "An object in place of the array.", b'{"tier":"T1"}'),
        "bad_value": check("route.bad_value", "A code that is not in the vocabulary.", spelled(tier="T9")),
        "kinds_not_sorted": check(
            "route.bad_value", "Kinds in another order.", spelled(queue_kinds=["review", "child"])
        ),
        "padding": check("route.padding", "Something after the zeros.", spelled() + b"\0x"),
    }


# A list of cases, longer than a function should be.
def key_cases(seal_once: SealOnce) -> dict[str, Case]:
    phrase, salt = "ábaco abdomen abeja abierto abogado abono", fixed("salt")[:16]
    derived: DerivedKeys = derive_keys(phrase, salt)
    nonce, purpose = fixed("nonce")[:12], f"signing/{AUTHOR.kid}"
    locked = b64u(nonce + AESGCM(derived.lock).encrypt(nonce, AUTHOR.secret, purpose.encode()))
    given = {"phrase": phrase, "salt": b64u(salt), "locked": locked, "purpose": purpose}
    opened = {"auth": b64u(derived.auth), "lock": b64u(derived.lock), "secret": b64u(AUTHOR.secret)}
    wrapped = seal_once(
        "wrapped seed",
        lambda: seal.wrap_seed(KEYRING.seed, MEMBER.public, keyring="17-protection", epoch=2, member_id=AUTHOR.kid),
    )
    wrap = {
        "wrapped": wrapped,
        "member_seed": b64u(MEMBER.seed),
        "keyring": "17-protection",
        "epoch": 2,
        "member_id": AUTHOR.kid,
    }
    return {
        "passphrase": case("unlock", "ok", "A locked secret.", given, opened),
        "passphrase_spelling": case(
            "unlock",
            "ok",
            "Capitals, accents, blanks.",
            {**given, "phrase": "  ABACO abdomen  Abeja abierto abogado abono "},
            opened,
        ),
        "passphrase_wrong": case(
            "unlock", "key.wrong_passphrase", "Another last word.", {**given, "phrase": phrase + "s"}
        ),
        "salt_of_another_length": case(
            "unlock", "key.malformed", "A salt of 15 bytes.", {**given, "salt": b64u(salt[1:])}
        ),
        "locked_cut_off": case("unlock", "key.wrong_passphrase", "Cut off.", {**given, "locked": locked[:-4]}),
        "other_purpose": case(
            "unlock", "key.wrong_passphrase", "Locked for something else.", {**given, "purpose": "seal/x"}
        ),
        "wrap": case("unwrap", "ok", "A keyring's seed for a member.", wrap, b64u(KEYRING.seed)),
        "wrap_other_epoch": case("unwrap", "seal.unopenable", "Wrapped for another epoch.", {**wrap, "epoch": 3}),
        "seal_public": case(
            "seal_public", "ok", "A seed and its public key.", {"seed": b64u(MEMBER.seed)}, b64u(MEMBER.public.raw)
        ),
    }
