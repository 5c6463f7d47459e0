"""What is kept of runs, against sums written out and against torch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from attendant.core.attention import AttentionSubject, AttentionView
from attendant.sidework import arithmetic
from attendant.sidework.arithmetic import Weights
from attendant.sidework.reducer import Reducer, num_kept

from tests.sidework.helpers import ALL, HEADS, LAYERS, FakeAttention

TOKENS = 11


def reduced(view: AttentionView, chunk: int = 4) -> Reducer:
    model = FakeAttention(chunk)
    reducer = Reducer(view, model.shapes[0])
    for run in model.runs(AttentionSubject({"input_ids": np.arange(TOKENS)})):
        if reducer.complete:
            break
        reducer.take(run)
    return reducer


def one(view: AttentionView, chunk: int = 4) -> Weights:
    (piece,) = reduced(view, chunk).pieces()
    assert (piece.layer, piece.heads) == (None, ())
    found: Weights = piece.weights
    return found


def rows_without_sink(weights: Weights) -> Weights:
    """By the definition, row by row."""
    found = np.zeros_like(weights)
    for index in np.ndindex(weights.shape[:-1]):
        rest = weights[index].astype(np.float64)
        rest[0] = 0
        if rest.sum() > 0:
            found[index] = rest / rest.sum()
    return found


@pytest.mark.parametrize("chunk", [1, 4, 64])
@pytest.mark.parametrize("sink", [False, True])
def test_layers_and_heads_that_were_asked_for_come_as_they_are(chunk: int, sink: bool) -> None:
    weights = FakeAttention().weights(TOKENS)
    view = dataclasses.replace(ALL, layers=(0, 2), heads=(1, 3), without_sink=sink)
    pieces = reduced(view, chunk).pieces()
    assert [(piece.layer, piece.heads) for piece in pieces] == [(0, (1, 3)), (2, (1, 3))]
    for piece in pieces:
        assert piece.layer is not None
        expected = weights[piece.layer, [1, 3]]
        expected = rows_without_sink(expected) if sink else expected
        assert np.allclose(piece.weights, expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_rows_and_keys_that_were_asked_for(chunk: int) -> None:
    weights = FakeAttention().weights(TOKENS)
    view = dataclasses.replace(ALL, first_query=3, num_queries=4, num_keys=7)
    pieces = reduced(view, chunk).pieces()
    for piece in pieces:
        assert piece.layer is not None
        assert np.array_equal(piece.weights, weights[piece.layer, :, 3:7, :7])


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_heads_as_one_and_all_as_one(chunk: int) -> None:
    weights = FakeAttention().weights(TOKENS).astype(np.float64)
    for reduction, along in (("mean_heads", np.mean), ("max_heads", np.max)):
        pieces = reduced(dataclasses.replace(ALL, reduction=reduction), chunk).pieces()  # type: ignore[arg-type]
        assert [(piece.layer, piece.heads) for piece in pieces] == [(0, ()), (1, ()), (2, ())]
        for piece, layer in zip(pieces, weights, strict=True):
            assert np.allclose(piece.weights[0], along(layer, axis=0), atol=1e-7, rtol=0)
    chosen = dataclasses.replace(ALL, layers=(1, 2), heads=(0, 2))
    part = weights[[1, 2]][:, [0, 2]]
    mean, largest = (one(dataclasses.replace(chosen, reduction=name), chunk) for name in ("mean", "max"))  # type: ignore[arg-type]
    assert np.allclose(mean[0], part.mean(axis=(0, 1)), atol=1e-7, rtol=0)
    assert np.allclose(largest[0], part.max(axis=(0, 1)), atol=1e-7, rtol=0)


def naive_rollout(weights: Any) -> Any:
    """By the paper's formula, in float64, all layers and rows."""
    product = np.eye(weights.shape[-1])
    for layer in weights.astype(np.float64):
        mixed = 0.5 * layer.mean(axis=0) + 0.5 * np.eye(weights.shape[-1])
        product = (mixed / mixed.sum(axis=-1, keepdims=True)) @ product
    return product


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_rollout_is_the_product_over_the_layers(chunk: int) -> None:
    expected = naive_rollout(FakeAttention().weights(TOKENS))
    view = dataclasses.replace(ALL, reduction="rollout")
    assert np.allclose(one(view, chunk)[0], expected, atol=1e-6, rtol=0)
    some = dataclasses.replace(view, first_query=2, num_queries=3, num_keys=5, without_sink=True)
    assert np.allclose(one(some, chunk)[0], rows_without_sink(expected[2:5, :5]), atol=1e-6, rtol=0)


def test_arithmetic_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    weights = FakeAttention().weights(TOKENS)
    tensor = torch.from_numpy(weights)
    eye = torch.eye(TOKENS)
    product = eye
    for layer in tensor:
        product = torch.nn.functional.normalize(0.5 * layer.mean(0) + 0.5 * eye, p=1, dim=-1) @ product
    means = [layer.mean(axis=0) for layer in weights]
    assert np.allclose(arithmetic.rollout(means, slice(None)), product.numpy(), atol=1e-6, rtol=0)
    rest = torch.nn.functional.normalize(tensor * (torch.arange(TOKENS) > 0), p=1, dim=-1)
    assert np.allclose(arithmetic.without_sink(weights), rest.numpy(), atol=1e-6, rtol=0)
    hidden = torch.from_numpy(FakeAttention().hidden(TOKENS))
    cosines = torch.nn.functional.cosine_similarity(hidden[:, None], hidden[None], dim=-1)
    assert np.allclose(arithmetic.cosines(hidden.numpy()), cosines.numpy(), atol=1e-6, rtol=0)


def test_a_vector_of_no_length_is_like_nothing() -> None:
    assert arithmetic.cosines(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("reduction", ["none", "mean_heads", "max_heads", "mean", "max", "rollout"])
def test_what_a_view_holds_is_known_before(reduction: Any) -> None:
    view = dataclasses.replace(ALL, reduction=reduction, first_query=2, num_queries=6, num_keys=8)
    reducer = reduced(view, 64)
    size = sum(piece.weights.size for piece in reducer.pieces())
    expected = num_kept(view, FakeAttention.shapes[0], 6, 8)
    assert size == (expected if reduction != "rollout" else 6 * 8)
    assert (
        expected
        == {
            "none": LAYERS * HEADS * 48,
            "mean_heads": LAYERS * 48,
            "max_heads": LAYERS * 48,
            "mean": 48,
            "max": 48,
            "rollout": LAYERS * 64,
        }[reduction]
    )
