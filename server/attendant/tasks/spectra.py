"""Sound to the log-mel spectra that classifiers of sound read: Whisper's, and Kaldi's, which AST's are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attendant.bundle import AudioSource, SpectrumInput
from attendant.tasks.mel import Doubles, Floats, LogMel, triangles

_PREEMPHASIS = 0.97
_LEAST_HZ = 20.0
_FLOOR = 1.192092955078125e-07  # of a filter's power: the epsilon of float32

Spectra = Callable[[Floats], Floats]
"""Samples [n] float32, at most as many as the model takes, to its spectrum [num_mel_bins, num_frames] float32. Safe
from several threads."""


def spectra_of(spec: SpectrumInput) -> Spectra:
    """What makes the spectra of a model."""
    if spec.scale == "kaldi":
        return KaldiMel(spec)
    source = AudioSource(
        max_length=spec.num_frames,
        sampling_rate=spec.sampling_rate,
        num_mel_bins=spec.num_mel_bins,
        num_frames=spec.num_frames,
        fft_length=spec.fft_length,
        hop_length=spec.hop_length,
    )
    return LogMel(source)


class KaldiMel:
    """Spectra as Kaldi's ``compute-fbank-feats`` makes them (Povey et al. 2011) with a Hann window and no dither, equal
    to those that transformers' ASTFeatureExtractor makes with numpy."""

    def __init__(self, spec: SpectrumInput) -> None:
        self._spec = spec
        angles = 2 * np.pi * np.arange(spec.frame_length) / (spec.frame_length - 1)
        self._hann = 0.5 - 0.5 * np.cos(angles)  # symmetric; [frame_length] float64
        frequencies = np.arange(spec.fft_length // 2 + 1, dtype=np.float64) * (spec.sampling_rate / spec.fft_length)
        least, most = _mel(np.array([_LEAST_HZ, spec.sampling_rate // 2]))
        corners = np.linspace(least, most, spec.num_mel_bins + 2)
        self._filters = triangles(corners, _mel(frequencies))  # [num_mel_bins, fft_length // 2 + 1] float64

    def __call__(self, samples: Floats) -> Floats:
        """See :data:`Spectra`. There is at least one frame of samples."""
        spec = self._spec
        views = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), spec.frame_length)
        frames = views[:: spec.hop_length][: spec.num_frames]  # [frames, frame_length]
        frames = frames - frames.mean(axis=1, keepdims=True)
        before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        spectrum = np.fft.rfft((frames - _PREEMPHASIS * before) * self._hann, spec.fft_length)
        power = spectrum.real**2 + spectrum.imag**2  # [frames, fft_length // 2 + 1]
        filled = np.zeros((spec.num_mel_bins, spec.num_frames))
        filled[:, : len(frames)] = np.log(np.maximum(self._filters @ power.T, _FLOOR))
        scaled: Doubles = (filled - spec.mean) / spec.std
        return scaled.astype(np.float32)


def _mel(hertz: Doubles) -> Doubles:
    """The mel scale of HTK (Young et al. 2006, section 5.4)."""
    return 1127.0 * np.log(1.0 + hertz / 700.0)
