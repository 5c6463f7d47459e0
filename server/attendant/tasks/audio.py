"""Audio to the samples of a model: one channel, its rate, its length, its loudness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attendant.bundle import AudioInput, SpectrumInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.decoder import Decoder
from attendant.tasks.resample import resample, resampled_length

_MIN_RATE, _MAX_RATE = 4_000, 384_000
_BLOCK_S = 30  # seconds that are decoded at once
_MORE_S = 1  # what is decoded beyond the end that is cut off, since resampling looks ahead
_MAX_MAGNITUDE = 2.0**15  # of floats that somebody forgot to divide
_VARIANCE_FLOOR = 1e-7  # of transformers' feature extractors

Floats = npt.NDArray[np.float32]
Heard = AudioInput | SpectrumInput


def file_values(data: bytes, spec: Heard, field: str, *, truncate: bool = False) -> tuple[Floats, str | None]:
    """What a model computes of a sound file, whose channels are averaged.

    Args:
        data: anything that libsndfile reads.
        spec: of the model.
        field: names the file in errors.
        truncate: cut the end off one that is too long.

    Returns:
        [num_samples] float32, at the model's rate; and what tells that the file is not whole, or None.

    Raises:
        InvalidRequest: no such file, of a rate that is out of range, with numbers that are not finite, too short or
            too long.
    """
    file = Decoder(data, field)
    if file.num_samples is None:
        check_rate(file.sampling_rate, field)
    else:
        _check_size(file.num_samples, file.sampling_rate, spec, field, field, truncate=truncate)
    parts: list[npt.NDArray[np.float64]] = []
    num_read, most = 0, spec.max_samples * file.sampling_rate // spec.sampling_rate + 1
    if truncate:
        most += file.sampling_rate * _MORE_S
    while num_read <= most and len(part := file.read(_BLOCK_S * file.sampling_rate)):
        parts.append(part)
        num_read += len(part)
    _check_size(num_read, file.sampling_rate, spec, field, field, truncate=truncate)
    return _values(np.concatenate(parts)[:most], file.sampling_rate, spec, field), file.early_end


def raw_values(
    data: bytes, sampling_rate: int, spec: Heard, field: str, rate_field: str, *, truncate: bool = False
) -> Floats:
    """What a model computes of 32-bit little-endian floats of one channel.

    Args:
        data: in -1..1. sampling_rate: theirs, in Hz.
        spec: of the model.
        field, rate_field: name the samples and their rate in errors.
        truncate: cut the end off those that are too many.

    Returns:
        [num_samples] float32, at the model's rate.

    Raises:
        InvalidRequest: as :func:`file_values`.
    """
    if len(data) % 4:
        raise InvalidRequest(field, f"has {len(data)} bytes; allowed: 32-bit floats, a multiple of 4 bytes")
    _check_size(len(data) // 4, sampling_rate, spec, field, rate_field, truncate=truncate)
    return _values(np.frombuffer(data, "<f4").astype(np.float64), sampling_rate, spec, field)


def check_rate(rate: int, field: str) -> None:
    """Raises InvalidRequest for a sampling rate, in Hz, that is out of range."""
    if not _MIN_RATE <= rate <= _MAX_RATE:
        raise InvalidRequest(field, f"has a sampling rate of {rate} Hz; allowed: {_MIN_RATE} to {_MAX_RATE} Hz")


def check_samples(samples: npt.NDArray[np.float64], field: str) -> None:
    """Raises InvalidRequest for samples [n] that are not finite, or far from full scale at -1 and 1."""
    peak = float(np.abs(samples).max(initial=0.0))  # NaN if one is
    if not peak <= _MAX_MAGNITUDE:
        what = f"a sample of magnitude {peak:g}" if np.isfinite(peak) else "a sample that is infinite or not a number"
        raise InvalidRequest(field, f"has {what}; allowed: finite samples, full scale at -1 and 1")


def _check_size(num_samples: int, rate: int, spec: Heard, field: str, rate_field: str, *, truncate: bool) -> None:
    """Before anything of that size is made."""
    check_rate(rate, rate_field)
    length = resampled_length(num_samples, rate, spec.sampling_rate)
    _check_length(min(length, spec.max_samples) if truncate else length, spec, field)


def _values(samples: npt.NDArray[np.float64], rate: int, spec: Heard, field: str) -> Floats:
    """One channel [n] float64 at ``rate`` Hz to what the model takes, without what is too much of it."""
    check_samples(samples, field)
    samples = resample(samples, rate, spec.sampling_rate)[: spec.max_samples]
    if spec.normalise:
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + _VARIANCE_FLOOR)
    return samples.astype(np.float32)


def _check_length(length: int, spec: Heard, field: str) -> None:
    if spec.min_samples <= length <= spec.max_samples:
        return
    rate = spec.sampling_rate
    raise InvalidRequest(
        field,
        f"has {length} samples at the model's {rate} Hz ({length / rate:.3f} s); allowed: {spec.min_samples} to "
        f"{spec.max_samples} ({spec.min_samples / rate:.3f} to {spec.max_samples / rate:.1f} s)",
    )
