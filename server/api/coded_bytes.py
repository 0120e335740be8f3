"""Responses with exact bytes, and the codings in which they travel: each is made once and kept.

Both APIs call it. A coding that a stranger asks for costs a bounded amount of work: only one is made at a time, outside
any transaction, from bytes that the server has published.
"""

from __future__ import annotations

import hashlib
import json
import threading
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Response, request

from sync.durations import DAY, SECOND, YEAR
from sync.exchange.codings import DCZ, GZIP, PLAIN, ZSTD, encode, starter_dictionary
from sync.keys.key_pairs import key_id

DOCUMENT_TYPE = "application/octet-stream"
"""Media type of signed documents and public keys."""
BEST_LEVEL, FAST_LEVEL = 19, 12
"""Zstandard's levels: 160 ms and 7 ms for a form. The best one is for bytes that are coded once in their life."""
DICTIONARY_SECONDS = 30 * DAY // SECOND
_MIN_BYTES = 512
_OVERHEAD_BYTES = 512  # Of an entry, about: many small ones count too.


class CodedBytes:
    """Coded bytes by the hashes of the plain ones and of the dictionary, the last used ones, at most `most` bytes.

    A count would not do: a stranger who asks for more documents than fit makes the server compress each one again.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held, self._lock, self._making = most, 0, threading.Lock(), threading.Lock()
        self._coded: OrderedDict[tuple[bytes, str, bytes], bytes] = OrderedDict()

    def get(self, body: bytes, coding: str, dictionary: bytes = b"", level: int = BEST_LEVEL) -> bytes:
        """Return bytes in a coding. Bytes that are kept come at once, even while others are made."""
        name = _name(body, coding, dictionary)
        if (kept := self._find(name)) is not None:
            return kept
        with self._making:  # One at a time: what strangers ask for together must not take every processor.
            if (kept := self._find(name)) is not None:
                return kept
            made = encode(body, coding, level=level, dictionary=dictionary)
            self._keep(name, made)
        return made

    def find(self, body: bytes, coding: str, dictionary: bytes) -> bytes | None:
        """Return bytes that are kept. Others are made meanwhile, for those who ask later."""
        kept = self._find(_name(body, coding, dictionary))
        if kept is None and not self._making.locked():
            threading.Thread(target=self.get, args=(body, coding, dictionary, FAST_LEVEL), daemon=True).start()
        return kept

    def _find(self, name: tuple[bytes, str, bytes]) -> bytes | None:
        with self._lock:
            if name in self._coded:
                self._coded.move_to_end(name)
            return self._coded.get(name)

    def _keep(self, name: tuple[bytes, str, bytes], made: bytes) -> None:
        with self._lock:
            self._coded[name] = made
            self._held += len(made) + _OVERHEAD_BYTES
            while self._held > self._most and len(self._coded) > 1:
                self._held -= len(self._coded.popitem(last=False)[1]) + _OVERHEAD_BYTES

    def held(self) -> list[bytes]:
        """Return what is kept, the last used last."""
        with self._lock:
            return list(self._coded.values())


def _name(body: bytes, coding: str, dictionary: bytes) -> tuple[bytes, str, bytes]:
    return hashlib.sha256(body).digest(), coding, hashlib.sha256(dictionary).digest()


CODED = CodedBytes(most=64 * 2**20)
"""What this process keeps of documents and form versions."""
CODED_JSON = CodedBytes(most=2 * 2**20)
"""What it keeps of JSON. A stranger can ask for any number of different ones, which must not displace the forms."""


class OnceMade:
    """Bytes that the process makes once, at the first request for them. Requests at the same time wait for them."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: tuple[bytes, str] | None = None

    def answer(self, mimetype: str) -> Response:
        """Return the bytes with an ETag, or 304 to a client that has them."""
        with self._lock:
            if self._made is None:
                body = self._make()
                self._made = body, hashlib.sha256(body).hexdigest()
            made = self._made
        return signed_bytes(*made, immutable=False, mimetype=mimetype)


