"""Calls that explain, as the front end receives them, and their answers. No transport words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from attendant.bundle import Patches
from attendant.core.attention import AttentionKind, AttentionPiece, Reduction
from attendant.core.chat import ChatPrompt
from attendant.core.generation import TextPrompt, TokenPrompt, Translation
from attendant.core.request import Timings
from attendant.tasks.spans import Span

Method = Literal["occlusion", "rollout"]
Unit = Literal["word", "token"]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file's bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A sound file's bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at. ``second_text``: of models that read pairs. ``translation``: of models that translate."""

    given: TextPrompt | TokenPrompt | ChatPrompt | ImageFile | SoundFile
    second_text: str = ""
    translation: Translation | None = None


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What a model that generates said: a text, or token ids; neither: it answers first, greedily, with at most
    ``max_tokens`` tokens (None: the server's default; 0: there is no answer, only the prompt)."""

    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """Attention of one subject; see the messages of the service Explain for the fields. No layers, or heads: all.
    ``num_queries`` 0: all."""

    model: str
    subject: Subject
    answer: GivenAnswer | None = None
    kind: AttentionKind = "self"
    layers: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    reduction: Reduction = "none"
    first_query: int = 0
    num_queries: int = 0
    answer_only: bool = False
    without_sink: bool = False


@dataclass(frozen=True, slots=True)
class ExplainedToken:
    """A token, a patch or a frame.

    Attributes:
        id: None for patches and frames.
        text: of a patch its row and column, of a frame when it begins.
        start, end: code points of the text that was given, of a chat of its last message; 0 and 0 if it has no place
            there.
        special: it is no part of what was given.
    """

    id: int | None
    text: str
    start: int = 0
    end: int = 0
    special: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model that generates said. ``tokens``: the text of each of ``token_ids``."""

    text: str = ""
    token_ids: tuple[int, ...] = ()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExplainTimings:
    """Nanoseconds: waiting for the model, in the model, and from arrival to end."""

    queue_ns: int
    run_ns: int
    total_ns: int


@dataclass(frozen=True, slots=True)
class Attended:
    """A subject's attention.

    Attributes:
        num_layers, num_heads: that the model has of this kind.
        queries, keys: what the rows and the columns of ``pieces`` belong to.
        first_query: number, in the whole sequence, of the first query.
        num_prompt_tokens: of a decoder: keys from this number on are the answer.
        grid: where patches lie, of an image. frame_s: what a frame lasts, of a recording; otherwise 0.
        source: ``fused`` or ``eager``.
        pieces: weights, layer by layer.
    """

    model: str
    kind: AttentionKind
    num_layers: int
    num_heads: int
    queries: Sequence[ExplainedToken]
    keys: Sequence[ExplainedToken]
    first_query: int
    num_prompt_tokens: int
    answer: Answered
    grid: Patches | None
    frame_s: float
    source: str
    pieces: tuple[AttentionPiece, ...]
    timings: ExplainTimings


@dataclass(frozen=True, slots=True)
class AttributeCall:
    """What each part of a text did to the answer. ``label``: of a model that classifies, empty for the most probable
    one. ``spans``: parts in place of units. ``mask``: put the mask token in a part's place."""

    model: str
    subject: Subject
    answer: GivenAnswer | None = None
    label: str = ""
    method: Method = "occlusion"
    unit: Unit = "word"
    spans: tuple[Span, ...] = ()
    mask: bool = False


@dataclass(frozen=True, slots=True)
class AttributedPart:
    """A part of the text, its share, and with occlusion of an answer the share of each of the answer's tokens."""

    text: str
    start: int
    end: int
    weight: float
    token_weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Attribution:
    """What an answer, or a label, hung on. ``logprob``: of it with the whole input; 0 for rollout. ``timings``: sums of
    all calls that it took; what was no generation counts as prefill."""

    model: str
    parts: tuple[AttributedPart, ...]
    logprob: float
    answer: Answered
    timings: Timings


@dataclass(frozen=True, slots=True)
class WordInContext:
    """A word where it stands: the ``occurrence``-th, from 0, in a text; empty: all of the text."""

    text: str
    word: str = ""
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class SimilarityCall:
    """How alike a model takes words to be, in contexts, at least two."""

    model: str
    contexts: tuple[WordInContext, ...]


@dataclass(frozen=True, slots=True)
class Similarities:
    """Cosines [contexts, contexts] float64 between the words' last hidden states, and the tokens that each word is."""

    model: str
    words: tuple[tuple[ExplainedToken, ...], ...]
    cosines: npt.NDArray[Any]
    timings: ExplainTimings
