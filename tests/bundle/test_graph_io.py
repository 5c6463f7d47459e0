"""What is declared of graphs holds of the bundles that there are, and what is not declared is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from attendant.bundle import MANIFEST_FILE, read_any_manifest
from attendant.bundle.graph_io import (
    PAGE_CACHE,
    PAGES,
    RAGGED,
    SAMPLING,
    SLOT_SOURCES,
    SLOTS,
    PageInputs,
    SlotSourceInputs,
    by_name,
    check_graphs,
    grouped,
    ports_of,
    signature_of,
)
from attendant.bundle.graph_io.__main__ import tables
from attendant.core.errors import BundleError
from attendant.demo import demo_bundles

from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_audio_encoder, make_image_encoder, make_text_encoder


@pytest.mark.parametrize("bundle", demo_bundles(), ids=lambda bundle: bundle.name)
def test_the_graphs_of_every_demo_are_as_declared(bundle: Path) -> None:
    manifest: Any = read_any_manifest(bundle)
    check_graphs(manifest, whole=True)
    for name, graph in manifest.graphs.items():
        session = ort.InferenceSession(str(bundle / graph.file), providers=["CPUExecutionProvider"])
        signature = signature_of(manifest, name)
        assert signature is not None
        assert {found.name for found in session.get_inputs()} <= {port.name for port in signature.inputs}
        assert [found.name for found in session.get_outputs()] == [spec.name for spec in graph.outputs]
        declared = [port.name for port in signature.outputs]
        assert sorted(spec.name for spec in graph.outputs) == sorted(declared), "and each output is there"


@pytest.mark.parametrize(
    "make",
    [
        make_synthetic_bundle,
        lambda out: make_synthetic_bundle(out, ragged=True),
        lambda out: make_text_encoder(out, "fill_mask"),
        lambda out: make_text_encoder(out, "classify_tokens", "padded"),
        make_image_encoder,
        lambda out: make_audio_encoder(out, "padded"),
    ],
)
def test_bundles_of_other_hands_are_read(make: Callable[[Path], Path], tmp_path: Path) -> None:
    manifest: Any = read_any_manifest(make(tmp_path / "b"))
    assert signature_of(manifest, "no such graph") is None


def _input(data: dict[str, Any], name: str) -> dict[str, Any]:
    specs: list[dict[str, Any]] = data["graphs"]["decoder"]["inputs"]
    return next(spec for spec in specs if spec["name"] == name)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (
            lambda data: _input(data, "seqlens_k").update(name="seqlens_q"),
            r"b: decoder.onnx: takes the input 'seqlens_q'; a decoder over slots has input_ids, position_ids, seqlens_k"
            r".*past_key_0, past_value_0 and so on$",
        ),
        (lambda data: _input(data, "past_key_1").update(name="past_key_2"), "takes the input 'past_key_2'"),
        (lambda data: _input(data, "seqlens_k").update(dtype="int64"), "'seqlens_k' as int64; declared is int32"),
        (
            lambda data: _input(data, "total_sequence_length").update(shape=[2]),
            r"'total_sequence_length' of shape \[2\]; declared is \[1\]",
        ),
        (lambda data: _input(data, "input_ids").update(shape=["n"]), r"shape \[n\]; declared is \[batch, sequence\]"),
    ],
)
def test_what_is_not_declared_is_refused(change: Callable[[dict[str, Any]], None], cause: str, tmp_path: Path) -> None:
    path = make_synthetic_bundle(tmp_path / "b", name="b") / MANIFEST_FILE
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(BundleError, match=cause):
        read_any_manifest(path.parent)


def test_what_does_no_harm_is_read_and_not_written(tmp_path: Path) -> None:
    manifest: Any = read_any_manifest(make_text_encoder(tmp_path / "b"))
    with pytest.raises(BundleError, match=r"\[num_rows, longest\]; declared is \[num_rows, max_length\]"):
        check_graphs(manifest, whole=True)
    (logits,) = manifest.graphs["encoder"].outputs
    more = manifest.graphs["encoder"].model_copy(
        update={"inputs": (), "outputs": (logits, logits.model_copy(update={"name": "attention_weights"}))}
    )
    manifest = manifest.model_copy(update={"graphs": {"encoder": more}})
    check_graphs(manifest)
    with pytest.raises(BundleError, match="gives 'attention_weights'; classify in layout packed has logits"):
        check_graphs(manifest, whole=True)
    manifest = manifest.model_copy(update={"graphs": {"explain": more}})
    check_graphs(manifest)
    with pytest.raises(BundleError, match="is a graph 'explain', of which nothing is declared"):
        check_graphs(manifest, whole=True)


def test_groups_hold_arrays_as_they_hold_ports() -> None:
    sizes = {"num_sequences": 3, "num_tokens": 7, "num_logits": 2, "max_blocks": 4}
    arrays = {port.name: np.zeros(port.shape(sizes), port.dtype) for port in ports_of(PAGES, SAMPLING)}
    assert arrays["cumulative_sequence_length"].shape == (4,)
    assert (arrays["input_ids"].shape, arrays["input_ids"].dtype) == ((1, 7), np.int64)
    del arrays["attention_metadata"]
    inputs: PageInputs[np.ndarray] = grouped(PageInputs, arrays)
    assert inputs.block_table is arrays["block_table"]
    assert by_name(inputs) == {name: array for name, array in arrays.items() if name in by_name(PAGES)}
    assert by_name(SlotSourceInputs(source_seqlens=1, source_total=None)) == {"source_seqlens": 1}


def test_caches_are_named_by_their_attention_call() -> None:
    assert PAGE_CACHE.names(2) == [
        ("past_key_0", "present_key_0"),
        ("past_value_0", "present_value_0"),
        ("past_key_1", "present_key_1"),
        ("past_value_1", "present_value_1"),
    ]


def test_the_tables_for_the_documentation_have_every_port() -> None:
    text = tables()
    for port in ports_of(SLOTS, RAGGED, SLOT_SOURCES, PAGES, SAMPLING):
        assert f"| in | `{port.name}` | {port.dtype} | [" in text
    assert "| out | `present_cross_value_{i}` | the model's | [num_source_blocks, block_size, num_kv_heads" in text
