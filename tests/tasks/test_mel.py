"""Log-mel spectrograms: equal to transformers', whatever fills the window."""

from __future__ import annotations

import numpy as np
import pytest
from attendant.bundle import AudioSource
from attendant.tasks.mel import LogMel, mel_filters

RATE = 16_000
RNG = np.random.default_rng(0)


def tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def noise(seconds: float, scale: float = 0.1) -> np.ndarray:
    return (scale * RNG.standard_normal(int(seconds * RATE))).astype(np.float32)


SOUNDS = {
    "tone": tone(5.0),
    "noise": noise(12.3456),
    "a full window": noise(30.0),
    "a click": np.array([1.0], np.float32),
    "200 samples": noise(0.0125),
    "silence": np.zeros(RATE, np.float32),
    "nearly silence": noise(3.0, 1e-6),
    "loud to the end": np.concatenate([noise(29.9), tone(0.1)]),
    "no sound at all": np.zeros(0, np.float32),
}


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("name", SOUNDS)
def test_features_are_those_of_transformers(name: str, bins: int) -> None:
    transformers = pytest.importorskip("transformers")
    extract = transformers.WhisperFeatureExtractor(feature_size=bins)
    sound = SOUNDS[name]
    expected = extract(sound, sampling_rate=RATE, return_tensors="np")["input_features"][0]
    found = LogMel(AudioSource(max_length=1500, num_mel_bins=bins))(sound)
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (bins, 3000)
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize(("seconds", "fft", "hop"), [(2, 400, 160), (1, 512, 128)])
def test_windows_of_other_sizes(seconds: int, fft: int, hop: int) -> None:
    transformers = pytest.importorskip("transformers")
    extract = transformers.WhisperFeatureExtractor(20, chunk_length=seconds, n_fft=fft, hop_length=hop)
    spec = AudioSource(max_length=9, num_mel_bins=20, num_frames=seconds * RATE // hop, fft_length=fft, hop_length=hop)
    sound = noise(seconds * 0.7)
    expected = extract(sound, sampling_rate=RATE, return_tensors="np")["input_features"][0]
    assert np.abs(LogMel(spec)(sound) - expected).max() < 1e-4


def test_filters_are_those_of_transformers() -> None:
    utils = pytest.importorskip("transformers.audio_utils")
    expected = utils.mel_filter_bank(201, 80, 0.0, 8000.0, RATE, norm="slaney", mel_scale="slaney").T
    assert np.abs(mel_filters(400, 80, RATE) - expected).max() < 1e-12
