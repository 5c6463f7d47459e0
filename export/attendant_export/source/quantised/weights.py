"""What a method makes of the tensors of a checkpoint: weights, which are read when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from attendant_export.quantisation.stored import StoredBlocks
from attendant_export.source.quantised.codes import Codes, block_of

FLOATS = ("F32", "F16", "BF16")
"""Types of scales, as safetensors writes them."""


@dataclass(frozen=True)
class Weight:
    """A tensor of the model.

    Attributes:
        shape: of the tensor. read: gives it, in float32.
        blocks: gives the blocks that it is stored in, of a weight [N, K] of a product, where a graph can have them.
    """

    shape: tuple[int, ...]
    read: Callable[[], torch.Tensor]
    blocks: Callable[[], StoredBlocks] | None = None

    def __getitem__(self, index: Any) -> torch.Tensor:
        """What transformers asks of a tensor that it loads; reads all of it."""
        return self.read()[index]


@dataclass(frozen=True)
class Reading:
    """What a method found.

    Attributes:
        weights: by the name that the model has for them.
        used: names of the tensors that they are made of, and of those that a method needs to compute only.
        apart: weights of whole numbers that no blocks of a graph can have as they are.
    """

    weights: dict[str, Weight] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    apart: list[str] = field(default_factory=list)

    def add(self, name: str, weight: Weight, *tensors: str) -> None:
        """Adds a weight that is made of ``tensors``."""
        self.weights[name] = weight
        self.used.update(tensors)

    def add_codes(
        self,
        name: str,
        shape: tuple[int, ...],
        codes: Callable[[], Codes],
        groups: torch.Tensor,
        *tensors: str,
    ) -> None:
        """Adds a weight that ``codes`` stand for, whose channels have their scales by ``groups``, [K] int64."""
        block = block_of(groups)
        kept = None if block is None else lambda: codes().blocks(block)
        self.add(name, Weight(shape, lambda: codes().plain(), kept), *tensors)
        if block is None:
            self.apart.append(name)
