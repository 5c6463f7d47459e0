"""Checkpoints of bitsandbytes: NF4 and FP4, with plain and nested scales, and int8."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.export.quantised.folders import Packed, Tensors, assert_refused, assert_same_weights, quantised

SETTINGS = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
NF4 = torch.tensor(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
        *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
        *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ]
)
FP4 = torch.tensor([0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3]) / 12


def in_four_bits(weight: torch.Tensor, kind: str = "nf4", block: int = 64, nested: int | None = None) -> Packed:
    """Two values a byte, the first one high; ``nested``: so many scales have a scale of their own."""
    table = NF4 if kind == "nf4" else FP4
    blocks = weight.reshape(-1, block)
    scales = blocks.abs().amax(1)
    state: dict[str, Any] = {"quant_type": kind, "blocksize": block, "dtype": "bfloat16", "shape": list(weight.shape)}
    tensors: Tensors = {"weight.quant_map": table.clone()}
    if nested is not None:
        map_, offset = torch.linspace(-1, 1, 256), float(scales.mean())
        groups = torch.nn.functional.pad(scales - offset, (0, -len(scales) % nested)).reshape(-1, nested)
        tops = groups.abs().amax(1)
        codes = ((groups / tops[:, None])[..., None] - map_).abs().argmin(-1)
        tensors |= {"weight.absmax": codes.flatten()[: len(scales)].to(torch.uint8), "weight.nested_absmax": tops}
        tensors["weight.nested_quant_map"] = map_.clone()
        state |= {"nested_blocksize": nested, "nested_dtype": "float32", "nested_offset": offset}
        scales = (map_[codes] * tops[:, None]).flatten()[: len(scales)] + offset
    else:
        tensors["weight.absmax"] = scales
    codes = ((blocks / scales[:, None])[..., None] - table).abs().argmin(-1).flatten()
    tensors["weight"] = (codes[::2] << 4 | codes[1::2]).to(torch.uint8)[:, None]
    text = json.dumps(state).encode()
    tensors[f"weight.quant_state.bitsandbytes__{kind}"] = torch.tensor(list(text), dtype=torch.uint8)
    return Packed(tensors, (table[codes] * scales.repeat_interleave(block)).reshape(weight.shape))


def in_bytes(weight: torch.Tensor) -> Packed:
    tops = weight.abs().amax(1)
    codes = (weight / tops[:, None] * 127).round().to(torch.int8)
    tensors = {"weight": codes, "SCB": tops, "weight_format": torch.zeros((), dtype=torch.uint8)}
    return Packed(tensors, codes.float() * (tops / 127)[:, None])


@pytest.mark.parametrize(
    "pack",
    [in_four_bits, partial(in_four_bits, kind="fp4"), partial(in_four_bits, nested=32), in_bytes],
    ids=["nf4", "fp4", "nested", "int8"],
)
def test_layouts(tmp_path: Path, pack: Any) -> None:
    assert_same_weights(quantised(tmp_path / "m", SETTINGS, pack))


NAME = "model.layers.0.mlp.up_proj.weight"
STATE = f"{NAME}.quant_state.bitsandbytes__nf4"


def _without(part: str) -> Any:
    return lambda tensors: tensors.pop(f"{NAME}{part}")


def _no_json(tensors: Tensors) -> None:
    tensors[STATE] = tensors[STATE][:-3]


def _cut(tensors: Tensors) -> None:
    tensors[NAME] = tensors[NAME][:-1]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_without(".absmax"), f"'{NAME}.absmax', which belongs to '{NAME}', is missing"),
        (_without(".quant_map"), f"'{NAME}.quant_map', which belongs to '{NAME}', is missing"),
        (_without(".quant_state.bitsandbytes__nf4"), f"'{NAME}' is of 4 bits, and there is no {NAME}.quant_state"),
        (_no_json, f"'{STATE}' holds no state of bitsandbytes"),
        (_cut, rf"'{NAME}' has shape \[4095, 1\], which does not hold the \[128, 64\] of its state"),
    ],
    ids=["scales", "table", "state", "json", "cut"],
)
def test_parts_that_do_not_fit_are_named(tmp_path: Path, edit: Any, message: str) -> None:
    folder = quantised(tmp_path / "m", SETTINGS, in_four_bits)
    assert_refused(folder, edit, message)


def test_bytes_without_scales_are_named(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", SETTINGS, in_bytes)
    assert_refused(
        folder,
        lambda tensors: tensors.pop(NAME.removesuffix("weight") + "SCB"),
        f"'{NAME}' is of 8 bits, and there is no .*up_proj.SCB",
    )