def signed_bytes(body: bytes, name: str, *, immutable: bool, mimetype: str = DOCUMENT_TYPE) -> Response:
    """Return signed bytes unchanged. `name` is the ETag. `immutable`: the bytes under this name never change."""
    response = Response(body, mimetype=mimetype)
    response.vary.add("Accept-Encoding")
    if immutable:
        cache_forever(response)
    else:
        response.cache_control.no_cache = True
    # A weak ETag, because the same name stands for every coding.
    response.set_etag(name, weak=True)
    response.make_conditional(request)
    if response.status_code != HTTPStatus.NOT_MODIFIED:
        _code_body(response, body, CODED, BEST_LEVEL)
    return response


def coded_json(content: dict[str, Any], status: int = HTTPStatus.OK) -> Response:
    """Return JSON for one client, coded as it accepts."""
    body = json.dumps(content, separators=(",", ":")).encode()
    response = Response(body, status, mimetype="application/json")
    _code_body(response, body, CODED_JSON, FAST_LEVEL)
    return response


def _code_body(response: Response, body: bytes, cache: CodedBytes, level: int) -> None:
    coding = accepted_coding()
    if len(body) >= _MIN_BYTES and coding and len(coded := cache.get(body, coding, level=level)) < len(body):
        response.set_data(coded)
        response.content_encoding = coding


def accepted_coding() -> str:
    """Return the best coding without a dictionary that the client accepts."""
    accepted = request.accept_encodings
    return next((coding for coding in (ZSTD, GZIP) if accepted.quality(coding) > 0), PLAIN)


def bundle_response(body: bytes, form: str, sha: str, find_dictionary: Callable[[str, str], bytes]) -> Response:
    """Return a form version, which is the dictionary of the next one and may be written with one (RFC 9842).

    The client names its dictionary by the hash of its bytes and by the id that a former response gave it: the version.
    `find_dictionary` returns these bytes, or none. A coded version has a strong ETag, so that a client that was cut
    off may ask for the rest.
    """
    version = request.headers.get("Dictionary-ID", "").strip('"')
    offered = _read_available() if request.accept_encodings.quality(DCZ) > 0 else ""
    dictionary = find_dictionary(offered, version) if offered else b""
    coding = DCZ if dictionary else accepted_coding()
    coded = code_bundle(body, coding, dictionary) if coding else body
    response = resumable(Response(coded, mimetype=DOCUMENT_TYPE), coded)
    # A browser uses only a fresh response as a dictionary. Shared caches must not hold back renewed signatures.
    response.cache_control.no_cache = None
    response.cache_control.private, response.cache_control.max_age = True, DICTIONARY_SECONDS
    response.headers["Use-As-Dictionary"] = f'match="/v1/forms/{form}/*", id="{sha}"'
    response.vary.update(("Accept-Encoding", "Available-Dictionary"))
    if coding:
        response.content_encoding = coding
    return response


def code_bundle(body: bytes, coding: str, dictionary: bytes = b"") -> bytes:
    """Return a form version in a coding. Pairs with another version are many, so that less time is spent on each."""
    paired = dictionary and dictionary != starter_dictionary()
    return CODED.get(body, coding, dictionary, FAST_LEVEL if paired else BEST_LEVEL)


def find_delta(body: bytes, dictionary: bytes) -> bytes | None:
    """Return the delta of a form version to another one if it is kept; otherwise it is made meanwhile."""
    return CODED.find(body, DCZ, dictionary)


def resumable(response: Response, body: bytes) -> Response:
    """Let a client ask for a part of exactly these bytes. Raises a problem for a range outside them."""
    response.cache_control.no_cache = True
    response.cache_control.no_transform = True
    response.set_etag(key_id(body))  # Short, since a tablet sends it back over its line.
    response.make_conditional(request, accept_ranges=True, complete_length=len(body))
    return response


def _read_available() -> str:
    """Return the hash that `Available-Dictionary` names, in hexadecimal; empty if there is none, or a false one."""
    written = request.headers.get("Available-Dictionary", "").strip()
    try:
        named = b64decode(written.strip(":"), validate=True)
    except (Base64Error, ValueError):
        return ""
    return named.hex() if written == f":{b64encode(named).decode()}:" and len(named) == 32 else ""


def cache_forever(response: Response) -> None:
    """Let clients cache a response for ever. Its path contains the hash of its bytes."""
    response.cache_control.max_age = YEAR // SECOND
    response.cache_control.public = True
    response.cache_control.immutable = True
