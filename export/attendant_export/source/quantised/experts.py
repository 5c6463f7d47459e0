"""Experts that a checkpoint has one by one, where the model of transformers has one tensor for all of a layer.

Transformers joins them itself for the families that are published so. Those of Llama 4 are published as one tensor, and
makers of quantised checkpoints take them apart, into ``experts.N.gate_proj``, ``up_proj`` and ``down_proj``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.weights import Weight

_FAMILIES = ("llama4", "llama4_text")
_NAME = re.compile(r"(.*\.feed_forward\.experts)\.(\d+)\.(gate|up|down)_proj\.weight")
_PARTS = {"gate_up_proj": ("gate", "up"), "down_proj": ("down",)}


def join_experts(model_type: str, weights: Mapping[str, Weight]) -> Mapping[str, Weight]:
    """``weights`` with the experts of each layer in one: [N, K] of an expert are [K, N] there, gate before up.

    Args:
        model_type: of the model's config.

    Raises:
        SourceError: an expert is missing, or has another shape than the first; names the tensor.
    """
    if model_type not in _FAMILIES:
        return weights
    found: dict[str, dict[tuple[int, str], Weight]] = {}
    rest = {}
    for name, weight in weights.items():
        match = _NAME.fullmatch(name)
        if match is None:
            rest[name] = weight
        else:
            found.setdefault(match[1], {})[int(match[2]), match[3]] = weight
    for stem, experts in found.items():
        count = 1 + max(number for number, _ in experts)
        for name, parts in _PARTS.items():
            rest[f"{stem}.{name}"] = _joined(stem, experts, count, parts)
    return rest


def _joined(stem: str, experts: Mapping[tuple[int, str], Weight], count: int, parts: Sequence[str]) -> Weight:
    rows = []
    for number in range(count):
        row = []
        for part in parts:
            name = f"{stem}.{number}.{part}_proj.weight"
            weight, first = experts.get((number, part)), experts.get((0, parts[0]))
            if weight is None:
                raise SourceError(f"expert {number} of {count} has no weight {name!r}")
            if first is not None and weight.shape != first.shape:
                raise SourceError(f"{name!r} has shape {list(weight.shape)}, the first expert {list(first.shape)}")
            row.append(weight)
        rows.append(row)
    outputs, channels = rows[0][0].shape
    return Weight((count, channels, outputs * len(parts)), partial(_read, rows))


def _read(rows: Sequence[Sequence[Weight]]) -> torch.Tensor:
    return torch.stack([torch.cat([weight.read() for weight in row]).T for row in rows])
