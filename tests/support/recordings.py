"""Recordings of silence, made byte by byte: Opus in Ogg and MP3, of any length, for the tests of audio prompts."""

from __future__ import annotations

import struct
from typing import Any

from mutagen import ogg

SILENCE = b"\xf8\xff\xfe"
"""An Opus packet of 20 ms (RFC 6716): one CELT frame, mono, silent."""

_PACKETS = 50  # One page a second.


def opus(seconds: float = 1.0, *, channels: int = 1, head: bytes = b"OpusHead", serial: int = 7) -> bytes:
    """Make an Ogg stream (RFC 7845) with that much silence."""
    identity = struct.pack("<8sBBHIhB", head, 1, channels, 0, 48_000, 0, 0)
    tags = struct.pack("<8sI6sI", b"OpusTags", 6, b"chaski", 0)
    packets = round(seconds * _PACKETS)
    pages = [_page([identity], 0, serial, 0, first=True), _page([tags], 1, serial, 0)]
    for start in range(0, packets, _PACKETS):
        some = [SILENCE] * min(_PACKETS, packets - start)
        is_last = start + len(some) == packets
        pages.append(_page(some, len(pages), serial, (start + len(some)) * 960, last=is_last))
    return b"".join(pages)


def mp3(seconds: float = 1.0, *, header: bytes = b"\xff\xfb\x10\xc0") -> bytes:
    """Make MPEG 1 frames of layer III, 32 kbit/s, 44.1 kHz, mono; each of 104 bytes and some 26 ms, all silent."""
    return (header + bytes(100)) * round(seconds * 44_100 / 1152)


def _page(
    packets: list[bytes], number: int, serial: int, position: int, *, first: bool = False, last: bool = False
) -> bytes:
    page: Any = ogg.OggPage()  # type: ignore[no-untyped-call]
    page.packets, page.serial, page.sequence, page.position = packets, serial, number, position
    page.first, page.last = first, last
    return bytes(page.write())
