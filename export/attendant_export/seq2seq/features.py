"""Recorded speech as the features that a speech model's encoder reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attendant.bundle import AudioSource

Floats = npt.NDArray[np.float32]


def window_samples(source: AudioSource) -> int:
    """How many samples a window holds."""
    return source.num_frames * source.hop_length


def features_of(source: AudioSource, samples: Floats) -> Floats:
    """[num_mel_bins, num_frames] float32 of one window; what of samples [n] is too much is left out, and what
    is missing is silence."""
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(
        feature_size=source.num_mel_bins,
        sampling_rate=source.sampling_rate,
        hop_length=source.hop_length,
        n_fft=source.fft_length,
    )
    size = window_samples(source)
    found = extractor(
        samples[:size],
        sampling_rate=source.sampling_rate,
        max_length=size,
        padding="max_length",
        return_tensors="np",
    )
    return np.asarray(found["input_features"][0], np.float32)
