"""What rooms say to each other about attention: what a model looked at while it computed one sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy.typing as npt

from attendant.core.encoding import Arrays
from attendant.core.source import Source

AttentionKind = Literal["self", "encoder", "cross"]
"""Tokens at tokens of their own sequence; of an encoder-decoder's source; of its answer at its source."""


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """What a model has of one kind."""

    kind: AttentionKind
    num_layers: int
    num_heads: int


@dataclass(frozen=True, slots=True)
class AttentionSubject:
    """One sequence to look at.

    Attributes:
        arrays: of a decoder: input_ids [n] int64, prompt and answer. Of an encoder: as
            :class:`attendant.core.encoding.Row` has them.
        source: of an encoder-decoder.
    """

    arrays: Arrays
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class AttentionPart:
    """Rows of one layer. ``weights``: [heads, queries, keys] float32, each row a softmax over keys 0 to ``keys``; a
    decoder's rows are 0 behind their own token, and have keys up to the last query of the part."""

    kind: AttentionKind
    layer: int
    first_query: int
    weights: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class AttentionRun:
    """What one run of the graph gave. ``hidden``: [queries, hidden] float32 of the queries that it computed, the last
    layer's as the model's head takes them; None where only a source was computed."""

    parts: tuple[AttentionPart, ...]
    first_query: int
    hidden: npt.NDArray[Any] | None


class AttentionModel(Protocol):
    """A graph that gives the attention of its model.

    Attributes:
        shapes: what it has, of each kind.
        max_tokens: of a subject.
        origin: ``fused``: the served graph's own attention nodes; ``eager``: a graph of its own, in float32.
    """

    shapes: tuple[AttentionShape, ...]
    max_tokens: int
    origin: Literal["fused", "eager"]

    def runs(self, subject: AttentionSubject) -> Iterator[AttentionRun]:
        """Compute a subject, run after run: each ``next`` is one run of bounded length, and between them the calling
        thread may do something else. A generator that is closed early leaves nothing behind.

        Raises:
            RunError: ONNX Runtime could not run it.
        """
