"""Positions that the graph is told: the lookups of position tables by given ids, and relative positions by distance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from attendant_export.tracing.methods import Method, replaced


@dataclass
class Positions:
    """Which positions the pass under way is at.

    Attributes:
        ids: [batch, sequence] int64, of the tokens at hand. cached: [total] int64, of the cached ones.
    """

    ids: torch.Tensor | None = None
    cached: torch.Tensor | None = None
    _distances: list[torch.Tensor] = field(default_factory=list, repr=False)

    def start(self, ids: torch.Tensor, cached: torch.Tensor | None = None) -> None:
        """The next pass is at these."""
        self.ids, self.cached = ids, cached
        self._distances.clear()

    def distances(self, longest: int) -> torch.Tensor:
        """[batch, sequence, total] int64, how far before each token each cached position is, from 0 to ``longest``.

        Computed once for all layers of a pass.
        """
        assert self.ids is not None
        assert self.cached is not None
        if not self._distances:
            away = self.ids[:, :, None] - self.cached[None, None, :]
            self._distances.append(away.clamp(0, longest))
        return self._distances[0]


@contextmanager
def told_positions(stack: Any, positions: Positions) -> Iterator[None]:
    """While in it, position embeddings of ``stack`` (an encoder, a decoder or a model) are those of ``positions.ids``.

    Models count positions from a length they share; rows of different lengths that run together have none.
    """
    with _shadowed(stack, "embed_positions", lambda module: _lookup(module, positions)):
        yield


def reserved_positions(model: Any) -> int:
    """Places of the position table that come before the first token: RoBERTa's children count on from padding."""
    for module in model.modules():
        padding = getattr(getattr(module, "position_embeddings", None), "padding_idx", None)
        if padding is not None:
            return int(padding) + 1
    return 0


def has_distances(stack: Any) -> bool:
    """Whether a decoder tells positions apart by relative biases."""
    return any(True for _ in _with_distances(stack))


def _with_distances(stack: Any) -> Iterator[Any]:
    return (module for module in stack.modules() if getattr(module, "has_relative_attention_bias", False))


@contextmanager
def told_distances(decoder: Any, positions: Positions, context_length: int) -> Iterator[None]:
    """While in it, the relative biases of ``decoder`` are those between ``positions.ids`` and ``positions.cached``."""

    def biased(module: Any) -> Method:
        last = context_length - 1
        with torch.no_grad():  # of the last position to all: [1, num_heads, 1, context_length]
            row = module.compute_bias(1, context_length, past_seen_tokens=last)
        table = row[0, :, 0].flip(1).T.contiguous()  # [context_length, num_heads], by distance

        def compute_bias(self: Any, *args: object, **keywords: object) -> torch.Tensor:
            return torch.nn.functional.embedding(positions.distances(last), table).permute(0, 3, 1, 2)

        return compute_bias

    with replaced((module, "compute_bias", biased(module)) for module in _with_distances(decoder)):
        yield


def _lookup(module: Any, positions: Positions) -> Any:
    weights = getattr(module, "weights", None)  # of waves: M2M100 counts from the padding token on, MusicGen from 0
    if weights is not None:
        padding = getattr(module, "padding_idx", None)
        table, offset = weights, 0 if padding is None else padding + 1
    else:
        table, offset = module.weight, getattr(module, "offset", 0)  # BART begins with two unused places

    def forward(self: Any, *args: object, **keywords: object) -> torch.Tensor:
        assert positions.ids is not None
        return torch.nn.functional.embedding(positions.ids + offset if offset else positions.ids, table)

    return forward


@contextmanager
def _shadowed(stack: Any, name: str, method_of: Any) -> Iterator[None]:
    found = [module for path, module in stack.named_modules() if path.rpartition(".")[2] == name]
    with replaced((module, "forward", method_of(module)) for module in found):
        yield
