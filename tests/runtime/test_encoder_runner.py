"""Rows in, their own parts of the outputs out: exact, whatever they run beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead, EncoderManifest, read_any_manifest
from attendant.core.encoding import Row
from attendant.core.errors import BundleError
from attendant.runtime.encoder_runner import EncoderRunner
from attendant.runtime.session import SessionOptions, open_session

from tests.synthetic_encoder import (
    HIDDEN,
    POISON,
    VOCAB,
    expected_row,
    expected_tokens,
    head,
    make_audio_encoder,
    make_image_encoder,
    make_text_encoder,
)

RNG = np.random.default_rng(3)
IDS = [RNG.integers(0, VOCAB, n) for n in (5, 1, 40, 7, 40, 2)]


def open_runner(bundle: Path, **changes: Any) -> EncoderRunner:
    manifest: Any = read_any_manifest(bundle)
    assert isinstance(manifest, EncoderManifest)
    graphs = {name: open_session(bundle / graph.file, SessionOptions(1)) for name, graph in manifest.graphs.items()}
    return EncoderRunner(graphs["encoder"], manifest.model_copy(update=changes), graphs.get("projection"))


def text_row(ids: np.ndarray, **arrays: np.ndarray) -> Row:
    return Row(str(len(ids)), {"input_ids": ids, **arrays}, len(ids), 0)


def outputs(runner: EncoderRunner, rows: list[Row]) -> list[np.ndarray]:
    return [found[runner.output] for found in runner.run(rows)]


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_one_output_a_row(tmp_path: Path, layout: str) -> None:
    runner = open_runner(make_text_encoder(tmp_path / "b", "classify", layout))
    found = outputs(runner, [text_row(ids) for ids in IDS])
    for ids, logits in zip(IDS, found, strict=True):
        np.testing.assert_array_equal(logits, expected_row(ids, 3, positions=layout == "packed"))


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize(("task", "width"), [("embed", HIDDEN), ("classify_tokens", 3), ("answer", 2)])
def test_one_output_a_token(tmp_path: Path, layout: str, task: str, width: int) -> None:
    runner = open_runner(make_text_encoder(tmp_path / "b", task, layout))
    found = outputs(runner, [text_row(ids) for ids in IDS])
    for ids, output in zip(IDS, found, strict=True):
        hidden = expected_tokens(ids, positions=layout == "packed")
        np.testing.assert_array_equal(output, hidden if task == "embed" else hidden @ head(width))


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_token_types_are_each_rows_own_and_zero_where_a_row_has_none(tmp_path: Path, layout: str) -> None:
    runner = open_runner(make_text_encoder(tmp_path / "b", "classify", layout))
    types = np.arange(5) % 2
    with_types, without = outputs(runner, [text_row(IDS[0], token_type_ids=types), text_row(IDS[2])])
    positions = layout == "packed"
    np.testing.assert_array_equal(with_types, expected_row(IDS[0], 3, types, positions=positions))
    np.testing.assert_array_equal(without, expected_row(IDS[2], 3, positions=positions))


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_logits_of_the_tokens_that_rows_ask_for(tmp_path: Path, layout: str) -> None:
    runner = open_runner(make_text_encoder(tmp_path / "b", "fill_mask", layout))
    wanted = [np.array(index) for index in ([0, 4], [0], [39, 2, 2], [], [1], [1])]
    wanted = [index.astype(np.int64) for index in wanted]
    rows = [text_row(ids, logits_index=index) for ids, index in zip(IDS, wanted, strict=True)]
    for ids, index, logits in zip(IDS, wanted, outputs(runner, rows), strict=True):
        hidden = expected_tokens(ids, positions=layout == "packed")
        np.testing.assert_array_equal(logits, hidden[index] @ head(VOCAB))


def test_images(tmp_path: Path) -> None:
    runner = open_runner(make_image_encoder(tmp_path / "b"))
    pixels = RNG.integers(-5, 5, (4, 3, 4, 6)).astype(np.float32)
    found = outputs(runner, [Row(str(i), {"pixel_values": image}, 1, 0) for i, image in enumerate(pixels)])
    for image, logits in zip(pixels, found, strict=True):
        np.testing.assert_array_equal(logits, image.sum(axis=(1, 2)) @ head(2)[:3])


@pytest.mark.parametrize(("layout", "lengths"), [("equal", [20, 20]), ("padded", [20, 7, 4, 23]), ("padded", [6])])
def test_audio_rows_have_their_own_frames(tmp_path: Path, layout: str, lengths: list[int]) -> None:
    runner = open_runner(make_audio_encoder(tmp_path / "b", layout))
    samples = [RNG.integers(-5, 5, n).astype(np.float32) for n in lengths]
    rows = [Row(str(i), {"input_values": values}, len(values), 0) for i, values in enumerate(samples)]
    for values, logits in zip(samples, outputs(runner, rows), strict=True):
        frames = values[: len(values) // 4 * 4].reshape(-1, 4).sum(axis=1)
        np.testing.assert_array_equal(logits, frames[:, None] * np.arange(4))


def test_frames_are_counted_back_from_the_longest_row_where_the_first_ones_extent_is_unknown(tmp_path: Path) -> None:
    bundle = make_audio_encoder(tmp_path / "b", "padded")
    manifest: Any = read_any_manifest(bundle)
    runner = open_runner(bundle, input=manifest.input.model_copy(update={"min_samples": 8}))
    rows = [Row(str(n), {"input_values": np.ones(n, np.float32)}, n, 0) for n in (40, 20, 19)]
    assert [len(logits) for logits in outputs(runner, rows)] == [10, 5, 4]


def test_batched_equals_isolated(tmp_path: Path) -> None:
    for layout in ("packed", "padded"):
        runner = open_runner(make_text_encoder(tmp_path / layout, "classify_tokens", layout))
        rows = [text_row(ids) for ids in IDS]
        for row, together in zip(rows, outputs(runner, rows), strict=True):
            np.testing.assert_array_equal(together, outputs(runner, [row])[0])


def test_vectors_are_projected_where_the_bundle_does_so(tmp_path: Path) -> None:
    pooled = RNG.integers(-5, 5, (3, HIDDEN)).astype(np.float32)
    plain = open_runner(make_text_encoder(tmp_path / "plain", "embed"))
    np.testing.assert_array_equal(plain.project(pooled), pooled)
    wide = EmbeddingHead(pooling="cls", dimensions=6)
    projecting = open_runner(make_text_encoder(tmp_path / "wide", "embed", embedding=wide))
    np.testing.assert_array_equal(projecting.project(pooled), pooled @ head(6))
    np.testing.assert_array_equal(projecting.project(pooled.astype(np.float64)), pooled @ head(6))


def test_an_id_beyond_the_vocabulary_raises_and_the_next_run_is_right(tmp_path: Path) -> None:
    runner = open_runner(make_text_encoder(tmp_path / "b"))
    with pytest.raises(Exception, match="out of"):
        runner.run([text_row(IDS[0]), text_row(np.array([POISON]))])
    np.testing.assert_array_equal(outputs(runner, [text_row(IDS[0])])[0], expected_row(IDS[0], 3))


def test_a_row_without_tokens_is_refused(tmp_path: Path) -> None:
    runner = open_runner(make_text_encoder(tmp_path / "b"))
    with pytest.raises(AssertionError, match="no token"):
        runner.run([text_row(IDS[0]), text_row(IDS[0][:0])])


def test_a_graph_of_another_layout_or_task_is_refused(tmp_path: Path) -> None:
    bundle = make_text_encoder(tmp_path / "b")
    with pytest.raises(BundleError, match=r"b: encoder.onnx: takes the input 'pad_index'; classify in layout padded"):
        open_runner(bundle, layout="padded")
    with pytest.raises(BundleError, match=r"gives \['logits'\]; embed needs 'token_embeddings'"):
        open_runner(bundle, task="embed", embedding=EmbeddingHead(pooling="mean", dimensions=4))
