"""Keeps of a subject's attention what was asked for, while its runs come: a run's weights need not stay in memory."""

from __future__ import annotations

import numpy as np

from attendant.core.attention import AttentionPart, AttentionPiece, AttentionRun, AttentionShape, AttentionView
from attendant.sidework.arithmetic import Weights, rollout, widened, without_sink


def num_kept(view: AttentionView, shape: AttentionShape, num_queries: int, num_keys: int) -> int:
    """How many weights a view holds at most while its runs come, of so many rows that are kept."""
    match view.reduction:
        case "none":
            return len(view.layers) * len(view.heads) * num_queries * num_keys
        case "mean_heads" | "max_heads":
            return len(view.layers) * num_queries * num_keys
        case "mean" | "max":
            return num_queries * num_keys
    return shape.num_layers * num_keys * num_keys


class Reducer:
    """Takes the runs of one subject in, in order, each with the queries that follow those of the one before."""

    def __init__(self, view: AttentionView, shape: AttentionShape) -> None:
        self._view = view
        self._shape = shape
        self._rows: dict[int | None, list[Weights]] = {}  # by layer, each [heads or 1, queries, keys]
        self._num_seen = 0  # queries

    @property
    def complete(self) -> bool:
        """Whether no further run has anything that is kept."""
        view = self._view
        if view.kind == "encoder":  # comes in one run
            return self._num_seen > 0
        return view.num_queries is not None and self._num_seen >= view.first_query + view.num_queries

    def take(self, run: AttentionRun) -> None:
        """Take the weights of a run in."""
        parts = [part for part in run.parts if part.kind == self._view.kind]
        self._num_seen = max([self._num_seen, *(part.first_query + part.weights.shape[1] for part in parts)])
        if self._view.reduction == "rollout":
            for part in parts:
                self._keep(part.layer, part.weights.mean(axis=0, dtype=np.float32)[None])
            return
        joined: Weights | None = None
        chosen = [part for part in parts if part.layer in self._view.layers]
        for part in chosen:
            reduced = self._reduced(part)
            if reduced is None:
                continue
            if self._view.reduction in ("mean", "max"):
                joined = self._join(joined, reduced)
            else:
                self._keep(part.layer, reduced)
        if joined is not None:
            self._keep(None, joined / np.float32(len(chosen)) if self._view.reduction == "mean" else joined)

    def pieces(self) -> tuple[AttentionPiece, ...]:
        """All that was kept, the first layer first."""
        view = self._view
        if view.reduction == "rollout":
            return (AttentionPiece(None, (), self._trimmed(self._rolled()[None])),) if self._rows else ()
        heads = view.heads if view.reduction == "none" else ()
        layers = sorted(self._rows, key=lambda layer: -1 if layer is None else layer)
        return tuple([AttentionPiece(layer, heads, self._trimmed(self._joined(layer))) for layer in layers])

    def _trimmed(self, weights: Weights) -> Weights:
        return weights[..., : self._view.num_keys]

    def _reduced(self, part: AttentionPart) -> Weights | None:
        """The rows of a part that are kept, with heads reduced: [heads or 1, queries, keys]; None if there are none."""
        view, length = self._view, part.weights.shape[1]
        first = max(view.first_query - part.first_query, 0)
        end = length if view.num_queries is None else view.first_query + view.num_queries - part.first_query
        if first >= min(end, length):
            return None
        weights: Weights = part.weights[list(view.heads), first : min(end, length)]
        if view.without_sink:
            weights = without_sink(weights)
        match view.reduction:
            case "none":
                return weights
            case "mean_heads" | "mean":
                mean: Weights = weights.mean(axis=0, dtype=np.float32, keepdims=True)
                return mean
        largest: Weights = weights.max(axis=0, keepdims=True)
        return largest

    def _join(self, joined: Weights | None, reduced: Weights) -> Weights:
        if joined is None:
            return reduced
        return joined + reduced if self._view.reduction == "mean" else np.maximum(joined, reduced)

    def _keep(self, layer: int | None, rows: Weights) -> None:
        self._rows.setdefault(layer, []).append(rows)

    def _joined(self, layer: int | None) -> Weights:
        """All rows of a layer, [heads or 1, queries, keys]; gives up what they are made of."""
        chunks = self._rows[layer]
        num_keys = max(chunk.shape[-1] for chunk in chunks)
        joined = np.concatenate([widened(chunk, num_keys) for chunk in chunks], axis=1)
        self._rows[layer] = [joined]
        return joined

    def _rolled(self) -> Weights:
        view = self._view
        means = [self._joined(layer)[0] for layer in range(self._shape.num_layers)]
        end = None if view.num_queries is None else view.first_query + view.num_queries
        rolled = rollout(means, slice(view.first_query, end))
        return without_sink(rolled) if view.without_sink else rolled
