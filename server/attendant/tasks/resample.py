"""Changes the sampling rate of a signal, by a polyphase filter."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_ZEROS = 32  # of the sinc, on each side
_ROLLOFF = 0.945  # the passband's part of the lower Nyquist frequency
_KAISER_BETA = 9.0  # about 90 dB of stopband

Floats = npt.NDArray[np.float64]


def resampled_length(length: int, rate: int, target: int) -> int:
    """How many samples ``length`` samples at ``rate`` become at ``target``, both in Hz."""
    return -(-length * target // rate)


def resample(samples: Floats, rate: int, target: int) -> Floats:
    """The band-limited signal ``samples`` at another rate.

    Sample n of the result is at the time n / target: a windowed sinc around it weighs the samples given, and outside
    of them the signal is zero. The sinc's place between two samples repeats after a few results; those of one place
    ("phase") are computed at once. See J. O. Smith, "Digital Audio Resampling".

    Args:
        samples: [n] float64. rate: theirs, in Hz. target: of the result, in Hz.

    Returns:
        [ceil(n * target / rate)] float64.
    """
    divisor = math.gcd(rate, target)
    down, up = rate // divisor, target // divisor
    length = resampled_length(len(samples), rate, target)
    if up == down:
        return samples
    cutoff = _ROLLOFF * min(1.0, target / rate)  # in units of the given rate's Nyquist frequency
    reach = math.ceil(_ZEROS / cutoff)  # samples on each side
    padded = np.concatenate([np.zeros(reach), samples, np.zeros(reach + down + 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    result = np.empty(length)
    for phase in range(min(up, length)):
        first, rest = divmod(phase * down, up)
        kernel = _kernel(rest / up, cutoff, reach)
        count = -(-(length - phase) // up)
        result[phase::up] = windows[first : first + (count - 1) * down + 1 : down] @ kernel
    return result


def _kernel(fraction: float, cutoff: float, reach: int) -> Floats:
    """[2 * reach + 1] float64: weights of the samples around the place ``fraction`` after the middle one; sum 1."""
    distance = np.arange(-reach, reach + 1) - fraction
    inside = np.clip(1 - (distance / (reach + 1)) ** 2, 0, None)
    weights = np.sinc(cutoff * distance) * np.i0(_KAISER_BETA * np.sqrt(inside))
    total: Floats = weights / weights.sum()
    return total
