"""Sound to the log-mel spectrograms that Whisper reads (Radford et al. 2022, section 2.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attendant.bundle import AudioSource

_MAX_FREQUENCY = 8_000.0  # Hz, of the highest filter
_FLOOR = 1e-10  # of a filter's power
_RANGE = 8.0  # decades below the loudest power that are told apart

# Slaney's mel scale: linear up to 1000 Hz, which are 15 mel, and 27 mel for each factor of 6.4 above.
_LINEAR_HZ, _LINEAR_MEL = 1_000.0, 15.0
_LOG_STEP = np.log(6.4) / 27.0

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class LogMel:
    """Windows of sound to what a model's encoder reads. Equal to transformers' WhisperFeatureExtractor for recordings
    of one window; a longer one's windows are each scaled by their own loudest moment, not by the recording's.

    Safe from several threads.
    """

    def __init__(self, spec: AudioSource) -> None:
        self._spec = spec
        angles = 2 * np.pi * np.arange(spec.fft_length) / spec.fft_length
        self._hann = 0.5 - 0.5 * np.cos(angles)  # periodic; [fft_length] float64
        self._filters = mel_filters(spec.fft_length, spec.num_mel_bins, spec.sampling_rate)

    @property
    def num_samples(self) -> int:
        """The number of samples of a window."""
        return self._spec.num_frames * self._spec.hop_length

    def __call__(self, samples: Floats) -> Floats:
        """One window, filled up with silence.

        Args:
            samples: [n] float32, at most :attr:`num_samples`, at the model's sampling rate.

        Returns:
            [num_mel_bins, num_frames] float32.
        """
        spec, half = self._spec, self._spec.fft_length // 2
        assert len(samples) <= self.num_samples, "a window holds no more"
        window = np.zeros(self.num_samples)
        window[: len(samples)] = samples
        padded = np.pad(window, half, mode="reflect")  # frame i is centred on sample i * hop_length
        touched = min(spec.num_frames, -(-(len(samples) + half) // spec.hop_length))  # the frames after them are silent
        frames = np.lib.stride_tricks.sliding_window_view(padded, spec.fft_length)[:: spec.hop_length][:touched]
        spectrum = np.fft.rfft(frames * self._hann)  # [touched, fft_length // 2 + 1] complex128
        power = np.full((spec.num_mel_bins, spec.num_frames), _FLOOR)
        power[:, :touched] = np.maximum(self._filters @ (spectrum.real**2 + spectrum.imag**2).T, _FLOOR)
        decades = np.log10(power)
        scaled: Doubles = (np.maximum(decades, decades.max() - _RANGE) + 4.0) / 4.0
        return scaled.astype(np.float32)


def mel_filters(fft_length: int, num_mel_bins: int, sampling_rate: int) -> Doubles:
    """Triangles on Slaney's mel scale, each of the same area (M. Slaney, "Auditory Toolbox", 1998).

    Returns:
        [num_mel_bins, fft_length // 2 + 1] float64: the weight of each frequency in each bin.
    """
    frequencies = np.linspace(0, sampling_rate // 2, fft_length // 2 + 1)
    corners = _hertz(np.linspace(0.0, _mel(_MAX_FREQUENCY), num_mel_bins + 2))
    weighted: Doubles = triangles(corners, frequencies) * (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return weighted


def triangles(corners: Doubles, places: Doubles) -> Doubles:
    """Weights [bins, places] of ``places`` within triangles: each from one of ``corners`` [bins + 2] to the next but
    one, with 1 at that between them."""
    slopes = corners[:, None] - places  # [bins + 2, places]
    widths = np.diff(corners)[:, None]
    weights: Doubles = np.maximum(0.0, np.minimum(-slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]))
    return weights


def _mel(hertz: float) -> float:
    """Above 1000 Hz."""
    return float(_LINEAR_MEL + np.log(hertz / _LINEAR_HZ) / _LOG_STEP)


def _hertz(mel: Doubles) -> Doubles:
    linear = mel * (_LINEAR_HZ / _LINEAR_MEL)
    logarithmic = _LINEAR_HZ * np.exp(_LOG_STEP * (mel - _LINEAR_MEL))
    return np.where(mel < _LINEAR_MEL, linear, logarithmic)
