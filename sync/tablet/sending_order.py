"""The order in which envelopes are sent: the most urgent first, then the oldest (SPEC 11.3 rule 3).

`envelope_store` uses it. The urgency is known when a screening is sealed; afterwards only a desk can read it. It is
stored as a code, encrypted with the key of the drafts, which a wipe destroys.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

RANKS = ("immediate", "prompt", "routine", "none")
"""The values of the route's `urgency` (SPEC 7.1), the most urgent first."""
FIRST = 0
"""The rank of an envelope whose urgency is not known: it could be the most urgent one."""
NONCE_BYTES = 12
PATIENCE = 2
"""So often an envelope may break off a delivery before it lets others go first."""
RAREST_TURN = 6
"""An envelope has its turn at least in each request whose number is a multiple of 2 to this power."""


@dataclass(frozen=True)
class WaitingEnvelope:
    """An envelope to send: its place in the store, its id, and how often its delivery alone broke off."""

    position: int
    identity: str
    broken: int

    @property
    def is_doubtful(self) -> bool:
        """Whether the line may be unable to carry it. It travels alone, so that it costs no others a delivery."""
        return self.broken >= PATIENCE

    def has_turn(self, request: int) -> bool:
        """Whether it may go first in the request with this number: a doubtful one in every second, fourth, ... ."""
        return not self.is_doubtful or request % 2 ** min(self.broken - PATIENCE + 1, RAREST_TURN) == 0


def choose_next(waiting: Sequence[WaitingEnvelope], request: int) -> list[tuple[int, str]]:
    """Return (position, id) of the envelopes that may go into a request, in the order of `waiting`.

    One that the line cannot carry must not starve the others, and is still tried: in its turn, and when no others wait.
    """
    ready = [each for each in waiting if each.has_turn(request)] or sorted(waiting, key=lambda each: each.broken)
    alone = ready[:1] if ready and ready[0].is_doubtful else [each for each in ready if not each.is_doubtful]
    return [(each.position, each.identity) for each in alone]


class SendingOrder:
    """Writes and reads the codes of one tablet.

    `find_key` returns the key that drafts are encrypted with, or no bytes. `draw_key` draws it if there is none.
    """

    def __init__(self, find_key: Callable[[], bytes], draw_key: Callable[[], bytes]) -> None:
        self._find_key, self._draw_key = find_key, draw_key
        self._read = dict[tuple[str, bytes], int]()  # A wipe destroys the key while they still wait.

    def seal_urgency(self, jti: str, urgency: str) -> bytes:
        """Return the code of a screening's urgency; no bytes if it is not known."""
        if urgency not in RANKS:
            return b""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + _cipher(self._draw_key()).encrypt(nonce, bytes([RANKS.index(urgency)]), jti.encode())

    def ranks(self, codes: list[tuple[str, bytes]]) -> list[int]:
        """Return the rank of each screening (jti, code): 0 is sent first. A code that cannot be read gives 0."""
        if key := self._find_key():
            cipher = _cipher(key)
            self._read = {each: _open_rank(cipher, *each) for each in codes if each[1]}
        return [self._read.get(each, FIRST) for each in codes]


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"chaski-1/urgency").derive(key))


def _open_rank(cipher: AESGCM, jti: str, code: bytes) -> int:
    try:
        return cipher.decrypt(code[:NONCE_BYTES], code[NONCE_BYTES:], jti.encode())[0]
    except (InvalidTag, ValueError):
        return FIRST
