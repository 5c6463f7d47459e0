"""torchao's checkpoints in safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_export.errors import SourceError

from tests.export.quantised.folders import Packed, Tensors, assert_refused, assert_same_weights, quantised
from tests.export.quantised.test_fp8 import by_row
from tests.export.quantised.whole import rounded

SETTINGS = {"quant_method": "torchao", "quant_type": {"default": {"_type": "IntxWeightOnlyConfig"}}}


def _as(kind: str, tensors: Tensors, plain: torch.Tensor) -> Packed:
    metadata = json.dumps({"_type": kind, "_data": {"block_size": [1, 32]}, "_tensor_data_names": [*tensors]})
    return Packed({f"_weight_{name}": tensor for name, tensor in tensors.items()}, plain, {"weight": metadata})


def in_groups(weight: torch.Tensor) -> Packed:
    whole = rounded(weight, 4, 32, scale_type=torch.float32)
    tensors = {"qdata": (whole.values - 8).to(torch.int8), "scale": whole.scales}
    return _as("IntxUnpackedToInt8Tensor", tensors | {"zero_point": (whole.zeros - 8).to(torch.int8)}, whole.plain)


def in_rows(weight: torch.Tensor) -> Packed:
    whole = rounded(weight, 8, weight.shape[1], symmetric=True, scale_type=torch.float32)
    return _as("Int8Tensor", {"qdata": (whole.values - 128).to(torch.int8), "scale": whole.scales}, whole.plain)


def in_floats(weight: torch.Tensor) -> Packed:
    found = by_row(weight, torch.float32)
    tensors = {"qdata": found.tensors["weight"], "scale": found.tensors["weight_scale"]}
    return _as("Float8Tensor", tensors, found.plain)


def in_tiles(weight: torch.Tensor) -> Packed:
    return _as("Int4TilePackedTo4dTensor", {"qdata": torch.zeros(4, dtype=torch.int32)}, weight)


@pytest.mark.parametrize("pack", [in_groups, in_rows, in_floats], ids=["groups", "rows", "fp8"])
def test_plain_classes(tmp_path: Path, pack: Any) -> None:
    assert_same_weights(quantised(tmp_path / "m", SETTINGS, pack))


def test_other_classes_are_refused_by_name(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", SETTINGS, in_tiles)
    with pytest.raises(SourceError, match="torchao's Int4TilePackedTo4dTensor, which is not read; what is: Int8"):
        folder.loaded()


NAME = "model.layers.0.mlp.up_proj"


def _no_scale(tensors: Tensors) -> None:
    del tensors[f"{NAME}._weight_scale"]


def _three(tensors: Tensors) -> None:
    for part in ("scale", "zero_point"):
        tensors[f"{NAME}._weight_{part}"] = torch.cat([tensors[f"{NAME}._weight_{part}"]] * 2, dim=1)[:, :3]


def _pre_scaled(tensors: Tensors) -> None:
    tensors[f"{NAME}._weight_act_pre_scale"] = torch.ones(64)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_no_scale, f"'{NAME}._weight_scale', which belongs to '{NAME}.weight', is missing"),
        (_three, rf"'{NAME}._weight_scale' has shape \[128, 3\], which does not go with \[128, 64\]"),
        (_pre_scaled, f"'{NAME}.weight' has its inputs scaled"),
    ],
    ids=["scale", "groups", "pre-scaled"],
)
def test_what_does_not_fit_is_named(tmp_path: Path, edit: Any, message: str) -> None:
    folder = quantised(tmp_path / "m", SETTINGS, in_groups)
    assert_refused(folder, edit, message)
