"""The route: the coded facts of a screening that the server may read in order to sort it (SPEC 7).

The tablet seals it to the server's route key, and intake opens it. A route with a value outside the closed vocabulary
is rejected.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Self

from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from sync.errors import SyncError
from sync.keys.hpke_opening import open_message
from sync.keys.key_pairs import RouteKey, RoutePublicKey
from sync.wire.encoding import b64u, canonical, strict_value, unb64u
from sync.wire.json_object import FORM_ID, SHA256_HEX

PLAIN_BYTES = 288
SEALED_BYTES = 32 + PLAIN_BYTES + 16
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

VOCABULARY: Mapping[str, frozenset[str] | re.Pattern[str]] = MappingProxyType(
    {
        "form": FORM_ID,
        "sha": SHA256_HEX,
        "outcome": frozenset({"positive", "labour_rights", "review", "negative", "not_scored"}),
        "tier": frozenset({"T1", "T2", "T3", "T4", "child", "danger", "none"}),
        "urgency": frozenset({"immediate", "prompt", "routine", "none"}),
        "queue_kinds": frozenset({"child", "protection", "labour", "review"}),
        "province": re.compile(r"[0-9]{4}"),
        "age_band": frozenset({"under_14", "14_17", "in_doubt", "18_29", "30_59", "60_plus"}),
        "sex": frozenset({"female", "male", "other", "no_answer"}),
        "sector": frozenset(
            {
                "gold_mining",
                "bar_lodging",
                "domestic",
                "forestry",
                "agriculture",
                "fishing",
                "construction",
                "workshop",
                "kiln",
                "transport_trade",
                "begging",
                "other",
            }
        ),
        "consent": frozenset({"yes", "no", "no_answer"}),
        "mode": frozenset({"training", "field"}),
        "lang": frozenset({"es", "quz", "ayr", "other"}),
        "taken": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    }
)


def codes(name: str) -> frozenset[str]:
    """Return the codes that a field allows; empty if the field takes any value of the right form."""
    allowed = VOCABULARY[name]
    return allowed if isinstance(allowed, frozenset) else frozenset()


AUTHOR_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {name: codes(name) for name in ("province", "age_band", "sex", "sector", "consent", "lang")}
)
"""The fields that a form's question may set, with their codes. No codes: INEI's code of a place (`province`)."""


@dataclass(frozen=True)
class Route:
    """The fields of SPEC 7.1. A form may leave out any of them and add none."""

    form: str | None = None
    sha: str | None = None
    outcome: str | None = None
    tier: str | None = None
    urgency: str | None = None
    queue_kinds: tuple[str, ...] | None = None
    province: str | None = None
    age_band: str | None = None
    sex: str | None = None
    sector: str | None = None
    consent: str | None = None
    mode: str | None = None
    lang: str | None = None
    taken: str | None = None

    def __post_init__(self) -> None:
        """Raise SyncError `route.bad_value` for a value outside the vocabulary."""
        for name, value in vars(self).items():
            if value is not None:
                _check(name, value)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """Read a route from a JSON object. Raise SyncError `route.unknown_field` for another member."""
        unknown = sorted(set(content) - set(VOCABULARY))
        if unknown:
            raise SyncError("route.unknown_field", unknown[0])
        kinds = content.get("queue_kinds")
        return cls(**{**content, "queue_kinds": tuple(kinds) if isinstance(kinds, list) else kinds})

    def to_content(self) -> dict[str, Any]:
        """Return the fields that have a value, as JSON values."""
        present = {name: value for name, value in vars(self).items() if value is not None}
        if isinstance(self.queue_kinds, tuple):
            present["queue_kinds"] = list(self.queue_kinds)
        return present


def _check(name: str, value: Any) -> None:
    allowed = VOCABULARY[name]
    if name == "queue_kinds":
        # A set has one spelling: sorted, without repeats.
        good = isinstance(value, tuple) and all(isinstance(kind, str) for kind in value)
        good = good and list(value) == sorted(set(value)) and codes(name).issuperset(value)
    elif isinstance(allowed, frozenset):
        good = isinstance(value, str) and value in allowed
    else:
        good = isinstance(value, str) and allowed.fullmatch(value) is not None
    if good and name == "taken":
        good = _is_date(value)
    if not good:
        raise SyncError("route.bad_value", name)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _info(jti: str, kid: str) -> bytes:
    return f"chaski-1/route/{jti}/{kid}".encode()


def seal_route(route: Route, key: RoutePublicKey, jti: str) -> str:
    """Seal a route for one screening as `kid.sealed`; the length never depends on the content (SPEC 7.2)."""
    content = route.to_content()
    # The values travel without their names: base64 twice makes each byte expensive, and links are slow.
    plain = canonical([content.get(name) for name in VOCABULARY]).ljust(PLAIN_BYTES, b"\0")
    try:
        return f"{key.kid}.{b64u(SUITE.encrypt(plain, key.hpke, _info(jti, key.kid)))}"
    except ValueError as wrong:
        raise SyncError("key.malformed", f"{key.kid} cannot be used to seal") from wrong


def open_route(sealed: str, keys: Mapping[str, RouteKey], jti: str) -> Route:
    """Open the route of the screening `jti` with the one of the server's route keys that it names."""
    kid, _, text = sealed.partition(".")
    if kid not in keys:
        raise SyncError("route.unknown_key", kid)
    try:
        key = keys[kid]
        plain = open_message(unb64u(text), key.hpke, key.public.raw, _info(jti, kid))
    except ValueError as wrong:
        raise SyncError("route.unopenable", "not sealed to this key for this screening") from wrong
    content = plain.rstrip(b"\0")
    if len(plain) != PLAIN_BYTES or b"\0" in content:
        raise SyncError("route.padding", f"a route is {PLAIN_BYTES} bytes: JSON, then zeros")
    values = strict_value(content)
    if not isinstance(values, list) or len(values) != len(VOCABULARY):
        raise SyncError("route.malformed", f"a route is an array of {len(VOCABULARY)} values")
    return Route(*(tuple(value) if isinstance(value, list) else value for value in values))  # type: ignore[arg-type]
