"""Random weights that hide no mistake."""

from __future__ import annotations

from typing import Any

import torch


def spread(model: Any, factor: float) -> None:
    """Makes norms and biases, which are all alike, uneven, and matrices, but embeddings, ``factor`` times as large."""
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.1)
            elif "embed" not in key:
                weight.mul_(factor)
