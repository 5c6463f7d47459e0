"""Changes the sampling rate of a signal, by a polyphase filter."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_ZEROS = 32  # of the sinc, on each side
_ROLLOFF = 0.945  # the passband's part of the lower Nyquist frequency
_KAISER_BETA = 9.0  # about 90 dB of stopband
_MAX_PHASES = 1024  # whose weights are computed one by one; those of more lie on lines between some, 115 dB off
_TABLE_SIZE = 512

Floats = npt.NDArray[np.float64]


def resampled_length(length: int, rate: int, target: int) -> int:
    """How many samples ``length`` samples at ``rate`` become at ``target``, both in Hz."""
    return -(-length * target // rate)


def resample(samples: Floats, rate: int, target: int) -> Floats:
    """The band-limited signal ``samples`` at another rate.

    Sample n of the result is at the time n / target: a windowed sinc around it weighs the samples given, and outside
    of them the signal is zero. The sinc's place between two samples repeats after a few results; those of one place
    ("phase") are computed at once. See J. O. Smith, "Digital Audio Resampling", also for the table of many phases.

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
    cutoff, reach = _filter(rate, target)
    padded = np.concatenate([np.zeros(reach), samples, np.zeros(reach + down + 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    result = np.empty(length)
    table = _kernels(np.linspace(0, 1, _TABLE_SIZE + 1) if up > _MAX_PHASES else np.arange(up) / up, cutoff, reach)
    for phase in range(min(up, length)):
        first, rest = divmod(phase * down, up)
        kernel = table[rest] if up <= _MAX_PHASES else _between(table, rest / up)
        count = -(-(length - phase) // up)
        result[phase::up] = windows[first : first + (count - 1) * down + 1 : down] @ kernel
    return result


class Resampler:
    """:func:`resample` for a signal that comes in pieces: what it gives of them, one after another, is the same."""

    def __init__(self, rate: int, target: int) -> None:
        self._rate, self._target = rate, target
        divisor = math.gcd(rate, target)
        self._down, self._up = rate // divisor, target // divisor
        self._reach = _filter(rate, target)[1]
        self._margin = -(-self._reach // self._down) * self._down
        self._known = np.empty(0)  # the signal from ``_lead`` samples before the first one without a result
        self._lead = 0  # a multiple of ``_down``, so that the phases begin anew after it

    def push(self, samples: Floats) -> Floats:
        """What is settled of the result by now: [m] float64. ``samples``: the next of the signal, [n] float64."""
        if self._down == self._up:
            return samples
        self._known = np.concatenate([self._known, samples])
        settled = (len(self._known) - self._lead - self._reach) // self._down * self._down
        if settled <= 0:
            return np.empty(0)
        result = self._results(self._known[: self._lead + settled + self._reach])[: settled // self._down * self._up]
        kept = max(0, self._lead + settled - self._margin)
        self._lead += settled - kept
        self._known = self._known[kept:].copy()
        return result

    def finish(self) -> Floats:
        """The rest of the result: [m] float64."""
        return self._results(self._known)

    def _results(self, known: Floats) -> Floats:
        return resample(known, self._rate, self._target)[self._lead // self._down * self._up :]


def _filter(rate: int, target: int) -> tuple[float, int]:
    """The sinc's cutoff in units of the given rate's Nyquist frequency, and its samples on each side."""
    cutoff = _ROLLOFF * min(1.0, target / rate)
    return cutoff, math.ceil(_ZEROS / cutoff)


def _kernels(fractions: Floats, cutoff: float, reach: int) -> Floats:
    """[num_fractions, 2 * reach + 1] float64: weights of the samples around the places ``fractions`` [num_fractions]
    after the middle one; the sum of each is 1."""
    distance = np.arange(-reach, reach + 1) - fractions[:, None]
    inside = np.clip(1 - (distance / (reach + 1)) ** 2, 0, None)
    weights = np.sinc(cutoff * distance) * np.i0(_KAISER_BETA * np.sqrt(inside))
    total: Floats = weights / weights.sum(axis=1, keepdims=True)
    return total


def _between(table: Floats, fraction: float) -> Floats:
    """The kernel of ``fraction``, below 1, from those of the places around it."""
    place, rest = divmod(fraction * _TABLE_SIZE, 1)
    row = int(place)
    kernel: Floats = table[row] + rest * (table[row + 1] - table[row])
    return kernel
