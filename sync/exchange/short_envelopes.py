"""The short form of envelopes in a sync request (SPEC 11.4): it leaves out what follows from other fields.

`sync.exchange.messages` uses it. The bytes of an envelope are signed, so the reader rebuilds exactly these bytes. It
verifies nothing: rebuilt bytes are parsed and verified like those that came as a string.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.errors import SyncError
from sync.wire.encoding import MAX_INTEGER, b64u, unb64u
from sync.wire.json_object import HALF_ID, KID, SHA256_HEX

# Letters of base64url, by the lengths of SPEC 6.1 and 7.2. Only the ciphertext has another length each time.
_JTI, _ROUTE, _EK, _KEY, _IV, _TAG, _SIGNATURE = 22, 448, 1494, 64, 16, 22, 86
_EK_FROM = _JTI + _ROUTE
_KEY_FROM = _EK_FROM + _EK
_IV_FROM = _KEY_FROM + _KEY
_CIPHERTEXT_FROM = _IV_FROM + _IV
_TAG_FROM = -_TAG - _SIGNATURE
_LEAST_LETTERS = _CIPHERTEXT_FROM - _TAG_FROM
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_PREV = re.compile(rf"|{SHA256_HEX.pattern}")
_COUNT = "[1-9][0-9]{0,15}"
_HEADER = re.compile(
    '{"alg":"HPKE-9-KE",'
    rf'"chain":"(?P<chain>{HALF_ID.pattern})","dev":"(?P<dev>{KID.pattern})","enc":"A256GCM",'
    rf'"jti":"(?P<jti>{KID.pattern})","kid":"(?P<kid>{KID.pattern})","kseq":(?P<kseq>{_COUNT}),'
    rf'"prev":"(?P<prev>{_PREV.pattern})",'
    rf'"route":"(?P<route>{KID.pattern})\.(?P<sealed_route>[A-Za-z0-9_-]{{{_ROUTE}}})",'
    rf'"seq":(?P<seq>{_COUNT}),"typ":"chaski-1\+jwe"}}'
)
"""The canonical header of SPEC 6.2. Only an envelope with such a header has a short form."""


class _UnreadableError(Exception):
    """An element from which no envelope can be rebuilt."""


@dataclass(slots=True)
class _Run:
    """What an element may leave out: the device, and what follows from the short forms right before it.

    `last` has the bytes of the envelope before. `kseqs` has the last `kseq` of each keyring in this run.
    """

    dev: str
    chain: str = ""
    seq: int = 0
    last: bytes = b""
    kid: str = ""
    route: str = ""
    kseqs: dict[str, int] = field(default_factory=dict)

    def rebuild(self, element: Any) -> bytes:
        """Return the bytes of the next envelope. Raise _UnreadableError if the element does not determine them."""
        if type(element) is not dict:
            raise _UnreadableError
        # Every text that the next elements may take over is checked, so that small elements cannot become large ones.
        dev, kid, route = (self._name(element, name) for name in ("dev", "kid", "route"))
        chain, seq, prev = self._position(element)
        kseq, sealed = element.get("kseq", self.kseqs.get(kid, 0) + 1), _letters(element.get("sealed"))
        if not (_is_count(seq) and _is_count(kseq)):
            raise _UnreadableError
        header = (
            f'{{"alg":"HPKE-9-KE","chain":"{chain}","dev":"{dev}","enc":"A256GCM","jti":"{sealed[:_JTI]}",'
            f'"kid":"{kid}","kseq":{kseq},"prev":"{prev}","route":"{route}.{sealed[_JTI:_EK_FROM]}",'
            f'"seq":{seq},"typ":"chaski-1+jwe"}}'
        )
        raw = (
            f"{b64u(header.encode())}.{sealed[_EK_FROM:_KEY_FROM]}.{sealed[_KEY_FROM:_IV_FROM]}"
            f".{sealed[_IV_FROM:_CIPHERTEXT_FROM]}.{sealed[_CIPHERTEXT_FROM:_TAG_FROM]}"
            f".{sealed[_TAG_FROM:-_SIGNATURE]}.{sealed[-_SIGNATURE:]}"
        ).encode()
        self.dev, self.kid, self.route, self.kseqs[kid] = dev, kid, route, kseq
        self.chain, self.seq, self.last = chain, seq, raw
        return raw

    def identity(self) -> str:
        """Return the identity of the envelope before (SPEC 6.1)."""
        return hashlib.sha256(self.last).hexdigest()

    def _name(self, element: dict[str, Any], name: str) -> str:
        held: str = getattr(self, name)
        if name not in element and held:
            return held
        return _text(element.get(name), KID)

    def _position(self, element: dict[str, Any]) -> tuple[str, Any, str]:
        if "chain" not in element and self.chain:
            return self.chain, self.seq + 1, self.identity()
        return _text(element.get("chain"), HALF_ID), element.get("seq"), _text(element.get("prev", ""), _PREV)

    def shorten(self, raw: bytes) -> dict[str, Any] | None:
        """Return the shortest element for an envelope, or None if its bytes are not those that a reader rebuilds."""
        said = _read_header(raw)
        if said is None:
            return None
        seq, kseq, fields = int(said["seq"]), int(said["kseq"]), _decode(raw).split(".")
        element: dict[str, Any] = {"sealed": said["jti"] + said["sealed_route"] + "".join(fields[1:])}
        if (said["chain"], seq, said["prev"]) != (self.chain, self.seq + 1, self.identity()):
            element |= {"chain": said["chain"], "seq": seq, "prev": said["prev"]}
        if not said["prev"]:
            element.pop("prev", None)
        element |= {name: said[name] for name in ("dev", "kid", "route") if said[name] != getattr(self, name)}
        if kseq != self.kseqs.get(said["kid"], 0) + 1:
            element["kseq"] = kseq
        try:
            return element if self.rebuild(element) == raw else None
        except _UnreadableError:
            return None


def read_envelopes(elements: Iterable[Any], dev: str) -> tuple[bytes, ...]:
    """Return the bytes of each envelope of a request that `dev` signed.

    An element from which nothing can be rebuilt gives no bytes, and so is rejected like any malformed envelope. The
    next elements must not refer to it.
    """
    raws, run = [], _Run(dev)
    for element in elements:
        if type(element) is str:
            raws.append(element.encode())
            run = _Run(dev)
            continue
        try:
            raws.append(run.rebuild(element))
        except _UnreadableError:
            raws.append(b"")
            run = _Run(dev)
    return tuple(raws)


def write_envelopes(raws: Iterable[bytes], dev: str) -> list[str | Mapping[str, Any]]:
    """Return an element for each envelope: the short form if a reader rebuilds the same bytes, else a string."""
    elements: list[str | Mapping[str, Any]] = []
    run = _Run(dev)
    for raw in raws:
        element = run.shorten(raw)
        elements.append(_decode(raw) if element is None else element)
        run = _Run(dev) if element is None else run
    return elements


def read_number(raw: bytes) -> int:
    """Return the `seq` of an envelope with a canonical header; 0 for every other one."""
    said = _read_header(raw)
    return int(said["seq"]) if said else 0


def _read_header(raw: bytes) -> Mapping[str, str] | None:
    """Return the members of a canonical header. Nothing else about the envelope is checked."""
    try:
        header = _HEADER.fullmatch(unb64u(raw.partition(b".")[0]).decode())
    except (SyncError, UnicodeDecodeError):
        return None
    is_whole = header and all(_is_count(int(header[name])) for name in ("seq", "kseq"))
    return header.groupdict() if header and is_whole else None


def _decode(raw: bytes) -> str:
    # Damaged bytes of a tablet's store are refused like any other envelope. They must not hold up the others.
    return raw.decode("utf-8", "replace")


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    if type(value) is not str or not pattern.fullmatch(value):
        raise _UnreadableError
    return value


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_INTEGER


def _letters(value: Any) -> str:
    if type(value) is not str or len(value) < _LEAST_LETTERS or not value.isascii():
        raise _UnreadableError
    if value.encode().translate(None, _LETTERS):
        raise _UnreadableError
    return value
