"""Spectra of sound for classifiers: equal to those that transformers makes with numpy."""

from __future__ import annotations

import numpy as np
import pytest
from attendant.bundle import SpectrumInput
from attendant.tasks.spectra import spectra_of

RATE = 16_000
RNG = np.random.default_rng(0)


def noise(seconds: float, scale: float = 0.1) -> np.ndarray:
    return (scale * RNG.standard_normal(int(seconds * RATE))).astype(np.float32)


SOUNDS = {
    "one frame": noise(0.025),
    "noise": noise(0.777),
    "with an offset": noise(0.5) + np.float32(0.3),
    "silence": np.zeros(3000, np.float32),
    "as long as the model takes": noise(1.015),
}


def kaldi(bins: int, frames: int, mean: float = 0.0, std: float = 1.0) -> SpectrumInput:
    return SpectrumInput(
        scale="kaldi",
        sampling_rate=RATE,
        num_mel_bins=bins,
        num_frames=frames,
        mean=mean,
        std=std,
        min_samples=400,
        max_samples=(frames - 1) * 160 + 400,
    )


@pytest.mark.parametrize("bins", [24, 128])
@pytest.mark.parametrize("name", SOUNDS)
def test_kaldis_are_those_of_ast(name: str, bins: int) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=bins, max_length=100)
    expected = extractor(SOUNDS[name], sampling_rate=RATE, return_tensors="np")["input_values"][0]
    found = spectra_of(kaldi(bins, 100, -4.2677393, 2 * 4.5689974))(SOUNDS[name])
    assert (found.dtype, found.shape) == (np.float32, (bins, 100))
    assert np.abs(found - expected.T).max() < 1e-4


def test_whispers_are_those_of_whisper() -> None:
    transformers = pytest.importorskip("transformers")
    extractor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1)
    spec = SpectrumInput(
        scale="slaney",
        sampling_rate=RATE,
        num_mel_bins=20,
        num_frames=100,
        fft_length=400,
        min_samples=1,
        max_samples=RATE,
    )
    expected = extractor(SOUNDS["noise"], sampling_rate=RATE, return_tensors="np")["input_features"][0]
    assert np.abs(spectra_of(spec)(SOUNDS["noise"]) - expected).max() < 1e-4
