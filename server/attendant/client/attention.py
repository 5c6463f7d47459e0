"""The answer of Explain.Attention as arrays: layers come in several messages where they are large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant_proto.v1 import explain_pb2 as pb


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Weights of one layer, or of all as one (``layer`` is None): [max(heads, 1), queries, keys] float32, of these
    heads, or of all as one (none). ``queries`` and ``keys`` are those of the header, in order."""

    layer: int | None
    heads: tuple[int, ...]
    weights: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class AttentionAnswer:
    """What a model looked at: the header, the weights layer by layer, and what it took."""

    header: pb.AttentionHeader
    layers: tuple[LayerWeights, ...]
    end: pb.AttentionEnd


def read_attention(responses: Iterable[pb.AttentionResponse]) -> AttentionAnswer:
    """The messages of a call as one answer."""
    header, end = pb.AttentionHeader(), pb.AttentionEnd()
    received: list[pb.AttentionWeights] = []
    for response in responses:
        match response.WhichOneof("part"):
            case "header":
                header = response.header
            case "weights":
                received.append(response.weights)
            case "end":
                end = response.end
    layers = [_joined(header, list(group)) for _, group in groupby(received, key=_layer)]
    return AttentionAnswer(header, tuple(layers), end)


def _joined(header: pb.AttentionHeader, messages: list[pb.AttentionWeights]) -> LayerWeights:
    """One layer, of messages with some of its heads, or some rows of one head, each."""
    blocks = [np.concatenate(list(map(_array(header), group)), axis=1) for group in _by_heads(messages)]
    heads = [head for group in _by_heads(messages) for head in group[0].heads]
    return LayerWeights(_layer(messages[0]), tuple(heads), np.concatenate(blocks))


def _by_heads(messages: list[pb.AttentionWeights]) -> Iterator[list[pb.AttentionWeights]]:
    for _, group in groupby(messages, key=lambda message: tuple(message.heads)):
        yield list(group)


def _array(header: pb.AttentionHeader) -> Any:
    def array(message: pb.AttentionWeights) -> npt.NDArray[Any]:
        return np.frombuffer(message.data, "<f4").reshape(max(len(message.heads), 1), -1, len(header.keys))

    return array


def _layer(message: pb.AttentionWeights) -> int | None:
    return message.layer if message.HasField("layer") else None
