"""What rooms say to each other about attention: what a model looked at while it computed one sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy.typing as npt

from attendant.core.encoding import Arrays
from attendant.core.errors import AttendantError
from attendant.core.source import Source

AttentionKind = Literal["self", "encoder", "cross"]
"""Tokens at tokens of their own sequence; of an encoder-decoder's source; of its answer at its source."""

Reduction = Literal["none", "mean_heads", "max_heads", "mean", "max", "rollout"]
"""What becomes of layers and heads: each as it is; one piece for each layer; one piece of all."""


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


@dataclass(frozen=True, slots=True)
class AttentionView:
    """What is kept of a subject's attention.

    Attributes:
        layers, heads: numbers of those that count, in order, at least one of each. Rollout takes all layers and heads.
        first_query, num_queries: rows that are kept; None: all from the first on.
        num_keys: keys of a row that are kept; None: all. Behind the last query a decoder has none but zeros.
        without_sink: the first key is taken out of every row, and the rest sums up to 1; a row that had nothing but the
            first key has nothing then.
    """

    kind: AttentionKind
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    reduction: Reduction = "none"
    first_query: int = 0
    num_queries: int | None = None
    num_keys: int | None = None
    without_sink: bool = False


@dataclass(frozen=True, slots=True)
class AttentionJob:
    """A subject that a model's thread computes beside its other work, run by run.

    Attributes:
        id: unique among the jobs of a model that have not ended.
        view: of its attention; None: nothing of it is kept.
        share: of the time of others' work that its runs get while others wait.
        keeps_hidden: the last hidden states of all its tokens are kept.
        arrival_ns: when its call came. deadline_ns: when it is of no use any more, or None. Both monotonic.
    """

    id: str
    subject: AttentionSubject
    view: AttentionView | None
    arrival_ns: int
    deadline_ns: int | None = None
    share: float = 0.04
    keeps_hidden: bool = False


@dataclass(frozen=True, slots=True)
class AttentionPiece:
    """Weights of one layer, or of all as one (``layer`` is None). ``weights``: [max(heads, 1), queries, keys] float32,
    of these heads, or of all as one (none)."""

    layer: int | None
    heads: tuple[int, ...]
    weights: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class JobResult:
    """A job that has been computed. ``hidden``: [tokens, hidden] float32 where they were to be kept. ``started_ns``:
    when its first run began, monotonic; ``run_ns``: what its runs took together."""

    id: str
    pieces: tuple[AttentionPiece, ...]
    hidden: npt.NDArray[Any] | None
    started_ns: int
    run_ns: int


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A job that has ended without a result. ``run_ns``: what its runs took together."""

    id: str
    error: AttendantError
    run_ns: int = 0


@dataclass(frozen=True, slots=True)
class JobReport:
    """What a model's thread tells of its jobs: each ends exactly once."""

    ends: tuple[JobResult | JobFailure, ...]
