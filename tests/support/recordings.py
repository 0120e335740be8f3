"""Recordings of silence of any length, built byte by byte: Opus in Ogg, and MP3. For the tests of audio prompts."""

from __future__ import annotations

import struct

SILENCE = b"\xf8\xff\xfe"
"""An Opus packet of 20 ms (RFC 6716): one CELT frame, mono, silent."""
CONTINUED, FIRST, LAST = 1, 2, 4
"""Flags of an Ogg page (RFC 3533, 6)."""

_PACKETS = 50  # One Ogg page holds one second.


def opus(
    seconds: float = 1.0,
    *,
    channels: int = 1,
    head: bytes = b"OpusHead",
    serial: int = 7,
    pre_skip: int = 0,
    began: int = 0,
    claim: int | None = None,
) -> bytes:
    """Make an Ogg stream (RFC 7845) with that many seconds of silence.

    `pre_skip`, `began` (the position of the first packet's samples in the stream) and `claim` (the last granule
    position) count samples at 48 kHz.
    """
    packets = round(seconds * _PACKETS)
    pages = opus_headers(channels=channels, head=head, serial=serial, pre_skip=pre_skip)
    for start in range(0, packets, _PACKETS):
        some = [SILENCE] * min(_PACKETS, packets - start)
        position, is_last = began + (start + len(some)) * 960, start + len(some) == packets
        if is_last and claim is not None:
            position = claim
        pages.append(page(some, len(pages), serial, position, flags=LAST if is_last else 0))
    return b"".join(pages)


def opus_headers(
    *, channels: int = 1, head: bytes = b"OpusHead", serial: int = 7, pre_skip: int = 0, version: int = 1
) -> list[bytes]:
    """Make the two header pages before the audio."""
    identity = struct.pack("<8sBBHIhB", head, version, channels, pre_skip, 48_000, 0, 0)
    tags = struct.pack("<8sI6sI", b"OpusTags", 6, b"chaski", 0)
    return [page([identity], 0, serial, 0, flags=FIRST), page([tags], 1, serial, 0)]


def mp3(seconds: float = 1.0, *, header: bytes = b"\xff\xfb\x10\xc0") -> bytes:
    """Make silent frames of MPEG 1 layer III, 32 kbit/s, 44.1 kHz, mono; each has 104 bytes and about 26 ms."""
    return (header + bytes(100)) * round(seconds * 44_100 / 1152)


def ape(*, header: bool = False, size: int = 0) -> bytes:
    """An APEv2 tag with one item, as mp3gain writes it, with or without its header. `size`: a false length."""
    item = struct.pack("<2I", 2, 0) + b"MP3GAIN_MINMAX\0ok"
    ends = struct.pack("<8s4I8x", b"APETAGEX", 2000, size or len(item) + 32, 1, header << 31)
    return (ends if header else b"") + item + ends


def information(
    tag: bytes = b"Info", *, frames: int, delay: int = 0, padding: int = 0, by: bytes = b"LAME3.100"
) -> bytes:
    """Make the frame that LAME puts first: the number of frames that follow, and the samples that it added."""
    numbers = struct.pack(">4sIII100xI9s", tag, 15, frames, 0, 0, by)
    return (b"\xff\xfb\x50\xc0" + bytes(17) + numbers + bytes(12) + (delay << 12 | padding).to_bytes(3, "big")).ljust(
        208, b"\0"
    )


def id3(size: int = 300) -> bytes:
    """Make an ID3v2.4 tag with that many bytes of padding after its header."""
    return b"ID3\x04\x00\x00" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)


def page(
    packets: list[bytes], number: int, serial: int, position: int, *, flags: int = 0, goes_on: bool = False
) -> bytes:
    """Make an Ogg page (RFC 3533, 6).

    With `goes_on` the last packet, of a multiple of 255 bytes, continues on the next page.
    """
    lacing = b"".join(b"\xff" * (len(each) // 255) + bytes([len(each) % 255]) for each in packets)
    lacing = lacing[:-1] if goes_on else lacing
    head = struct.pack("<4sBBqII", b"OggS", 0, flags, position, serial, number)
    rest = bytes([len(lacing)]) + lacing + b"".join(packets)
    return head + struct.pack("<I", _checksum(head + bytes(4) + rest)) + rest


def _checksum(content: bytes) -> int:
    """Compute the page's CRC-32 as RFC 3533 defines it: polynomial 0x04c11db7, from 0."""
    register = 0
    for byte in content:
        register = _TABLE[(register >> 24) ^ byte] ^ (register << 8 & 0xFFFFFFFF)
    return register


def _of_byte(byte: int) -> int:
    register = byte << 24
    for _ in range(8):
        register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
    return register & 0xFFFFFFFF


_TABLE = [_of_byte(byte) for byte in range(256)]
