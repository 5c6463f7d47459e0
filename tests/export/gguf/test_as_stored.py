"""Blocks of a GGUF file stay what they are in a graph: the same whole numbers, scales and minimums."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from attendant_export.export import export_bundle
from attendant_export.progress import no_step
from attendant_export.quantisation.as_stored import write_as_stored
from attendant_export.quantisation.stored import Stored, StoredBlocks
from attendant_export.recipe import RecipeRequest
from attendant_export.source.gguf.blocks import STORED, stored_blocks
from attendant_export.source.gguf.file import GgufTensor

from tests.export.gguf.blocks import HALVES, blocks_of, random_blocks
from tests.export.gguf.writing import make_model, write

KINDS = tuple(STORED)
CHANNELS = 256  # that K-quants share a factor


def tensor_of(kind: str, outputs: int, inputs: int, seed: int) -> GgufTensor:
    if kind in HALVES:
        return GgufTensor("w", kind, (outputs, inputs), random_blocks(kind, outputs, inputs, seed))
    values = np.random.default_rng(seed).normal(0.01, 0.05, (outputs, inputs)).astype(np.float32)
    return GgufTensor("w", kind, (outputs, inputs), blocks_of(kind, values))


def product(weight: Any) -> ir.Model:
    """x [rows, K] @ weight [K, N]."""
    x = ir.val("x", ir.DataType.FLOAT, ["rows", weight.shape[0]])
    held = ir.Value(
        name="w",
        shape=ir.Shape(weight.shape),
        type=ir.TensorType(ir.DataType.FLOAT),
        const_value=ir.Tensor(np.ascontiguousarray(weight), name="w"),
    )
    copied = ir.node("Identity", [x])
    node = ir.node("MatMul", [copied.outputs[0], held])
    copied.outputs[0].shape, copied.outputs[0].type = x.shape, x.type
    copied.outputs[0].name, node.outputs[0].name = "copy", "y"
    node.outputs[0].type, node.outputs[0].shape = x.type, ir.Shape(["rows", weight.shape[1]])
    graph = ir.Graph([x], node.outputs, nodes=[copied, node], initializers=[held], opset_imports={"": 21}, name="one")
    return ir.Model(graph, ir_version=10)


def opened(model: ir.Model, threads: int = 1) -> ort.InferenceSession:
    model.opset_imports["com.microsoft"] = 1
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    proto = ir.to_proto(model).SerializeToString()
    return ort.InferenceSession(proto, options, providers=["CPUExecutionProvider"])


def answers(model: ir.Model, x: Any) -> Any:
    """With products of floats: what is left is how they are rounded."""
    for node in model.graph:
        if node.op_type == "MatMulNBits":
            node.attributes["accuracy_level"] = ir.AttrInt64("accuracy_level", 0)
    return opened(model).run(None, {"x": x})[0]


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_hold_what_the_file_holds(kind: str) -> None:
    tensor = tensor_of(kind, 48, 2 * CHANNELS, 1)
    assert np.array_equal(stored_blocks(tensor).plain(), tensor.values())


@pytest.mark.parametrize(
    "kinds",
    [
        *((kind,) for kind in KINDS),
        *(("Q4_1", "Q4_1"), ("Q4_0", "Q8_0"), ("Q8_0", "Q4_1"), ("Q4_K", "Q6_K"), ("Q6_K", "Q4_0"), ("Q5_0", "Q6_K")),
    ],
    ids="-".join,
)
def test_a_product_in_blocks_is_the_product(kinds: tuple[str, ...]) -> None:
    """Of one weight or of two that a pass has joined, the first with its rows divided by 8."""
    tensors = [tensor_of(kind, 40, CHANNELS, seed) for seed, kind in enumerate(kinds)]
    factors = [np.float32(0.125), np.float32(1)][: len(kinds)]
    rows = [tensor.values() * factor for tensor, factor in zip(tensors, factors, strict=True)]
    weight = np.concatenate(rows).T
    model = product(weight)
    others = [tensor_of("Q4_0", 40, CHANNELS, 7), tensor_of("Q4_0", 40, 64, 8), *reversed(tensors)]
    done = write_as_stored(model, "int8", Stored([partial(stored_blocks, other) for other in others]), (), no_step)
    assert "1 products with the blocks of the checkpoint" in done[0]
    x = np.random.default_rng(3).normal(0, 1, (5, CHANNELS)).astype(np.float32)
    np.testing.assert_allclose(answers(model, x), x @ weight, rtol=1e-4, atol=1e-5)


def with_outliers(kinds: tuple[str, ...], *, shown: bool) -> tuple[ir.Model, tuple[str, ...], Any, Any]:
    """A product in blocks, what was done, rows whose channels 7 and 40 are 60 times the others, and their products.

    Args:
        shown: whether samples show such rows.
    """
    tensors = [tensor_of(kind, 40, CHANNELS, seed) for seed, kind in enumerate(kinds)]
    weight = np.concatenate([tensor.values() for tensor in tensors]).T
    rows = np.random.default_rng(3).normal(0, 1, (64, CHANNELS)).astype(np.float32)
    rows[:, [7, 40]] *= 60
    model = product(weight)
    model.opset_imports["com.microsoft"] = 1
    samples = [{"x": rows[32:]}] if shown else []
    blocks = Stored([partial(stored_blocks, tensor) for tensor in tensors])
    return model, write_as_stored(model, "int8_blocks", blocks, samples, no_step), rows[:32], rows[:32] @ weight


@pytest.mark.parametrize("kinds", [("Q4_0",), ("Q4_1",), ("Q8_0",), ("Q8_0", "Q4_1"), ("Q4_K", "Q6_K")], ids="-".join)
def test_outlier_channels_are_multiplied_apart(kinds: tuple[str, ...]) -> None:
    errors = {}
    for shown in (True, False):
        model, done, x, wanted = with_outliers(kinds, shown=shown)
        assert ("1 products with outlier channels apart, in float32" in done) == shown
        errors[shown] = np.abs(opened(model).run(None, {"x": x})[0] - wanted).max()
        np.testing.assert_allclose(answers(model, x), wanted, rtol=1e-4, atol=1e-4)
    assert errors[True] < errors[False] / 8


@pytest.mark.parametrize(
    "kinds", [("Q4_0",), ("Q4_1",), ("Q8_0",), ("Q5_1",), ("Q6_K",), ("Q4_K", "Q6_K")], ids="-".join
)
@pytest.mark.parametrize("threads", [1, 2])
def test_with_outliers_apart_a_row_is_the_same_alone_and_in_company(kinds: tuple[str, ...], threads: int) -> None:
    model, _done, x, _wanted = with_outliers(kinds, shown=True)
    session = opened(model, threads)
    whole = session.run(None, {"x": x})[0]
    for count in (1, 2, 5, 17):
        for start in range(0, len(x), count):
            alone = session.run(None, {"x": x[start : start + count]})[0]
            assert np.array_equal(alone, whole[start : start + count]), (count, start)


def test_numbers_are_those_of_the_file() -> None:
    tensor = tensor_of("Q4_1", 40, 96, 1)
    model = product(tensor.values().T)
    write_as_stored(model, "int4", Stored([lambda: stored_blocks(tensor)]), (), no_step)
    arrays = [value.const_value.numpy() for value in model.graph.initializers.values()]
    halves = [array for array in arrays if array.dtype == np.float16]
    kept = stored_blocks(tensor)
    assert any(np.array_equal(array, kept.scales) for array in halves)
    assert any(np.array_equal(array, kept.minimum) for array in halves)
    packed = next(array for array in arrays if array.dtype == np.uint8)
    assert np.array_equal(packed, kept.values[..., ::2] | kept.values[..., 1::2] << 4)
    # a file of the format has 20 bytes for a block, and so does this
    assert sum(array.nbytes for array in arrays if array.size > 8) == tensor.data.nbytes


@pytest.mark.parametrize(("kind", "more"), [("Q4_K", 1.06), ("Q5_K", 1.63), ("Q6_K", 1.35)])
def test_scales_in_two_steps_stay_so(kind: str, more: float) -> None:
    """A graph has a float for 256 channels and a whole number for each block of them, as the file has. Values of five
    and six bits take eight."""
    tensor = tensor_of(kind, 40, 2 * CHANNELS, 1)
    weight = tensor.values() * np.float32(0.125)
    model = product(weight.T)
    write_as_stored(model, "int8_blocks", Stored([lambda: stored_blocks(tensor)]), (), no_step)
    arrays = [value.const_value.numpy() for value in model.graph.initializers.values()]
    assert {array.dtype.name for array in arrays if array.size > 8} <= {"uint8", "int8", "float16", "float32"}
    assert sum(array.nbytes for array in arrays) < more * tensor.data.nbytes
    x = np.eye(2 * CHANNELS, dtype=np.float32)
    np.testing.assert_allclose(answers(model, x), weight.T, rtol=1e-5, atol=1e-7)


def test_all_blocks_are_kept_by_the_precision_of_the_file() -> None:
    tensor = tensor_of("Q6_K", 40, CHANNELS, 1)
    reads = [lambda: stored_blocks(tensor)]
    for stored, done in ((Stored(reads, "int4"), 1), (Stored(reads), 0)):
        assert len(write_as_stored(product(tensor.values().T), "int4", stored, (), no_step)) == done


@pytest.mark.parametrize("change", ["another number", "other rows", "more bits than asked for"])
def test_what_is_not_the_files_stays_a_product(change: str) -> None:
    tensor = tensor_of("Q8_0" if change.startswith("more") else "Q4_1", 40, 96, 1)
    weight = tensor.values()
    if change == "another number":
        weight[17, 5] += 0.01
    if change == "other rows":
        weight = weight[:24]
    model = product(weight.T)
    assert write_as_stored(model, "int4", Stored([lambda: stored_blocks(tensor)]), (), no_step) == ()
    assert [node.op_type for node in model.graph] == ["Identity", "MatMul"]


def test_rows_of_zeros_and_minimums_without_scales() -> None:
    values = np.zeros((2, 1, 32), np.uint8)
    blocks = StoredBlocks(4, 32, values, np.zeros((2, 1), np.float32), np.array([[0.5], [0.0]], np.float32))
    found = Stored([lambda: blocks]).find(blocks.plain().T)
    assert found is not None
    assert np.array_equal(found.plain(), blocks.plain())


@pytest.mark.parametrize(
    ("name", "kind", "asked", "precision", "line"),
    [
        ("llama", "Q4_1", None, "int4", "8 products with the blocks of the checkpoint, 4 bits in blocks of 32"),
        ("gpt2", "Q8_0", None, "int8_blocks", "8 products with the blocks of the checkpoint, 8 bits in blocks of 32"),
        ("phi3", "Q4_0", "int8", "int8", "9 products with the blocks of the checkpoint, 4 bits in blocks of 32"),
        ("qwen3", "Q5_1", None, "int8_blocks", "9 products with the blocks of the checkpoint, 8 bits in blocks of 32"),
        ("qwen2", "IQ4_NL", None, "fp32", "IQ4_NL"),
    ],
    ids=["llama", "gpt2", "phi3", "qwen3", "qwen2"],
)
def test_a_bundle_has_the_blocks_of_its_file(
    tmp_path: Path, name: str, kind: str, asked: Any, precision: str, line: str
) -> None:
    tied = make_model(name).config.tie_word_embeddings and name == "llama"

    def type_of(tensor: str) -> str:
        return "Q8_0" if tensor == "token_embd.weight" and tied else kind if "embd" not in tensor else "F32"

    path = write(tmp_path / "tiny.gguf", make_model(name), type_of).path
    manifest = export_bundle(path, tmp_path / "bundle", recipe=RecipeRequest("cpu", asked), attention="none")
    assert manifest.precision == precision
    assert any(line in done for done in manifest.recipe), manifest.recipe
    if tied:
        assert "1 table of embeddings shared with the head" in manifest.recipe
    assert manifest.parity.cosine > 0.999


def test_k_quants_are_kept_though_queries_and_values_are_of_two_types(tmp_path: Path) -> None:
    """As llama.cpp mixes them: some values, and the table that is the head, have six bits where others have four."""

    def type_of(tensor: str) -> str:
        return "Q6_K" if "attn_v" in tensor or "embd" in tensor else "Q4_K"

    sizes = {"hidden_size": CHANNELS, "intermediate_size": CHANNELS, "head_dim": CHANNELS // 4, "num_hidden_layers": 1}
    model = make_model("llama", **sizes)
    path = write(tmp_path / "tiny.gguf", model, type_of).path
    manifest = export_bundle(path, tmp_path / "bundle", recipe=RecipeRequest("cpu"), attention="none")
    assert manifest.precision == "int4"
    kept = "{} products with the blocks of the checkpoint, {} bits in blocks of {}"
    assert {kept.format(3, 4, 32), kept.format(2, 8, 16)} <= set(manifest.recipe), manifest.recipe
    assert "1 table of embeddings shared with the head" in manifest.recipe
    assert manifest.parity.cosine > 0.999
