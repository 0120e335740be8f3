"""The material of the vectors: fixed keys, times and documents, and the function that writes a case."""

import hashlib
from typing import Any

from sync.documents import trust
from sync.documents.signed import Document, sign
from sync.documents.trust import Signer
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import Route
from sync.envelope.verify import ChainPosition
from sync.keys.key_pairs import RouteKey, SealKey, SigningKey
from sync.wire.encoding import b64u

Case = dict[str, Any]


def fixed(name: str) -> bytes:
    return hashlib.sha256(f"chaski vector {name}".encode()).digest()


ROOTS = [SigningKey(fixed(f"root {number}")) for number in (1, 2, 3)]
REGISTRAR, AUTHOR, NEW_AUTHOR, REVIEWER, SERVER, DEVICE, STRANGER = (
    SigningKey(fixed(name))
    for name in ("registrar", "author", "new author", "reviewer", "server", "device", "stranger")
)
KEYRING, OTHER_KEYRING, MEMBER = (SealKey(fixed(name)) for name in ("keyring", "other keyring", "member"))
ROUTE_KEY = RouteKey(fixed("route"))
NOW = 1_795_300_000_000
YEAR_2090 = 3_800_000_000_000
JTI, CHAIN, GENERATION = b64u(fixed("jti")[:16]), b64u(fixed("chain")[:8]), b64u(fixed("generation")[:8])
PROVINCE_ROUTE = Route(
    form="pe_laboral_adulto",
    sha=fixed("bundle").hex(),
    outcome="positive",
    tier="T1",
    urgency="prompt",
    queue_kinds=("protection",),
    province="1702",
    age_band="18_29",
    sex="male",
    sector="gold_mining",
    consent="yes",
    mode="training",
    lang="quz",
    taken="2026-11-21",
)
CONTEXT = Context(fixed("bundle").hex())
INSTANCE = b'<data id="pe_laboral_adulto"><deuda>yes</deuda><score><outcome>positive</outcome></score></data>'

TRUST_MEMBERS: dict[str, Any] = {
    "number": 1,
    "demo": False,
    "roots": [key.public for key in ROOTS],
    "threshold": 2,
    "registrars": [REGISTRAR.public],
    "authors": [Signer(AUTHOR.public, "p-autora")],
    "reviewers": [Signer(REVIEWER.public, "p-revisor"), Signer(AUTHOR.public, "p-autora")],
    "servers": [SERVER.public],
    "issued": NOW,
    "expires": NOW + 31_536_000_000,
}


def signed(payload: bytes, typ: str, *keys: SigningKey) -> Document:
    return Document(payload, tuple(sign(payload, key, typ) for key in keys))


def trust_document(*keys: SigningKey, **changes: Any) -> Document:
    return signed(trust.TrustContent(**{**TRUST_MEMBERS, **changes}).to_payload(), trust.TYP, *keys)


TRUST = trust_document(*ROOTS[:2])
PIN = trust.pin_of([key.public for key in ROOTS], 2)


def sealed(
    instance: bytes = b"<data/>",
    said: Route = PROVINCE_ROUTE,
    jti: str = JTI,
    seq: int = 1,
    prev: str = "",
    bucket: int = 1024,
    context: Context | None = CONTEXT,
) -> bytes:
    return seal.seal_envelope(
        Content(instance, context),
        to=KEYRING.public,
        route=said,
        route_key=ROUTE_KEY.public,
        device=DEVICE,
        jti=jti,
        position=ChainPosition(chain=CHAIN, seq=seq, kseq=1, prev=prev),
        bucket=bucket,
    )


def text(document: Document) -> str:
    return document.to_bytes().decode()


def case(do: str, expect: str, about: str, given: Case, result: Any = None) -> Case:
    made = {"about": about, "do": do, "expect": expect, "given": given}
    return made if result is None else {**made, "result": result}
