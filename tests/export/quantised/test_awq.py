"""AWQ's checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.export.quantised.folders import Packed, Tensors, assert_refused, assert_same_weights, quantised
from tests.export.quantised.whole import packed, rounded

SETTINGS = {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}
ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
"""Which of eight outputs comes first, second, ... in a word."""


def interleaved(values: torch.Tensor) -> torch.Tensor:
    """[rows, N] -> words [rows, N / 8]."""
    return packed(values.unflatten(-1, (-1, 8))[..., ORDER].flatten(-2), 4)


def in_awq(weight: torch.Tensor, group: int = 32) -> Packed:
    """qweight [K, N / 8], qzeros [groups, N / 8], scales [groups, N]."""
    whole = rounded(weight, 4, group)
    tensors = {"qweight": interleaved(whole.values.T), "qzeros": interleaved(whole.zeros.T), "scales": whole.scales.T}
    return Packed(tensors, whole.plain)


def test_the_interleaved_order(tmp_path: Path) -> None:
    assert_same_weights(quantised(tmp_path / "m", SETTINGS, in_awq))


def test_the_older_file(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", None, in_awq)
    (folder.path / "quant_config.json").write_text('{"w_bit": 4, "q_group_size": 32, "version": "GEMM"}')
    assert_same_weights(folder)


STEM = "model.layers.0.mlp.up_proj"


def _no_zeros(tensors: Tensors) -> None:
    del tensors[f"{STEM}.qzeros"]


def _scaled_activation(tensors: Tensors) -> None:
    tensors["model.layers.0.mlp.act.scales"] = torch.ones(4)


@pytest.mark.parametrize(
    ("settings", "edit", "message"),
    [
        ({}, _no_zeros, f"'{STEM}.qzeros', which belongs to '{STEM}.qweight', is missing"),
        ({}, _scaled_activation, "'model.layers.0.mlp.act.scales', of type F32, is not as AWQ is known here"),
        ({"version": "gemv"}, lambda tensors: None, "in the layout 'gemv'; the one that is read: gemm"),
    ],
    ids=["zeros", "activation", "version"],
)
def test_what_does_not_fit_is_named(tmp_path: Path, settings: dict[str, Any], edit: Any, message: str) -> None:
    folder = quantised(tmp_path / "m", SETTINGS | settings, in_awq)
    assert_refused(folder, edit, message)
