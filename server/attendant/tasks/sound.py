"""Recordings to one channel at a model's rate, piece by piece: a long one is never in memory as a whole."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attendant.core.errors import InvalidRequest
from attendant.tasks.audio import check_rate, check_samples
from attendant.tasks.decoder import Decoder
from attendant.tasks.resample import Resampler, resampled_length

_BLOCK_S = 10  # seconds that are decoded at once
_PCM16_PEAK = 2.0**15

Floats = npt.NDArray[np.float32]


class Converter:
    """Samples of one channel at ``rate`` Hz to those at ``target`` Hz, as they come.

    Args:
        max_duration_s: longer sound is refused.
        field: names the sound in errors. rate_field: its rate.

    Raises:
        InvalidRequest: a rate that is out of range.
    """

    def __init__(self, rate: int, target: int, max_duration_s: float, field: str, rate_field: str) -> None:
        check_rate(rate, rate_field)
        self.rate = rate
        self._max_duration_s = max_duration_s
        self._field = field
        self._resampler = Resampler(rate, target)
        self._num_samples = 0

    def check_length(self, num_samples: int) -> None:
        """Raises InvalidRequest: so many samples are longer than what is allowed."""
        if num_samples > self._max_duration_s * self.rate:
            raise InvalidRequest(
                self._field,
                f"is longer than allowed: {num_samples / self.rate:.1f} s; allowed: {self._max_duration_s:g} s "
                "(speech.max_duration_s)",
            )

    def push(self, samples: npt.NDArray[np.float64]) -> Floats:
        """What the next ``samples`` [n] give: [m] float32.

        Raises:
            InvalidRequest: too long by now, or samples that are not finite or far beyond full scale.
        """
        self._num_samples += len(samples)
        self.check_length(self._num_samples)
        check_samples(samples, self._field)
        return self._resampler.push(samples).astype(np.float32)

    def finish(self) -> Floats:
        """What is left: [m] float32.

        Raises:
            InvalidRequest: there was no sound at all.
        """
        if not self._num_samples:
            raise InvalidRequest(self._field, "has no sound; allowed: at least one sample")
        return self._resampler.finish().astype(np.float32)


class SoundFile:
    """A file that libsndfile reads, its channels averaged, at ``target`` Hz. One that ends early gives what it has.

    Args:
        max_duration_s: a longer one is refused.
        field: names the file in errors.

    Raises:
        InvalidRequest: of no known format, empty, too long, or of a rate that is out of range.
    """

    def __init__(self, data: bytes, target: int, max_duration_s: float, field: str) -> None:
        self._reader = Decoder(data, field)
        self._converter = Converter(self._reader.sampling_rate, target, max_duration_s, field, field)
        if self._reader.num_samples is not None:
            self._converter.check_length(self._reader.num_samples)
        self._target = target
        self._ended = False

    @property
    def early_end(self) -> str | None:
        """What tells that the file is not whole, in words; None where nothing has yet."""
        return self._reader.early_end

    @property
    def num_samples(self) -> int | None:
        """How many it has at ``target`` Hz, as its header says; None where only reading it tells."""
        known = self._reader.num_samples
        return None if known is None else resampled_length(known, self._reader.sampling_rate, self._target)

    def read(self) -> Floats | None:
        """The next samples, [n] float32; None at the end.

        Raises:
            InvalidRequest: broken from its begin on, without any sound, or with samples that are not finite.
        """
        if self._ended:
            return None
        samples = self._reader.read(_BLOCK_S * self._reader.sampling_rate)
        if len(samples):
            return self._converter.push(samples)
        self._ended = True
        return self._converter.finish()


def check_pcm16(data: bytes, field: str) -> None:
    """Raises InvalidRequest for half a sample."""
    if len(data) % 2:
        raise InvalidRequest(field, f"has {len(data)} bytes; allowed: 16-bit samples, a multiple of 2 bytes")


def from_pcm16(data: bytes) -> npt.NDArray[np.float64]:
    """Signed 16-bit little-endian samples as floats [n] in -1..1."""
    return np.frombuffer(data, "<i2").astype(np.float64) / _PCM16_PEAK
