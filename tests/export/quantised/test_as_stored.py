"""Weights of whole numbers go into a graph as the checkpoint has them: its values, scales and zero points."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from attendant_export.decoders.graphs import kv_layers, trace_graph
from attendant_export.decoders.verify import verify
from attendant_export.export import export_bundle
from attendant_export.graph.files import save_graphs
from attendant_export.graph.ragged import allow_ragged_rows
from attendant_export.progress import no_step, silent
from attendant_export.quantisation.as_stored import write_as_stored
from attendant_export.quantisation.stored import Stored
from attendant_export.recipe import Recipe, RecipeRequest
from attendant_export.source.folder import SourceFolder
from attendant_export.source.quantised.codes import Codes, block_of, group_of

from tests.export.quantised import test_awq, test_compressed, test_gptq
from tests.export.quantised.folders import Folder, quantised
from tests.export.quantised.test_awq import in_awq
from tests.export.quantised.test_compressed import in_bytes, in_words
from tests.export.quantised.test_gptq import in_gptq


def codes(bits: int, *, channels: int = 96, group: int = 32, zeros: tuple[int, int] | None = None) -> Codes:
    """Random ones; ``zeros``: the least and the largest, the middle by default."""
    generator = torch.Generator().manual_seed(bits)
    values = torch.randint(0, 2**bits, (40, channels), generator=generator, dtype=torch.uint8)
    groups = group_of(group, channels)
    shape = (40, int(groups.max()) + 1)
    middle = 2 ** (bits - 1)
    low, high = zeros or (middle, middle)
    points = torch.randint(low, high + 1, shape, generator=generator, dtype=torch.int16)
    return Codes(bits, values, torch.rand(shape, generator=generator) + 0.1, points, groups)


@pytest.mark.parametrize(
    "found",
    [
        codes(4),
        codes(4, zeros=(0, 15)),
        codes(4, zeros=(1, 16)),
        codes(2, zeros=(0, 4)),
        codes(3),
        codes(8),
        codes(8, zeros=(0, 255)),
        codes(4, group=16, zeros=(0, 15)),
        codes(4, group=48),
        codes(8, group=96),
    ],
    ids=["middle", "zeros", "16", "2-bits", "3-bits", "8", "8-zeros", "16-a-group", "48-a-group", "rows"],
)
def test_blocks_are_what_the_codes_stand_for(found: Codes) -> None:
    size = block_of(found.groups)
    assert size is not None
    blocks = found.blocks(size)
    np.testing.assert_allclose(blocks.plain(), found.plain().numpy(), rtol=1e-6, atol=1e-6)
    again = Stored([lambda: blocks]).find(np.concatenate([blocks.plain(), blocks.plain() / 8]).T)
    assert again is not None
    assert np.array_equal(again.values, np.concatenate([blocks.values] * 2))
    assert np.array_equal(again.scales[40:], blocks.scales / 8)


def test_channels_that_are_no_neighbours_have_no_blocks() -> None:
    assert block_of(group_of(24, 96)) is None
    assert block_of(torch.arange(64).flip(0) % 2) is None
    assert block_of(group_of(128, 40)) is None


GPTQ, AWQ, COMPRESSED = test_gptq.SETTINGS, test_awq.SETTINGS, test_compressed.SETTINGS


def graph_error(folder: Folder, place: Path) -> tuple[tuple[str, ...], float]:
    """What was done, and the largest error of the graph, whose products are of floats, beside the plain twin."""
    checkpoint = SourceFolder(folder.path).quantised
    assert checkpoint is not None
    assert checkpoint.stored is not None
    traced = trace_graph(folder.loaded(), Recipe(), 256, None, silent)
    done = write_as_stored(traced.model, "int8_blocks", checkpoint.stored, (), no_step)
    allow_ragged_rows(traced.model.graph)
    for node in traced.model.graph:
        if node.op_type == "MatMulNBits":
            node.attributes["accuracy_level"] = ir.AttrInt64("accuracy_level", 0)
    graph = save_graphs({"decoder": traced.model}, place)["decoder"]
    layers = kv_layers(traced.layers)
    parity = verify(folder.twin(), place / graph.file, graph, layers, recipe=Recipe(), context_length=256)
    return done, parity.max_abs_error


@pytest.mark.parametrize(
    ("settings", "pack", "kind"),
    [
        (GPTQ, in_gptq, "4 bits in blocks of 32"),
        (AWQ, in_awq, "4 bits in blocks of 32"),
        (COMPRESSED, partial(in_words, bits=8, symmetric=False), "8 bits in blocks of 32"),
        (COMPRESSED | {"format": "int-quantized"}, in_bytes, "8 bits in blocks of 32"),
    ],
    ids=["gptq", "awq", "compressed", "bytes"],
)
def test_a_graph_in_the_checkpoints_blocks_is_the_plain_model(
    tmp_path: Path, settings: dict[str, Any], pack: Any, kind: str
) -> None:
    """Queries, keys and values are one product of the graph, gate and up another; that of queries has a scale in it."""
    done, error = graph_error(quantised(tmp_path / "m", settings, pack), tmp_path)
    assert done == (f"8 products with the blocks of the checkpoint, {kind}",)
    assert error < 1e-4


@pytest.mark.parametrize(
    ("settings", "pack", "asked", "precision"),
    [(GPTQ, in_gptq, None, "int4"), (COMPRESSED, partial(in_words, bits=8), None, "int8_blocks")],
    ids=["4", "8"],
)
def test_they_are_kept_by_default(
    tmp_path: Path, settings: dict[str, Any], pack: Any, asked: Any, precision: str
) -> None:
    folder = quantised(tmp_path / "m", settings, pack)
    manifest = export_bundle(
        str(folder.path), tmp_path / "bundle", recipe=RecipeRequest(precision=asked), attention="none"
    )
    assert manifest.precision == precision
    assert any(line.startswith("8 products with the blocks of the checkpoint") for line in manifest.recipe)
    assert manifest.parity.cosine > 0.999
    assert not manifest.warnings


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    def pack(weight: torch.Tensor) -> Any:
        return in_gptq(weight, act_order=len(weight) == 128)

    folder = quantised(tmp_path / "m", GPTQ, pack)
    manifest = export_bundle(str(folder.path), tmp_path / "bundle", recipe=RecipeRequest(), attention="none")
    assert manifest.precision == "int4"
    assert manifest.warnings == (
        "4 weights, first 'model.layers.0.mlp.gate_proj.weight', have scales of channels that are no neighbours, or of "
        "fewer than 16: they are read as float32, and quantised anew where the precision has fewer bits",
    )
