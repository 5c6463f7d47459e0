"""Sources in pages: what a run is told about them, and where their keys and values lie."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from attendant.bundle import AudioSource, KVLayer, TextSource
from attendant.core.plan import CopyRow, SetBlocks
from attendant.core.source import SOURCES, Source
from attendant.runtime.devices import HostDevice
from attendant.runtime.packed import Packed
from attendant.runtime.session import SessionOptions, open_session
from attendant.runtime.source_batches import SourceRow
from attendant.runtime.source_pages import SourcePages

ROWS, BLOCK_SIZE, LONGEST = 3, 4, 10  # three blocks for each row
LAYERS = (
    KVLayer(num_kv_heads=2, head_size=8, dtype="float16"),
    KVLayer(num_kv_heads=1, head_size=8, dtype="float16"),
)
TEXT = TextSource(max_length=LONGEST, layout="packed")


def make(session: Any = None, source: TextSource | AudioSource = TEXT, batch_tokens: int = 16) -> SourcePages:
    session = session or SimpleNamespace(get_inputs=lambda: [])
    manifest: Any = SimpleNamespace(encoder_input=source, cross_layers=LAYERS)
    return SourcePages(session, manifest, HostDevice(), num_rows=ROWS, block_size=BLOCK_SIZE, batch_tokens=batch_tokens)


def arrays_of(pages: SourcePages, num_tokens: int) -> dict[str, np.ndarray]:
    packed = Packed(pages.fields(num_tokens))
    memory = np.full(packed.size, 7, np.uint8)
    return packed.views(memory)


def caches(pages: SourcePages) -> list[np.ndarray]:
    """Keys and values of each call, [num_rows, positions, num_kv_heads * head_size], the very memory."""
    return [buffer.owner.view(np.float16).reshape(ROWS, 12, -1) for buffer in pages._buffers]  # type: ignore[attr-defined]


def test_each_token_is_a_sequence_that_ends_with_its_source() -> None:
    pages = make()
    pages.lengths[:] = (3, 10, 1)
    arrays = arrays_of(pages, 5)
    pages.fill(arrays, np.array([1, 1, 0, 2], np.int32))  # the fifth is nobody's
    assert arrays["source_bounds"].tolist() == [0, 1, 2, 3, 4, 5]
    assert arrays["source_past_seqlens"].tolist() == [9, 9, 2, 0, 0]
    assert arrays["source_block_table"].tolist() == [[3, 4, 5], [3, 4, 5], [0, 1, 2], [6, 7, 8], [0, 0, 0]]
    assert arrays["source_slot_mapping"].tolist() == [-1] * 5


def test_runs_over_nothing_claim_the_longest_source() -> None:
    pages = make()
    arrays = arrays_of(pages, 2)
    pages.fill_longest(arrays)
    assert arrays["source_bounds"].tolist() == [0, 1, 2]
    assert arrays["source_past_seqlens"].tolist() == [LONGEST - 1] * 2
    assert arrays["source_block_table"].tolist() == [[0, 1, 2]] * 2
    assert arrays["source_slot_mapping"].tolist() == [-1] * 2


@pytest.mark.parametrize(("source", "shortest"), [(TEXT, 0), (AudioSource(max_length=LONGEST), LONGEST)])
def test_bounds_hold_for_every_run(source: TextSource | AudioSource, shortest: int) -> None:
    """What a captured run was told at first has to be true of all later ones: sound has one length, texts have any."""
    assert make(source=source)._metadata.tolist() == [1, LONGEST, shortest]


def test_a_copied_source_is_whole_and_alone() -> None:
    pages = make()
    generator = np.random.default_rng(0)
    for cache in caches(pages):
        cache[:] = generator.normal(size=cache.shape)
    before = [cache.copy() for cache in caches(pages)]
    pages.lengths[:] = (1, 2, 7)
    assert pages.num_bytes == sum(cache.nbytes for cache in caches(pages))
    pages.apply([SetBlocks(0, 0, (1,)), CopyRow(SOURCES, 2, 0)])
    assert pages.lengths.tolist() == [7, 2, 7]
    for cache, old in zip(caches(pages), before, strict=True):
        np.testing.assert_array_equal(cache[0, :7], old[2, :7])
        np.testing.assert_array_equal(cache[0, 7:], old[0, 7:])
        np.testing.assert_array_equal(cache[1:], old[1:])


@pytest.mark.parametrize("batch_tokens", [6, 32])
def test_sources_that_are_encoded_together_come_to_their_own_rows(tmp_path: Path, batch_tokens: int) -> None:
    """An encoder whose keys and values are the tokens themselves, plus a number of their own for each output."""
    pages = make(open_session(make_encoder(tmp_path), SessionOptions()), batch_tokens=batch_tokens)
    texts = {2: np.arange(5), 0: np.arange(20, 30), 1: np.array([50])}
    pages.encode([SourceRow(f"r{row}", row, Source({"input_ids": text}, len(text))) for row, text in texts.items()])
    assert pages.lengths.tolist() == [10, 1, 5]
    for number, cache in enumerate(caches(pages)):
        for row, text in texts.items():
            np.testing.assert_array_equal(cache[row, : len(text)], np.repeat(text[:, None], cache.shape[2], 1) + number)
            assert not cache[row, len(text) :].any()


def make_encoder(folder: Path) -> Path:
    ir = pytest.importorskip("onnx_ir", reason="the exporter is not installed")
    ids = ir.val("input_ids", ir.DataType.INT64, [1, "num_tokens"])

    def constant(name: str, array: np.ndarray) -> Any:
        return ir.Value(name=name, const_value=ir.Tensor(array, name=name))

    shape = constant("shape", np.array([-1, 1, 1], np.int64))
    nodes = [ir.node("Reshape", [ids, shape]), ir.node("Cast", [], {"to": int(ir.DataType.FLOAT16)})]
    nodes[1].resize_inputs(1)
    nodes[1].replace_input_with(0, nodes[0].outputs[0])
    constants, outputs = [shape], []
    for number, (layer, kind) in enumerate((layer, kind) for layer in range(2) for kind in ("key", "value")):
        spread = np.full((1, LAYERS[layer].num_kv_heads, LAYERS[layer].head_size), number, np.float16)
        constants.append(constant(f"spread_{number}", spread))
        nodes.append(ir.node("Add", [nodes[1].outputs[0], constants[-1]]))
        output = nodes[-1].outputs[0]
        output.name, output.dtype = f"cross_{kind}_{layer}", ir.DataType.FLOAT16
        output.shape = ir.Shape(["num_tokens", *spread.shape[1:]])
        outputs.append(output)
    graph = ir.Graph([ids], outputs, nodes=nodes, initializers=constants, opset_imports={"": 21}, name="encoder")
    ir.save(ir.Model(graph, ir_version=10), folder / "encoder.onnx")
    return folder / "encoder.onnx"
