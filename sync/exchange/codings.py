"""The content codings of HTTP bodies: gzip, Zstandard, and Zstandard with a dictionary (`dcz`, RFC 9842).

Both ends call it, and no other module undoes a coding. Bytes of a stranger may inflate to a stated number only, with a
window of at most 8 MiB, and are refused before more memory is used.
"""

import gzip
import hashlib
import zlib
from functools import cache
from importlib import resources

import zstandard

from sync.errors import SyncError

GZIP, ZSTD, DCZ, PLAIN = "gzip", "zstd", "dcz", ""
MAX_WINDOW_BYTES = 8 * 1024 * 1024
"""RFC 9659 and RFC 9842: a reader needs no larger window."""
DCZ_MAGIC = bytes.fromhex("5e2a4d1820000000")
_HASH_BYTES = 32


def encode(data: bytes, coding: str, *, level: int = 0, dictionary: bytes = b"") -> bytes:
    """Write bytes in a coding; the same input always gives the same output. `level` is Zstandard's."""
    if coding == GZIP:
        return gzip.compress(data, mtime=0)
    raw = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if dictionary else None
    settings = zstandard.ZstdCompressionParameters.from_level(level, source_size=len(data) + len(dictionary))
    frame = zstandard.ZstdCompressor(compression_params=settings, dict_data=raw).compress(data)
    return DCZ_MAGIC + hashlib.sha256(dictionary).digest() + frame if coding == DCZ else frame


def decode(data: bytes, coding: str, *, most: int, dictionary: bytes = b"") -> bytes:
    """Return the plain bytes, at most `most` of them. Raise SyncError `transport.bad_coding` for anything else."""
    if coding == PLAIN and len(data) <= most:
        return data
    if coding == GZIP:
        return _inflate(data, most)
    if coding == ZSTD:
        return _decompress(data, most, None)
    if coding == DCZ:
        head, frame = data[: len(DCZ_MAGIC) + _HASH_BYTES], data[len(DCZ_MAGIC) + _HASH_BYTES :]
        if not dictionary or head != DCZ_MAGIC + hashlib.sha256(dictionary).digest():
            raise SyncError("transport.bad_coding", "compressed with another dictionary")
        raw = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        return _decompress(frame, most, raw)
    raise SyncError("transport.bad_coding", f"not a coding that was asked for, or more than {most} bytes")


@cache
def starter_dictionary() -> bytes:
    """Return the dictionary that every client of this protocol has from the start (SPEC 12.2)."""
    packed = resources.files("sync.exchange").joinpath("starter_dictionary.zst").read_bytes()
    return _decompress(packed, MAX_WINDOW_BYTES, None)


def _inflate(data: bytes, most: int) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    try:
        whole = stream.decompress(data, most)
    except zlib.error as problem:
        raise SyncError("transport.bad_coding", str(problem)) from problem
    if not stream.eof or stream.unconsumed_tail or stream.unused_data:
        raise SyncError("transport.bad_coding", f"cut off, or longer than {most} bytes")
    return whole


def _decompress(frame: bytes, most: int, dictionary: zstandard.ZstdCompressionDict | None) -> bytes:
    """Decompress one whole frame. Its head says how much memory it needs, and that is checked before any is used."""
    try:
        head = zstandard.get_frame_parameters(frame)
        size = most if head.content_size == zstandard.CONTENTSIZE_UNKNOWN else head.content_size
        if size > most or head.window_size > max(MAX_WINDOW_BYTES, size):
            raise SyncError("transport.bad_coding", f"longer than {most} bytes, or a window that is too large")
        reader = zstandard.ZstdDecompressor(dict_data=dictionary)
        return reader.decompress(frame, max_output_size=most, allow_extra_data=False)
    except zstandard.ZstdError as problem:
        raise SyncError("transport.bad_coding", str(problem)) from problem
