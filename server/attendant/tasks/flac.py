"""FLAC files, decoded piece by piece by libsndfile."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import soundfile

from attendant.core.errors import InvalidRequest

MAGIC = b"fLaC"
_BLOCK = 1 << 18  # samples of all channels that are decoded at once
_UNKNOWN_LENGTH = 1 << 36  # samples; what a file of a length that was not known when it was written says is more

Floats = npt.NDArray[np.float64]


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Read from the begin to the end. The library itself would seek to where it is after each read, which fails in
    files that do not say how long they are."""

    def seekable(self) -> bool:
        return False


class Flac:
    """A file whose header is read; its samples are, in order, as they are asked for.

    Args:
        field: names the file in errors.

    Raises:
        InvalidRequest: not a FLAC file, or one whose header is broken.
    """

    def __init__(self, data: bytes, field: str) -> None:
        self._field = field
        try:
            self._file = _Forward(io.BytesIO(data))
        except soundfile.SoundFileError as error:
            raise self._broken(error) from None
        self.sampling_rate: int = self._file.samplerate
        frames: int = self._file.frames
        self.num_samples = frames if 0 <= frames < _UNKNOWN_LENGTH else None
        """Of each channel, or None if the file does not say."""
        self._num_read = 0

    def read(self, count: int) -> Floats:
        """The mean of the channels in the next ``count`` samples, fewer at the end: [n] float64 in -1..1.

        Raises:
            InvalidRequest: the file is broken or cut off.
        """
        parts: list[Floats] = []
        step = max(1, _BLOCK // self._file.channels)
        while count > 0:
            try:
                part = self._file.read(min(count, step), dtype="float64", always_2d=True)  # [n, num_channels]
            except soundfile.SoundFileError as error:
                raise self._broken(error) from None
            self._num_read += len(part)
            count -= len(part)
            if not len(part):
                self._check_complete()
                break
            parts.append(part.mean(axis=1))
        return np.concatenate(parts) if parts else np.empty(0)

    def _check_complete(self) -> None:
        if self.num_samples is not None and self._num_read < self.num_samples:
            raise InvalidRequest(
                self._field, f"is cut off: it says that it has {self.num_samples} samples, {self._num_read} are there"
            )

    def _broken(self, error: soundfile.SoundFileError) -> InvalidRequest:
        reason = str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")
        return InvalidRequest(
            self._field, f"is a FLAC file that cannot be decoded: {reason}; allowed: a whole WAV or FLAC file"
        )
