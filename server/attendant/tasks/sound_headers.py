"""Headers of sound files that were never finished: made to say what is there, so that libsndfile reads all of it."""

from __future__ import annotations

import struct

_OGG_HEADER = 27  # bytes before a page's table of sizes, which the last of them counts


def mended(data: bytes) -> tuple[bytes, bool]:
    """The file as it should have been closed, and whether its end is missing for certain.

    WAV whose recorder wrote 0 as the size of the samples, and never came back; OGG cut off within a page.
    """
    if data[:4] in (b"RIFF", b"RIFX") and data[8:12] == b"WAVE":
        return _sized(data, ">" if data[:4] == b"RIFX" else "<"), False
    if data[:4] == b"OggS":
        end = _whole_pages(data)
        return (data[:end], True) if 0 < end < len(data) else (data, False)
    return data, False


def _sized(data: bytes, order: str) -> bytes:
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], struct.unpack_from(f"{order}I", data, place + 4)[0]
        place += 8
        if name == b"data":
            left = len(data) - place
            if size or not left or _is_chunks(data, place, order):
                return data
            sizes = struct.pack(f"{order}I", min(left, 0x7FFFFFFF))
            return b"".join((data[: place - 4], sizes, memoryview(data)[place:]))
        place += size + size % 2
    return data


def _is_chunks(data: bytes, place: int, order: str) -> bool:
    """Whether chunks stand from ``place`` to the end, as after samples of which there are none."""
    while place + 8 <= len(data):
        size = struct.unpack_from(f"{order}I", data, place + 4)[0]
        if not data[place : place + 4].isascii() or not data[place : place + 4].strip(b" \0").isalnum():
            return False
        place += 8 + size + size % 2
    return place in (len(data), len(data) + 1)


def _whole_pages(data: bytes) -> int:
    """Where the last page ends that is there as a whole; all of a file in which something else stands."""
    place = 0
    while place < len(data):
        if not b"OggS".startswith(data[place : place + 4]):
            return len(data)
        count = data[place + _OGG_HEADER - 1] if place + _OGG_HEADER <= len(data) else 0
        size = _OGG_HEADER + count + sum(data[place + _OGG_HEADER : place + _OGG_HEADER + count])
        if place + size > len(data):
            return place
        place += size
    return place
