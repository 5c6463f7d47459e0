"""GPTQ's checkpoints: both versions of zero points, several widths, and channels in the order of their activations."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_export.errors import SourceError
from attendant_export.source.quantised.codes import unpack

from tests.bundles import make_llama
from tests.export.quantised.folders import Packed, Tensors, assert_refused, assert_same_weights, quantised
from tests.export.quantised.whole import packed, rounded

SETTINGS = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": False}


def in_gptq(
    weight: torch.Tensor, *, bits: int = 4, group: int = 32, offset: int = 1, act_order: bool = False, **keywords: Any
) -> Packed:
    """qweight [K * bits / 32, N], qzeros [groups, N * bits / 32], scales [groups, N], g_idx [K]."""
    channels = weight.shape[1]
    group = channels if group < 0 else group
    groups = torch.arange(channels) // group
    if act_order:
        groups = groups[torch.randperm(channels, generator=torch.Generator().manual_seed(0))]
    whole = rounded(weight, bits, group, groups=groups, **keywords)
    tensors = {
        "qweight": packed(whole.values, bits).T,
        "qzeros": packed(whole.zeros.T - offset, bits),
        "scales": whole.scales.T,
        "g_idx": groups.to(torch.int32),
    }
    return Packed(tensors, whole.plain)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_widths(tmp_path: Path, bits: int) -> None:
    assert_same_weights(quantised(tmp_path / "m", SETTINGS | {"bits": bits}, partial(in_gptq, bits=bits)))


@pytest.mark.parametrize(
    ("settings", "pack"),
    [
        ({"checkpoint_format": "gptq_v2"}, partial(in_gptq, offset=0)),
        ({"checkpoint_format": "gptq", "sym": True}, partial(in_gptq, symmetric=True)),
        ({"group_size": -1}, partial(in_gptq, group=-1)),
        ({"desc_act": True}, partial(in_gptq, act_order=True)),
        ({"group_size": 24}, partial(in_gptq, group=24)),
    ],
    ids=["v2", "symmetric", "rows", "act-order", "uneven"],
)
def test_variants(tmp_path: Path, settings: dict[str, Any], pack: Any) -> None:
    assert_same_weights(quantised(tmp_path / "m", SETTINGS | settings, pack))


def test_biases_and_tied_tables_stay(tmp_path: Path) -> None:
    model = make_llama(attention_bias=True, tie_word_embeddings=True)
    torch.nn.init.normal_(model.model.layers[0].self_attn.q_proj.bias)
    folder = quantised(tmp_path / "m", SETTINGS, in_gptq, model)
    assert_same_weights(folder)
    loaded = folder.loaded()
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


def test_without_indices_and_with_the_older_file(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", None, in_gptq)
    folder.change(lambda tensors: [tensors.pop(name) for name in list(tensors) if name.endswith("g_idx")])
    (folder.path / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 32}))
    (folder.path / "model.safetensors").rename(folder.path / "gptq_model-4bit-32g.safetensors")
    assert_same_weights(folder)


def test_a_word_may_hold_a_part_of_a_value() -> None:
    for bits in range(1, 9):
        values = torch.randint(0, 2**bits, (3, 70), dtype=torch.uint8)
        assert torch.equal(unpack(packed(values, bits), bits, 70), values)


STEM = "model.layers.0.mlp.up_proj"


def _without(part: str) -> Any:
    return lambda tensors: tensors.pop(f"{STEM}.{part}")


def _short_zeros(tensors: Tensors) -> None:
    tensors[f"{STEM}.qzeros"] = tensors[f"{STEM}.qzeros"][:, :-3]


def _few_scales(tensors: Tensors) -> None:
    for part in ("scales", "qzeros"):
        tensors[f"{STEM}.{part}"] = torch.cat([tensors[f"{STEM}.{part}"]] * 2)[:3]


def _wild_index(tensors: Tensors) -> None:
    tensors[f"{STEM}.g_idx"] = tensors[f"{STEM}.g_idx"] + 1


def _other_scales(tensors: Tensors) -> None:
    tensors[f"{STEM}.scales"] = tensors[f"{STEM}.scales"][:, 1:]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_without("scales"), f"'{STEM}.scales', which belongs to '{STEM}.qweight', is missing"),
        (_without("qzeros"), f"'{STEM}.qzeros', which belongs to '{STEM}.qweight', is missing"),
        (_without("qweight"), f"'{STEM}.g_idx', of type I32, is not as GPTQ is known here"),
        (_short_zeros, f"the shapes of '{STEM}.qweight'.* do not make 2, 3, 4 or 8 bits"),
        (_few_scales, f"3 groups of scales do not share the 64 channels of '{STEM}.qweight'"),
        (_wild_index, f"'{STEM}.g_idx' must name one of 2 groups for each of 64 channels"),
        (_other_scales, rf"'{STEM}.scales', .* has shape \[2, 127\]; the rest of it asks for \[any, 128\]"),
    ],
    ids=["scales", "zeros", "weight", "short-zeros", "few-scales", "index", "shape"],
)
def test_parts_that_do_not_fit_are_named(tmp_path: Path, edit: Any, message: str) -> None:
    folder = quantised(tmp_path / "m", SETTINGS, in_gptq)
    assert_refused(folder, edit, message)


def test_layouts_of_one_kernel_are_refused(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", SETTINGS | {"checkpoint_format": "marlin"}, in_gptq)
    with pytest.raises(SourceError, match="layout 'marlin', which is made for one kernel; those that are read: gptq"):
        folder.loaded()
