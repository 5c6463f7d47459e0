"""Sound that models are traced and verified with."""

from __future__ import annotations

import numpy as np

from attendant_export.encoders.plan import Floats


def sound_rows(sampling_rate: int, length: int, longer: int) -> tuple[Floats, Floats]:
    """Three rows [3, length] float32, and a longer one [1, longer]: tones and noise that come and go, of zero mean and
    unit variance; samples at ``sampling_rate`` Hz."""
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
