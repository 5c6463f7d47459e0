"""What a method makes of the tensors of a checkpoint: weights, which are read when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from attendant_export.quantisation.stored import StoredBlocks
from attendant_export.source.quantised.codes import Codes

FLOATS = ("F32", "F16", "BF16")
"""Types of scales, as safetensors writes them."""


@dataclass(frozen=True)
class Weight:
    """A tensor of the model.

    Attributes:
        shape: of the tensor. read: gives it, in float32.
        codes: gives what it is made of, where that is whole numbers.
        blocks: gives the blocks that it is stored in, of a weight [N, K] of a product, where a graph can have them.
    """

    shape: tuple[int, ...]
    read: Callable[[], torch.Tensor]
    codes: Callable[[], Codes] | None = None
    blocks: Callable[[], StoredBlocks] | None = None

    def __getitem__(self, index: Any) -> torch.Tensor:
        """What transformers asks of a tensor that it loads; reads all of it."""
        return self.read()[index]


def of_codes(shape: tuple[int, ...], codes: Callable[[], Codes]) -> Weight:
    """The weight that whole numbers stand for."""
    return Weight(shape, lambda: codes().plain(), codes)


@dataclass(frozen=True)
class Reading:
    """What a method found.

    Attributes:
        weights: by the name that the model has for them.
        used: names of the tensors that they are made of, and of those that a method needs to compute only.
        notes: what is not as the checkpoint has it, a sentence each.
    """

    weights: dict[str, Weight] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, weight: Weight, *tensors: str) -> None:
        """Adds a weight that is made of ``tensors``."""
        self.weights[name] = weight
        self.used.update(tensors)
