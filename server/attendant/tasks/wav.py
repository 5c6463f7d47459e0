"""WAV files: the RIFF container, and its samples as floats."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attendant.core.errors import InvalidRequest

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_SIZE = 0xFFFFFFFF  # of a file that was written to a pipe
_BLOCK = 1 << 18  # samples that are converted at once
_ALLOWED = "a WAV file of PCM samples of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Format:
    kind: int
    num_channels: int
    sampling_rate: int
    frame_size: int  # bytes of a sample of every channel
    bits: int


@dataclass(frozen=True, slots=True)
class Wav:
    """A file whose header is read; its samples are, when they are asked for."""

    layout: _Format
    body: memoryview

    @property
    def sampling_rate(self) -> int:
        """In Hz."""
        return self.layout.sampling_rate

    @property
    def num_samples(self) -> int:
        """Of each channel."""
        return len(self.body) // self.layout.frame_size

    @property
    def samples(self) -> Floats:
        """[num_samples, num_channels] float64, PCM in -1..1."""
        return self._read(0, self.num_samples)

    def mono(self) -> Floats:
        """The mean of the channels, [num_samples] float64; not all of them are in memory at once."""
        return self.mono_part(0, self.num_samples)

    def mono_part(self, start: int, end: int) -> Floats:
        """The same of the samples from ``start`` up to ``end``, at most :attr:`num_samples`."""
        result = np.empty(end - start)
        step = max(1, _BLOCK // self.layout.num_channels)
        for place in range(start, end, step):
            stop = min(place + step, end)
            result[place - start : stop - start] = self._read(place, stop).mean(axis=1)
        return result

    def _read(self, start: int, end: int) -> Floats:
        size = self.layout.frame_size
        samples = _READERS[self.layout.kind, self.layout.bits](self.body[start * size : end * size])
        return samples.reshape(-1, self.layout.num_channels)


def read_wav(data: bytes, field: str) -> Wav:
    """A WAV file, whose samples are not yet converted.

    Args:
        field: names the file in errors.

    Raises:
        InvalidRequest: not a WAV file, cut off, or of samples that are compressed.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise InvalidRequest(field, f"is no WAV file ({len(data)} bytes); allowed: {_ALLOWED}")
    chunks = _chunks(data, field)
    if b"fmt " not in chunks or b"data" not in chunks:
        lacking = "format" if b"fmt " not in chunks else "samples"
        raise InvalidRequest(field, f"is a WAV file without its {lacking}; allowed: {_ALLOWED}")
    layout = _format(chunks[b"fmt "], field)
    body = chunks[b"data"]
    if len(body) % layout.frame_size:
        raise InvalidRequest(
            field, f"is cut off: its {len(body)} bytes of samples are not a multiple of {layout.frame_size}"
        )
    return Wav(layout, body)


def _chunks(data: bytes, field: str) -> dict[bytes, memoryview]:
    """The chunks up to the samples, by name."""
    found: dict[bytes, memoryview] = {}
    view, place = memoryview(data), 12
    while place + 8 <= len(data) and b"data" not in found:
        name, size = bytes(view[place : place + 4]), struct.unpack_from("<I", data, place + 4)[0]
        place += 8
        left = len(data) - place
        if size > left and not (name == b"data" and size == _UNKNOWN_SIZE):
            raise InvalidRequest(
                field,
                f"is cut off: its part {name.decode('ascii', 'replace')!r} says that it has {size} bytes, "
                f"{left} are there",
            )
        found.setdefault(name, view[place : place + size])
        place += size + size % 2
    return found


def _format(chunk: memoryview, field: str) -> _Format:
    if len(chunk) < 16:
        raise InvalidRequest(field, f"has a format of {len(chunk)} bytes; allowed: {_ALLOWED}")
    kind, channels, rate, _, frame_size, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == _EXTENSIBLE and len(chunk) >= 26:
        kind = struct.unpack_from("<H", chunk, 24)[0]
    if (kind, bits) not in _READERS:
        raise InvalidRequest(field, f"has samples of the kind {kind} with {bits} bits; allowed: {_ALLOWED}")
    if channels == 0 or frame_size != channels * bits // 8:
        raise InvalidRequest(
            field, f"says that {channels} channels of {bits} bits take {frame_size} bytes; allowed: {_ALLOWED}"
        )
    return _Format(kind, channels, rate, frame_size, bits)


def _of_type(dtype: str, zero: int, peak: float) -> Callable[[memoryview], Floats]:
    def read(body: memoryview) -> Floats:
        return (np.frombuffer(body, dtype).astype(np.float64) - zero) / peak

    return read


def _of_24_bits(body: memoryview) -> Floats:
    wide = np.zeros((len(body) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)  # the upper bytes of 32 bits
    samples: Floats = wide.view("<i4")[:, 0].astype(np.float64) / 2**31
    return samples


_READERS: dict[tuple[int, int], Callable[[memoryview], Floats]] = {
    (_PCM, 8): _of_type("<u1", 128, 128),
    (_PCM, 16): _of_type("<i2", 0, 2**15),
    (_PCM, 24): _of_24_bits,
    (_PCM, 32): _of_type("<i4", 0, 2**31),
    (_FLOAT, 32): _of_type("<f4", 0, 1),
    (_FLOAT, 64): _of_type("<f8", 0, 1),
}
