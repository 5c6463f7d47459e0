"""Checkpoints of compressed-tensors: packed, plain and in FP8."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.export.quantised.folders import Packed, Tensors, assert_refused, assert_same_weights, quantised
from tests.export.quantised.test_fp8 import by_row
from tests.export.quantised.whole import packed, rounded

SETTINGS = {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"]}


def in_words(
    weight: torch.Tensor, *, bits: int = 4, group: int = 32, symmetric: bool = True, act_order: bool = False
) -> Packed:
    """weight_packed [N, K * bits / 32], weight_scale [N, groups], weight_zero_point [N * bits / 32, groups]."""
    outputs, channels = weight.shape
    groups = torch.arange(channels) // group
    if act_order:
        groups = groups[torch.randperm(channels, generator=torch.Generator().manual_seed(0))]
    whole = rounded(weight, bits, group, symmetric=symmetric, groups=groups, scale_type=torch.bfloat16)
    tensors = {
        "weight_packed": packed(whole.values, bits),
        "weight_scale": whole.scales,
        "weight_shape": torch.tensor([outputs, channels]),
    }
    if not symmetric:
        tensors["weight_zero_point"] = packed(whole.zeros.T, bits).T
    if act_order:
        tensors["weight_g_idx"] = groups.to(torch.int32)
    return Packed(tensors, whole.plain)


def in_bytes(weight: torch.Tensor, group: int | None = None, *, symmetric: bool = True) -> Packed:
    """weight [N, K] int8, weight_scale and weight_zero_point [N, groups]."""
    whole = rounded(weight, 8, group or weight.shape[1], symmetric=symmetric, scale_type=torch.float32)
    tensors = {"weight": (whole.values - 128).to(torch.int8), "weight_scale": whole.scales}
    if not symmetric:
        tensors["weight_zero_point"] = (whole.zeros - 128).to(torch.int8)
    return Packed(tensors, whole.plain)


@pytest.mark.parametrize(
    "pack",
    [
        in_words,
        partial(in_words, symmetric=False),
        partial(in_words, bits=8, symmetric=False),
        partial(in_words, bits=3),
        partial(in_words, act_order=True),
    ],
    ids=["4", "4-zeros", "8-zeros", "3", "act-order"],
)
def test_packed(tmp_path: Path, pack: Any) -> None:
    assert_same_weights(quantised(tmp_path / "m", SETTINGS, pack))


@pytest.mark.parametrize("pack", [in_bytes, partial(in_bytes, group=32, symmetric=False)], ids=["rows", "groups-zeros"])
def test_bytes(tmp_path: Path, pack: Any) -> None:
    assert_same_weights(quantised(tmp_path / "m", SETTINGS | {"format": "int-quantized"}, pack))


def test_several_formats_in_one(tmp_path: Path) -> None:
    def pack(weight: torch.Tensor) -> Packed:
        return by_row(weight) if len(weight) == 64 else in_words(weight)

    groups = {"group_0": {"format": "float-quantized"}, "group_1": {"format": "pack-quantized"}}
    settings = SETTINGS | {"format": "mixed-precision", "config_groups": groups}
    assert_same_weights(quantised(tmp_path / "m", settings, pack))


STEM = "model.layers.0.mlp.up_proj"


def _no_scale(tensors: Tensors) -> None:
    del tensors[f"{STEM}.weight_scale"]


def _no_shape(tensors: Tensors) -> None:
    del tensors[f"{STEM}.weight_shape"]


def _cut(tensors: Tensors) -> None:
    tensors[f"{STEM}.weight_packed"] = tensors[f"{STEM}.weight_packed"][1:]


def _three_groups(tensors: Tensors) -> None:
    tensors[f"{STEM}.weight_scale"] = torch.ones(128, 3)


def _few_rows(tensors: Tensors) -> None:
    tensors[f"{STEM}.weight_scale"] = torch.ones(127, 2)


def _nothing(tensors: Tensors) -> None:
    pass


@pytest.mark.parametrize(
    ("settings", "edit", "message"),
    [
        ({}, _no_scale, f"'{STEM}.weight_scale', which belongs to '{STEM}.weight', is missing"),
        ({}, _no_shape, f"'{STEM}.weight_shape', which belongs to '{STEM}.weight_packed', is missing"),
        ({}, _cut, rf"'{STEM}.weight_packed' has shape \[127, 8\], which does not hold the \[128, 64\]"),
        ({}, _three_groups, f"3 groups of scales do not share the 64 channels of '{STEM}.weight'"),
        ({}, _few_rows, f"'{STEM}.weight_scale' has shape .* one row for each of 128 outputs"),
        ({"format": "marlin-24"}, _nothing, "in the format 'marlin-24'; those that are read"),
        ({"transform_config": {"config_groups": {"u": {}}}}, _nothing, "inputs are rotated while the model runs"),
    ],
    ids=["scale", "shape", "cut", "groups", "rows", "format", "transform"],
)
def test_what_does_not_fit_is_named(tmp_path: Path, settings: dict[str, Any], edit: Any, message: str) -> None:
    folder = quantised(tmp_path / "m", SETTINGS | settings, in_words)
    assert_refused(folder, edit, message)
