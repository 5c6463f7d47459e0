"""What is drawn: plain values, whether they came from a server or from a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

Reduction = Literal["none", "mean-heads", "max-heads", "mean", "max", "rollout"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token, a patch of an image or a frame of a recording. ``start`` and ``end`` are characters of the text that was
    given, end excluded; 0 and 0 if it does not stand there. ``special``: it is no part of what was given."""

    text: str
    start: int = 0
    end: int = 0
    special: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Patches of an image in rows and columns, behind ``num_prefix`` special ones."""

    rows: int
    columns: int
    num_prefix: int


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one layer (``number`` is None: of all in one piece), of ``heads`` (none: reduced to one). ``weights``:
    [max(heads, 1), rows, keys] float32."""

    number: int | None
    heads: tuple[int, ...]
    weights: Floats


@dataclass(frozen=True, slots=True)
class Panel:
    """One matrix of weights, [rows, keys] float32, and what it is of."""

    title: str
    weights: Floats


@dataclass(frozen=True)
class Attention:
    """What tokens looked at.

    Attributes:
        kind: "self", "encoder" or "cross".
        asked_layers, asked_heads: which were asked for, by number from 0; none: all.
        rows: what the rows of weights are named by: the tokens of the answer, or the tokens that look.
        first_row: number of the first row's token in the whole sequence.
        keys: what was looked at, one for each column.
        num_prompt: of a decoder: keys from this number on are the answer; 0: there is none.
        text: that was given, or "".
        frame_s: of a recording: what a key lasts, in seconds. heard_s: the recording itself, whose window goes on with
            silence; 0: nobody knows.
        image: of an image: the file.
    """

    model: str
    kind: str
    reduction: Reduction
    without_sink: bool
    num_layers: int
    num_heads: int
    rows: tuple[Token, ...]
    keys: tuple[Token, ...]
    layers: tuple[Layer, ...]
    asked_layers: tuple[int, ...] = ()
    asked_heads: tuple[int, ...] = ()
    first_row: int = 0
    num_prompt: int = 0
    answer: str = ""
    text: str = ""
    grid: Grid | None = None
    frame_s: float = 0.0
    heard_s: float = 0.0
    source: str = ""
    image: bytes = field(default=b"", repr=False)

    @property
    def num_panels(self) -> int:
        """How many matrices there are."""
        return sum(max(len(layer.heads), 1) for layer in self.layers)

    @property
    def num_heard(self) -> int:
        """Of a recording: frames that have some of it."""
        return min(math.ceil(self.heard_s / self.frame_s), len(self.keys)) if self.heard_s else len(self.keys)

    @property
    def asked(self) -> str:
        """Which layers and heads were asked for, in words."""
        if not self.asked_layers and not self.asked_heads:
            return "all layers and heads"
        return f"{_numbered('layer', self.asked_layers)}, {_numbered('head', self.asked_heads)}"

    def panels(self) -> Iterator[Panel]:
        """Each matrix by itself, layer by layer."""
        for layer in self.layers:
            for index, weights in enumerate(layer.weights):
                yield Panel(self._title(layer, index), weights)

    def _title(self, layer: Layer, index: int) -> str:
        if layer.number is None:
            return {"mean": f"mean of {self.asked}", "max": f"largest of {self.asked}"}.get(self.reduction, "rollout")
        if layer.heads:
            return f"layer {layer.number}, head {layer.heads[index]}"
        return f"layer {layer.number}, {'largest' if self.reduction == 'max-heads' else 'mean'} of its heads"

    def of_rows(self, numbers: Sequence[int]) -> Attention:
        """The same of these rows alone, which are numbered on from the first of them."""
        chosen = list(numbers)
        layers = tuple(Layer(each.number, each.heads, each.weights[:, chosen]) for each in self.layers)
        rows = tuple(self.rows[number] for number in chosen)
        return replace(self, rows=rows, layers=layers, first_row=self.first_row + chosen[0])


def _numbered(noun: str, numbers: Sequence[int]) -> str:
    if not numbers:
        return f"all {noun}s"
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an input and what it did: ``weight`` above 0 spoke for the answer; ``token_weights`` the same for each
    token of the answer. Of rollout: the part's share of attention."""

    text: str
    start: int
    end: int
    weight: float
    token_weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Attribution:
    """What an answer hung on. ``logprob``: natural logarithm of its probability with the whole input."""

    model: str
    method: str
    text: str
    parts: tuple[Part, ...]
    logprob: float = 0.0
    answer: str = ""
    answer_tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Similarity:
    """How alike words in contexts are. ``cosines``: [contexts, contexts] float32."""

    model: str
    words: tuple[str, ...]
    contexts: tuple[str, ...]
    cosines: Floats


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a request's time, in seconds, and what is done in it."""

    name: str
    seconds: float
    meaning: str


@dataclass(frozen=True, slots=True)
class Steps:
    """The stages of one request, in order. ``counts``: what there was of tokens, for people."""

    model: str
    text: str
    answer: str
    stages: tuple[Stage, ...]
    counts: str = ""


View = Attention | Attribution | Similarity | Steps


def part_weights(attention: Attention, parts: tuple[Part, ...]) -> Floats:
    """What each part of the text got, [parts] float32: the sum over its tokens of the first panel's mean row."""
    mean = next(attention.panels()).weights.mean(axis=0)  # [keys]
    found = [
        sum(float(mean[number]) for number, key in enumerate(attention.keys) if _stands_in(key, part)) for part in parts
    ]
    return np.array(found, np.float32)


def _stands_in(token: Token, part: Part) -> bool:
    """A token may begin with the space before its word: its last character tells."""
    return token.end > token.start and part.start < token.end <= part.end
