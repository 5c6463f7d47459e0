"""Sound that models are traced and verified with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attendant.bundle import AudioInput

from attendant_export.encoders.plan import Floats

# Beyond the shortest row, and of a longer row beyond those: one of the two has an odd number of frames, which SEW takes
# by twos.
FRAMES, MORE_FRAMES = 41, 7


def sound_rows(takes: AudioInput, samples_per_frame: int) -> tuple[Floats, Floats]:
    """Three rows [3, samples] float32, and one [1, samples] that is longer by :data:`MORE_FRAMES`: tones and noise that
    come and go, of zero mean and unit variance."""
    sampling_rate = takes.sampling_rate
    length = takes.min_samples + FRAMES * samples_per_frame
    longer = length + MORE_FRAMES * samples_per_frame
    generator = np.random.default_rng(0)

    def row(size: int) -> Floats:
        seconds = np.arange(size) / sampling_rate
        sound = 0.3 * generator.standard_normal(size)
        loudness = 0.5 + 0.5 * np.sin(2 * np.pi * (30 * seconds + generator.random()))
        for pitch in generator.uniform(80, 3000, 4):
            sound += loudness * np.sin(2 * np.pi * (pitch * seconds + generator.random()))
        normal: Floats = ((sound - sound.mean()) / sound.std()).astype(np.float32)
        return normal

    return np.stack([row(length) for _ in range(3)]), row(longer)[None]


def run_alone(module: Any, name: str, rows: Floats) -> Floats:
    """What ``module``, an :class:`~attendant_export.encoders.trace.EncoderModule`, gives for each of ``rows`` alone,
    joined, float32. ``name``: of its input."""
    found = [module({name: torch.from_numpy(rows[index : index + 1])}) for index in range(len(rows))]
    outputs: Floats = torch.cat(found).float().numpy()
    return outputs
