"""Sound files of any kind that libsndfile reads, decoded piece by piece: WAV, FLAC, OGG, MP3, AIFF, W64, RF64, ..."""

from __future__ import annotations

import io
import re

import numpy as np
import numpy.typing as npt
import soundfile

from attendant.core.errors import InvalidRequest
from attendant.tasks.sound_headers import mended

ALLOWED = "a WAV, FLAC, OGG, MP3, AIFF, W64, RF64 or another file that libsndfile reads"
_BLOCK = 1 << 18  # samples of all channels that are decoded at once
_UNKNOWN_LENGTH = 1 << 36  # samples; what a file of a length that was not known when it was written says is more
_PLACEHOLDER = 1_900_000_000  # bytes: a larger size was written before the true one was known; no request has as many
_GUESSED = ("MP3",)  # formats whose length, where it is not written down, libsndfile makes out of the begin
_SHORTER = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)

Floats = npt.NDArray[np.float64]


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Read from the begin to the end. The library itself would seek to where it is after each read, which fails in
    files that do not say how long they are."""

    def seekable(self) -> bool:
        return False


class Decoder:
    """A file whose header is read; its samples are, in order, as they are asked for.

    A file that ends before its time gives what it has; :attr:`early_end` says so once that is known.

    Args:
        field: names the file in errors.

    Raises:
        InvalidRequest: empty, of no known format, or one whose header is broken.
    """

    def __init__(self, data: bytes, field: str) -> None:
        if not data:
            raise InvalidRequest(field, f"is empty; allowed: {ALLOWED}")
        self._field = field
        data, is_cut = mended(data)
        try:
            self._file = _Forward(io.BytesIO(data))
        except (soundfile.SoundFileError, TypeError, ValueError) as error:
            raise self._broken(error, len(data)) from None
        self.sampling_rate: int = self._file.samplerate
        frames: int = self._file.frames
        self._said = frames if 0 <= frames < _UNKNOWN_LENGTH else None
        self.num_samples = None if self._file.format in _GUESSED else self._said
        """Of each channel, or None if the file does not say."""
        self.early_end: str | None = "the file ends within its last page" if is_cut else self._cut_header()
        """What tells that the file is not whole, in words, or None."""
        self._num_read = 0
        self._ended = False

    def read(self, count: int) -> Floats:
        """The mean of the channels in the next ``count`` samples, fewer at the end: [n] float64 in -1..1.

        Raises:
            InvalidRequest: broken before its first sample.
        """
        parts: list[Floats] = []
        step = max(1, _BLOCK // self._file.channels)
        while count > 0 and not self._ended:
            part = self._next(min(count, step))
            self._num_read += len(part)
            count -= len(part)
            if not len(part):
                self._end()
            parts.append(part.mean(axis=1))
        return np.concatenate(parts) if parts else np.empty(0)

    def _next(self, count: int) -> Floats:
        """[n, num_channels]; where something is broken, what stands before it."""
        room = np.full((count, self._file.channels), np.nan)
        try:
            part: Floats = self._file.read(count, dtype="float64", always_2d=True, out=room)
            return part
        except soundfile.SoundFileError as error:
            missing = np.isnan(room[:, 0])
            whole = room[: int(missing.argmax()) if missing.any() else count]
            if not len(whole) and not self._num_read:
                raise self._broken(error) from None
            self.early_end = f"the file is broken: {_reason(error)}"
            self._ended = True
            return whole

    def _end(self) -> None:
        self._ended = True
        if self.early_end is None and self._said is not None and self._num_read < self._said:
            self.early_end = f"the file says that it has {self._said} samples, {self._num_read} are there"

    def _cut_header(self) -> str | None:
        """What libsndfile found to be shorter than the header says."""
        for said, found in _SHORTER.findall(self._file.extra_info):
            if int(found) < int(said) < _PLACEHOLDER:
                return f"the file says that it has {said} bytes of sound, {found} are there"
        return None

    def _broken(self, error: Exception, size: int | None = None) -> InvalidRequest:
        if "not recognised" in _reason(error):
            return InvalidRequest(self._field, f"is of no known format ({size} bytes); allowed: {ALLOWED}")
        about = f" ({size} bytes)" if size is not None else ""
        return InvalidRequest(
            self._field, f"is a file{about} that cannot be decoded: {_reason(error)}; allowed: {ALLOWED}"
        )


def _reason(error: Exception) -> str:
    text = str(getattr(error, "error_string", error))
    return text.removeprefix("Error : ").splitlines()[0].rstrip(".") if text else type(error).__name__
