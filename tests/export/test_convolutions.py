"""Convolutions over time: with several threads, rows in company have the bits that each has alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from attendant_export.encoders.export import encoder_graph
from attendant_export.encoders.passes import convolve_flat
from attendant_export.graph.nodes import Editor, nodes_of
from attendant_export.recipe import Recipe
from attendant_export.session import open_session

from tests.export.equal_rows_measure import make_sound_plan, rows_are_exact

# Of a convolution: channels in and out, kernel, stride, padding, dilation, groups, and lengths at which ONNX Runtime
# (1.31, 2 or 3 threads) adds up in another order for one row than for several, if it is one over time.
CASES: dict[str, tuple[tuple[int, int, int, int, int, int, int], tuple[int, ...]]] = {
    "the first of wav2vec2": ((1, 32, 10, 5, 0, 1, 1), (481, 2410)),
    "the second, of few channels": ((32, 32, 8, 4, 0, 1, 1), (333, 481)),
    "channels that fill no block": ((20, 20, 8, 4, 0, 1, 1), (333, 481)),
    "of spectra": ((80, 64, 3, 1, 1, 1, 1), (97, 200)),
    "of spectra, by twos": ((64, 64, 3, 2, 1, 1, 1), (200, 333)),
    "with gaps": ((64, 33, 5, 1, 4, 2, 1), (45, 97, 200)),
    "of points": ((64, 128, 1, 1, 0, 1, 1), (45, 97)),
    "of positions, in groups": ((64, 64, 16, 1, 8, 1, 4), (97, 481)),
    "of each channel": ((64, 64, 31, 1, 15, 1, 64), (97, 481)),
}


class Convolution(torch.nn.Module):  # type: ignore[misc]
    """One over time, of [rows, channels, length]."""

    def __init__(self, shape: tuple[int, ...], *, bias: bool = True) -> None:
        super().__init__()
        into, out, kernel, stride, padding, dilation, groups = shape
        torch.manual_seed(0)
        self.inner = torch.nn.Conv1d(into, out, kernel, stride, padding, dilation, groups, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, channels out, another length]."""
        return self.inner(x)


def graph_of(module: torch.nn.Module, channels: int) -> ir.Model:
    """As torch traces it."""
    program = torch.onnx.export(
        *(module.eval(), (torch.zeros(2, channels, 100),)),
        input_names=["x"],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    return program.model


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_is_torchs_and_the_same_alone(name: str, bias: bool, tmp_path: Path) -> None:
    shape, lengths = CASES[name]
    module = Convolution(shape, bias=bias)
    model = graph_of(module, shape[0])
    convolve_flat(Editor(model.graph))
    (node,) = nodes_of(model.graph, "Conv")
    assert node.inputs[1] is not None
    assert node.inputs[1].shape is not None
    assert len(node.inputs[1].shape) == (3 if shape[-1] > 1 else 4)
    ir.save(model, tmp_path / "graph.onnx")
    for threads in (1, 2, 3):
        session = open_session(tmp_path / "graph.onnx", threads=threads)
        for length in lengths:
            rows = np.random.default_rng(1).standard_normal((5, shape[0], length)).astype(np.float32)
            assert rows_are_exact(session, {"x": rows}), (threads, length)
            with torch.no_grad():
                wanted = module(torch.from_numpy(rows)).numpy()
            np.testing.assert_allclose(session.run(None, {"x": rows})[0], wanted, atol=2e-5)


@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2_stable", "sew"])
def test_recordings_of_many_lengths_are_the_same_alone(name: str, tmp_path: Path) -> None:
    """In company and alone, with one thread and with several."""
    graph, _ = encoder_graph(make_sound_plan(name), Recipe())
    ir.save(graph, tmp_path / "graph.onnx")
    for threads in (1, 2, 3):
        session = open_session(tmp_path / "graph.onnx", threads=threads)
        for length in (205, 777, 1601, 2410, 4801, 8001):
            rows = np.random.default_rng(0).standard_normal((5, length)).astype(np.float32)
            assert rows_are_exact(session, {"input_values": rows}), (threads, length)
