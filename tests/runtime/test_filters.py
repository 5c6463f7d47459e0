"""Filters that weigh all tokens leave those that transformers' leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attendant.core.plan import SampleOrder
from attendant.core.sampling import SamplingParams
from attendant.runtime.sampler import sample
from transformers import GenerationConfig
from transformers.generation.utils import GenerationMixin

SETTINGS: list[dict[str, Any]] = [
    {"typical_p": 0.3},
    {"typical_p": 0.95, "top_k": 20},
    {"epsilon_cutoff": 0.02},
    {"eta_cutoff": 0.05},
    {"eta_cutoff": 0.001, "temperature": 0.5},
    {"top_h": 0.4},
    {"top_h": 0.9, "top_p": 0.8},
    {"top_h": 0.9, "top_k": 5, "typical_p": 0.8, "min_p": 0.01},
    {"top_p": 0.9, "typical_p": 0.7, "epsilon_cutoff": 0.01, "eta_cutoff": 0.02, "temperature": 1.5},
    {"epsilon_cutoff": 0.9},
]


def kept_by_transformers(logits: np.ndarray, settings: dict[str, Any]) -> set[int]:
    config = GenerationConfig(**{"top_k": 0, "do_sample": True, **settings})
    config._eos_token_tensor = None
    processors = GenerationMixin()._get_logits_processor(config, 1)
    scores = processors(torch.zeros((1, 1), dtype=torch.long), torch.from_numpy(logits[None].copy()))
    return set(torch.isfinite(scores[0]).nonzero().flatten().tolist())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("vocab", [60, 3000])
def test_tokens_that_are_left(settings: dict[str, Any], vocab: int) -> None:
    logits = (np.random.default_rng(vocab).standard_normal(vocab) * 3).astype(np.float32)
    params = {"temperature": 1.0, **settings}
    drawn = set()
    for seed in range(400):
        order = SampleOrder(SamplingParams(max_tokens=1, seed=seed, **params), np.array([0]), 1)
        drawn.add(sample(logits[None].copy(), [(0, "r", order)])[0].token_id)
    kept = kept_by_transformers(logits, settings)
    assert drawn <= kept
    likely = np.exp((logits - logits.max()) / params["temperature"])
    share = likely / likely[list(kept)].sum()
    assert {token for token in kept if share[token] > 0.05} <= drawn
