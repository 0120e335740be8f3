"""Reads the duration and the channels of Ogg Opus and MP3 sounds.

The bytes are untrusted, and a header may claim any duration. So it adds the durations of all packets or frames. It must
not decode sound, open a file, or raise anything but SoundError.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass


class SoundError(ValueError):
    """The bytes are not one whole sound."""


class CodecError(SoundError):
    """The bytes are a sound of another codec."""


@dataclass(frozen=True)
class Sound:
    """The sound as a player plays it. `seconds` includes gaps in the stream, and excludes skipped samples."""

    seconds: float
    channels: int


# Ogg (RFC 3533) with Opus (RFC 7845, RFC 6716).

OPUS_RATE = 48_000  # Hz. Ogg counts Opus samples at this rate, even if the recording had another one (RFC 7845, 4).

_CONTINUED, _FIRST, _LAST = 1, 2, 4  # Flags of a page.
_PAGE = struct.Struct("<4sBBqIIIB")  # "OggS", version, flags, granule position, serial, number, CRC, lacing values.
_OPUS_HEAD = struct.Struct("<8sBBH")  # "OpusHead", version, channels, pre-skip in samples (RFC 7845, 5.1).
_FRAMES = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4  # Samples (RFC 6716, table 2).
_LONGEST_PACKET = 5760  # Samples, 120 ms (RFC 6716, 3.2.5).
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class _Page:
    flags: int
    granule: int
    serial: int
    number: int
    lacing: bytes
    body: bytes


def read_opus(content: bytes) -> Sound:
    """Read an Ogg file of exactly one whole Opus stream; raises SoundError, or CodecError for another codec."""
    pages = _pages(content)
    if not pages[0].body.startswith(b"OpusHead"):
        raise CodecError("the first stream is not Opus")
    _check_one_stream(pages)
    packets = _packets(pages)
    tags = next((at for at, ended in enumerate(packets) if at and ended), 0)
    if [len(packets[0]), len(packets[tags])] != [1, 1] or not packets[tags][0].startswith(b"OpusTags"):
        raise SoundError("each of the two headers needs a page of its own (RFC 7845, 3)")
    if len(packets[0][0]) < 19:
        raise SoundError("the identification header is cut")
    _, version, channels, pre_skip = _OPUS_HEAD.unpack_from(packets[0][0])
    if version >> 4:
        raise SoundError("a later, incompatible version of the mapping (RFC 7845, 5.1)")
    samples = [sum(map(_samples, ended)) for ended in packets[tags + 1 :]]
    return Sound((_played(samples, [page.granule for page in pages[tags + 1 :]]) - pre_skip) / OPUS_RATE, channels)


def _played(samples: list[int], positions: list[int]) -> int:
    """Count the samples that a decoder plays, from the samples and the granule position of each page.

    The stream may begin before the file; the first position shows it. The last position may cut the end (RFC 7845, 4.3
    to 4.5), but at most its own page, because a decoder has played all earlier pages. Positions may also leave gaps;
    these count as time.
    """
    began = next((position - count for count, position in zip(samples, positions, strict=True) if count), 0)
    end = max(0, began) + sum(samples)
    return sum(samples) - min(end - positions[-1], samples[-1]) if samples else 0


def _pages(content: bytes) -> list[_Page]:
    """Read every page up to the last byte (RFC 3533, 6)."""
    pages, at = [], 0
    while at < len(content):
        if len(content) - at < _PAGE.size:
            raise SoundError("a page's header is cut")
        magic, version, flags, granule, serial, number, checksum, count = _PAGE.unpack_from(content, at)
        lacing = content[at + _PAGE.size : at + _PAGE.size + count]
        start = at + _PAGE.size + count
        end = start + sum(lacing)
        if magic != b"OggS" or version or end > len(content):
            raise SoundError("these bytes are not a page, or a page is cut")
        if _checksum(content[at : at + 22] + bytes(4) + content[at + 26 : end]) != checksum:
            raise SoundError("a page is damaged")
        pages.append(_Page(flags, granule, serial, number, lacing, content[start:end]))
        at = end
    if not pages:
        raise SoundError("the file has no page")
    return pages


def _checksum(page: bytes) -> int:
    """Compute the CRC of a page; zlib's has the same polynomial, other start and end values, and mirrored bits."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _check_one_stream(pages: list[_Page]) -> None:
    for index, page in enumerate(pages):
        ends = _FIRST * (index == 0) | _LAST * (index == len(pages) - 1)
        if page.flags & (_FIRST | _LAST) != ends or page.serial != pages[0].serial:
            raise SoundError("the file is not exactly one whole stream")
        if page.number != pages[0].number + index:
            raise SoundError("a page is missing")


def _packets(pages: list[_Page]) -> list[list[bytes]]:
    """Return for each page the packets that end on it. A lacing value of 255 means that the packet continues."""
    found, left = [], bytearray()
    for page in pages:
        if bool(page.flags & _CONTINUED) != bool(left):
            raise SoundError("part of a packet is missing")
        ended, at = [], 0
        for size in page.lacing:
            left += page.body[at : at + size]
            at += size
            if size < 255:
                ended.append(bytes(left))
                left.clear()
        found.append(ended)
    if left:
        raise SoundError("the last packet is cut")
    return found


