"""Attention of the demo models: what numpy makes of the served graphs' queries and keys, run after run."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import EncoderManifest, GeneratorManifest, read_any_manifest, read_manifest
from attendant.core.attention import AttentionModel, AttentionSubject
from attendant.core.source import Source
from attendant.demo import demo_bundle
from attendant.models.attention import attention_of
from attendant.runtime import decoder_attention
from attendant.runtime.decoder_attention import DecoderAttention
from attendant.runtime.row_inputs import RowShape, text_inputs
from attendant.runtime.run_error import RunError

from tests.attention_reference import Array, Call, calls_of, head_of, open_model

DEMO = demo_bundle().parent
TOLERANCE = 1e-5
ROUNDED = 5e-3
"""The demo models round activations to 8 bits: a last bit that differs moves one of them by a step."""
RNG = np.random.default_rng(7)
IDS = RNG.integers(5, 1000, 101)
SOURCE = RNG.integers(5, 1000, 70)


def attention(name: str) -> Any:
    found = attention_of(DEMO / name, read_any_manifest(DEMO / name), 1)
    assert found is not None
    return found


def joined(model: AttentionModel, subject: AttentionSubject) -> tuple[dict[tuple[str, int], Array], Array]:
    """Weights by kind and layer, [heads, queries, keys], and hidden states, of all runs together."""
    runs = list(model.runs(subject))
    found, hidden = dict[tuple[str, int], list[Array]](), list[Array]()
    for run in runs:
        for part in run.parts:
            rows = found.setdefault((part.kind, part.layer), [])
            assert part.first_query == sum(each.shape[1] for each in rows)
            rows.append(part.weights)
        if run.hidden is not None:
            assert run.first_query == sum(len(rows) for rows in hidden)
            hidden.append(run.hidden)
    keys = {place: max(each.shape[2] for each in rows) for place, rows in found.items()}
    weights = {
        place: np.concatenate([np.pad(each, ((0, 0), (0, 0), (0, keys[place] - each.shape[2]))) for each in rows], 1)
        for place, rows in found.items()
    }
    return weights, np.concatenate(hidden)


def close(weights: dict[tuple[str, int], Array], kind: str, wanted: list[Call], within: float = TOLERANCE) -> None:
    layers = [weights[place] for place in sorted(weights) if place[0] == kind]
    assert len(layers) == len(wanted)
    for found, call in zip(layers, wanted, strict=True):
        assert found.dtype == np.float32
        assert np.abs(found - call.weights).max() <= within
        assert np.abs(found.sum(-1) - 1).max() <= TOLERANCE


def caches(manifest: GeneratorManifest, length: int) -> dict[str, Array]:
    """Empty ones for one sequence."""
    return {
        f"past_{part}_{i}": np.zeros((1, layer.num_kv_heads, length, layer.head_size), np.float32)
        for i, layer in enumerate(manifest.kv_layers)
        for part in ("key", "value")
    }


def decoder_feeds(manifest: GeneratorManifest, ids: Array) -> dict[str, Array]:
    n = len(ids)
    feeds = caches(manifest, n) | {
        "input_ids": ids[None],
        "position_ids": np.arange(n)[None],
        "seqlens_k": np.array([n - 1], np.int32),
        "total_sequence_length": np.array([n], np.int32),
        "logits_index": np.arange(n),
    }
    taken = {spec.name for spec in manifest.graphs["decoder"].inputs}
    return {name: array for name, array in feeds.items() if name in taken}


def served(path: Path, feeds: dict[str, Array], *names: str) -> list[Array]:
    import onnx

    session = open_model(onnx.load(path), path.parent)
    found: list[Array] = session.run(list(names), feeds)
    return found


def test_a_decoder_looks_at_what_its_queries_and_keys_say_in_every_chunk() -> None:
    path, manifest = DEMO / "bundle", read_manifest(DEMO / "bundle")
    feeds = decoder_feeds(manifest, IDS)
    model = attention("bundle")

    runs = list(model.runs(AttentionSubject({"input_ids": IDS})))
    weights, hidden = joined(model, AttentionSubject({"input_ids": IDS}))

    assert [(run.first_query, run.parts[0].weights.shape) for run in runs] == [(0, (8, 64, 64)), (64, (8, 37, 101))]
    close(weights, "self", calls_of(path / "attention.onnx", feeds))  # in one run over all tokens
    close(weights, "self", calls_of(path / "decoder.onnx", feeds), ROUNDED)
    assert not any(layer[:, ~np.tri(101, dtype=bool)].any() for layer in weights.values())
    head = head_of(path / "decoder.onnx", "index_select")
    (logits,) = served(path / "decoder.onnx", feeds, "logits")
    np.testing.assert_allclose(head.run(None, {"index_select": hidden})[0], logits, atol=0.1)


@pytest.mark.parametrize("length", [1, 2, 3, 65])
def test_a_decoder_of_any_length_gives_every_query_once(length: int) -> None:
    weights, hidden = joined(attention("bundle"), AttentionSubject({"input_ids": IDS[:length]}))

    assert {layer.shape for layer in weights.values()} == {(8, length, length)}
    assert len(hidden) == length


def test_chunks_are_smaller_where_their_weights_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = AttentionSubject({"input_ids": IDS})
    whole, _ = joined(attention("bundle"), subject)
    monkeypatch.setattr(decoder_attention, "MAX_CHUNK_WEIGHTS", 4 * 8 * 101 * 10)
    model = attention("bundle")

    largest = max(sum(part.weights.size for part in run.parts) for run in model.runs(subject))
    parts, _ = joined(model, subject)

    assert largest <= 4 * 8 * 101 * 10
    assert all(np.abs(parts[place] - whole[place]).max() <= TOLERANCE for place in whole)


def test_an_encoder_looks_at_what_its_queries_and_keys_say() -> None:
    path, manifest = DEMO / "sentiment", read_any_manifest(DEMO / "sentiment")
    assert isinstance(manifest, EncoderManifest)
    weights, hidden = joined(attention("sentiment"), AttentionSubject({"input_ids": IDS}))
    shape = RowShape.of([len(IDS)])
    row: Any = dataclasses.make_dataclass("Row", ["arrays"])({"input_ids": IDS})
    names = frozenset(spec.name for spec in manifest.graphs["encoder"].inputs)
    feeds = text_inputs([row], shape, manifest.input, "packed", names)  # type: ignore[arg-type]

    close(weights, "self", calls_of(path / "encoder.onnx", feeds), ROUNDED)
    first = {place: layer for place, layer in weights.items() if place[1] == 0}
    close(first, "self", calls_of(path / "attention.onnx", feeds)[:1])
    last = "layernormalization_attendant_36"
    np.testing.assert_allclose(hidden, served_value(path / "encoder.onnx", feeds, last)[0], atol=ROUNDED * 10)


def test_patches_of_an_image_look_at_each_other_and_lie_in_a_grid() -> None:
    path, manifest = DEMO / "shapes", read_any_manifest(DEMO / "shapes")
    pixels = RNG.standard_normal((3, 48, 48)).astype(np.float32)
    weights, hidden = joined(attention("shapes"), AttentionSubject({"pixel_values": pixels}))

    close(weights, "self", calls_of(path / "attention.onnx", {"pixel_values": pixels[None]}))
    close(weights, "self", calls_of(path / "encoder.onnx", {"pixel_values": pixels[None]}), ROUNDED)
    assert manifest.attention is not None
    assert manifest.attention.patches is not None
    patches = manifest.attention.patches
    assert patches.num_prefix + patches.rows * patches.columns == len(hidden) == attention("shapes").max_tokens
    assert (patches.rows, patches.columns, patches.num_prefix) == (6, 6, 1)
    (logits,) = served(path / "encoder.onnx", {"pixel_values": pixels[None]}, "logits")
    head = head_of(path / "encoder.onnx", "select")
    np.testing.assert_allclose(head.run(None, {"select": hidden[:1]})[0], logits, atol=0.1)


def test_an_encoder_decoder_gives_all_three_kinds() -> None:
    path, manifest = DEMO / "translator", read_manifest(DEMO / "translator")
    assert manifest.encoder_input is not None
    source = Source({"input_ids": SOURCE}, len(SOURCE))
    model = attention("translator")
    weights, hidden = joined(model, AttentionSubject({"input_ids": IDS}, source))
    shape = RowShape.of([len(SOURCE)])
    row: Any = dataclasses.make_dataclass("Row", ["arrays"])({"input_ids": SOURCE})
    names = frozenset(spec.name for spec in manifest.graphs["encoder"].inputs)
    reading = text_inputs([row], shape, manifest.encoder_input, "packed", names)  # type: ignore[arg-type]

    close(weights, "encoder", calls_of(path / "attention_source.onnx", reading))
    close(weights, "encoder", calls_of(path / "encoder.onnx", reading), ROUNDED)
    outputs = [spec.name for spec in manifest.graphs["encoder"].outputs]
    cross = dict(zip(outputs, (found[None] for found in served(path / "encoder.onnx", reading, *outputs)), strict=True))
    told = {"source_seqlens": np.array([69], np.int32), "source_total": np.array([70], np.int32)}
    # One run takes no more tokens than the source has.
    feeds = decoder_feeds(manifest, IDS[:60]) | cross | told
    calls = calls_of(path / "decoder.onnx", feeds)
    beginning = {place: layer[:, :60] for place, layer in weights.items()}
    own = {place: layer[..., :60] for place, layer in beginning.items()}
    close(own, "self", [call for call in calls if not call.cross], ROUNDED)
    close(beginning, "cross", [call for call in calls if call.cross], ROUNDED)
    (logits,) = served(path / "decoder.onnx", feeds, "logits")
    head = head_of(path / "decoder.onnx", "index_select")
    np.testing.assert_allclose(head.run(None, {"index_select": hidden[:60]})[0], logits, atol=0.1)


def test_a_source_that_is_shorter_than_its_answer_is_looked_at_in_chunks_of_its_length() -> None:
    source = Source({"input_ids": SOURCE[:5]}, 5)

    weights, _ = joined(attention("translator"), AttentionSubject({"input_ids": IDS[:23]}, source))

    assert weights["cross", 2].shape == (5, 23, 5)
    assert weights["self", 2].shape == (5, 23, 23)


def test_the_graph_is_opened_when_somebody_asks_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "attendant")
    model = attention("bundle")
    runs = model.runs(AttentionSubject({"input_ids": IDS[:9]}))
    assert not caplog.messages

    next(runs)
    runs.close()

    assert [line.partition(" in ")[0] for line in caplog.messages] == ["demo: opened attention.onnx"]


def test_a_graph_that_cannot_be_opened_is_a_run_that_fails(tmp_path: Path) -> None:
    manifest = read_manifest(DEMO / "bundle")
    assert manifest.attention is not None
    model = DecoderAttention(tmp_path, manifest, manifest.attention, options(), lambda *_: [])

    with pytest.raises(RunError, match=r"attention\.onnx"):
        next(model.runs(AttentionSubject({"input_ids": IDS})))


def options() -> Any:
    from attendant.runtime.session import SessionOptions

    return SessionOptions()


def served_value(path: Path, feeds: dict[str, Array], name: str) -> Array:
    """A value inside a served graph."""
    import onnx

    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    found: Array = open_model(model, path.parent).run([name], feeds)[0]
    return found