def _samples(packet: bytes) -> int:
    """Count the samples of an Opus packet, at 48 kHz, from its first two bytes (RFC 6716, 3.1 and 3.2.5)."""
    if not packet or (packet[0] & 3 == 3 and len(packet) < 2):
        raise SoundError("an Opus packet is cut")
    frames = packet[1] & 63 if packet[0] & 3 == 3 else min(packet[0] & 3, 1) + 1
    samples = frames * _FRAMES[packet[0] >> 3]
    if not 0 < samples <= _LONGEST_PACKET:
        raise SoundError("an Opus packet is empty, or longer than 120 ms")
    return samples


# MPEG audio (ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3; lower sampling rates: ISO/IEC 13818-3), layer III.

FEWEST_FRAMES = 4
"""The fewest MP3 frames of a sound, about 0.1 s. Fewer may be other bytes that look like frames by chance."""

_MPEG_1, _MPEG_2, _MPEG_2_5 = 3, 2, 0  # As the header writes them; 2.5 is Fraunhofer's extension.
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = (44_100, 48_000, 32_000)  # Hz in MPEG 1; half of it in MPEG 2, a quarter in 2.5.
_SAME = 0xFFFE0C00  # Version, layer and sampling rate: equal in all frames of a stream.
_ID3_1_BYTES = 128
_APE_BYTES = 32  # The header of an APE tag, and its footer (APEv2 specification, APE tags header/footer).
_LAME_FLAGS = 15  # The four fields that LAME and FFmpeg write before their name.


@dataclass(frozen=True)
class _Frame:
    header: int
    version: int
    channels: int
    rate: int  # Hz
    samples: int
    size: int  # bytes


def read_mp3(content: bytes) -> Sound:
    """Read a file of MPEG audio frames, with optional ID3 and APE tags before and after; raises SoundError."""
    start = at = _after_id3(content)
    end = _before_tags(content)
    first = frame = _frame(content, at)
    count = 0
    while at < end:
        frame = _frame(content, at)
        if (frame.header ^ first.header) & _SAME:
            raise SoundError("a frame belongs to another stream")
        at += frame.size
        count += 1
    if at > end or count < FEWEST_FRAMES:
        raise SoundError("the last frame is cut, or there are too few frames")
    samples = count * first.samples - _silent(content[start : start + first.size], first, count)
    return Sound(samples / first.rate, first.channels)


def _after_id3(content: bytes) -> int:
    """Return where the frames begin: after any ID3v2 tags (id3.org, ID3v2.4, 3.1). Sizes use 7 bits of each byte."""
    at = 0
    while content.startswith(b"ID3", at) and len(content) - at >= 10:
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 127
        at += 10 + size + (10 if content[at + 5] & 16 else 0)  # The flag is set if a footer follows.
    return at


def _before_tags(content: bytes) -> int:
    """Return where the frames end: before an ID3v1 tag, and an APE tag before it. Its footer has the tag's length."""
    end = len(content)
    if content[-_ID3_1_BYTES:].startswith(b"TAG") and end >= _ID3_1_BYTES:
        end -= _ID3_1_BYTES
    footer = content[max(end - _APE_BYTES, 0) : end]
    if footer.startswith(b"APETAGEX"):
        size, _, flags = struct.unpack("<3I", footer[12:24])
        end -= min(size + (_APE_BYTES if flags >> 31 else 0), end)  # The flag is set if a header comes before the tag.
    return end


def _frame(content: bytes, at: int) -> _Frame:
    """Read a frame's header of 32 bits."""
    header = int.from_bytes(content[at : at + 4], "big")
    version, layer = header >> 19 & 3, header >> 17 & 3
    kbits, rate = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer == 0 or kbits in (0, 15) or rate == 3:
        raise SoundError("these bytes are not a frame")
    if layer != 1:
        raise CodecError("layer I or II")
    samples = 1152 if version == _MPEG_1 else 576
    hertz = _RATES[rate] >> {_MPEG_1: 0, _MPEG_2: 1, _MPEG_2_5: 2}[version]
    size = samples // 8 * (_KBITS_1 if version == _MPEG_1 else _KBITS_2)[kbits] * 1000 // hertz + (header >> 9 & 1)
    return _Frame(header, version, 1 if header >> 6 & 3 == 3 else 2, hertz, samples, size)


def _silent(content: bytes, frame: _Frame, count: int) -> int:
    """Count the samples that a player skips: the information frame, and the samples that the encoder added.

    Encoders write Xing's or Fraunhofer's information in place of the first frame's sound. LAME and FFmpeg also write
    the numbers of samples that they added before and after the sound, at most 4095 each. These numbers count only if
    the information has the right number of frames.
    """
    if content.startswith(b"VBRI", 36):
        return frame.samples
    side = {1: 17, 2: 32}[frame.channels] if frame.version == _MPEG_1 else {1: 9, 2: 17}[frame.channels]
    tag = content[4 + side :]
    if not tag.startswith((b"Xing", b"Info")):
        return 0
    flags, frames = int.from_bytes(tag[4:8], "big"), int.from_bytes(tag[8:12], "big")
    if flags != _LAME_FLAGS or frames != count - 1 or not tag.startswith((b"LAME", b"Lavf", b"Lavc"), 120):
        return frame.samples
    added = int.from_bytes(tag[141:144], "big")
    return frame.samples + (added >> 12) + (added & 4095)
