"""Mixtures of experts in every format: experts one by one, as most are published, and all of a layer in one tensor."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.export.quantised import test_awq, test_compressed, test_fp8, test_gptq
from tests.export.quantised.folders import Folder, Packer, Tensors, assert_refused, assert_same_weights, quantised
from tests.export.quantised.mixtures import COUNT, FAMILIES, mixture
from tests.export.quantised.packed import by_output, by_row_of_each, in_nvfp4, in_turned_nvfp4, of_each
from tests.export.quantised.test_as_stored import graph_error

_WORDS = test_compressed.SETTINGS
FORMATS: dict[str, tuple[dict[str, Any], Packer]] = {
    "gptq": (test_gptq.SETTINGS, test_gptq.in_gptq),
    "fp8-blocks": (test_fp8.BLOCKS, test_fp8.in_blocks),
    "awq": (test_awq.SETTINGS, test_awq.in_awq),
    "fp8-rows": (test_fp8.COMPRESSED, test_fp8.by_row),
    "words": (_WORDS, partial(test_compressed.in_words, symmetric=False)),
    "bytes": (_WORDS | {"format": "int-quantized"}, test_compressed.in_bytes),
    "nvfp4": (_WORDS | {"format": "nvfp4-pack-quantized"}, in_nvfp4),
}
_EACH_ROUND = ("gptq", "fp8-blocks")
_ONE_BY_ONE = [family for family in FAMILIES if family not in ("llama4_text", "granitemoe")]


def products(name: str) -> bool:
    """What quantisers take: the matrices of attention and experts, not routers."""
    return name.endswith(".weight") and any(part in name for part in ("proj.", ".w1.", ".w2.", ".w3."))


def packed(name: str) -> bool:
    return name.endswith(("experts.gate_up_proj", "experts.down_proj"))


def linear(name: str) -> bool:
    return name.endswith(("input_linear.weight", "output_linear.weight"))


@pytest.mark.parametrize("family", _ONE_BY_ONE)
@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[pytest.mark.nightly] * (form not in _EACH_ROUND)) for form in FORMATS]
)
def test_experts_one_by_one(tmp_path: Path, family: str, form: str) -> None:
    settings, pack = FORMATS[form]
    folder = quantised(tmp_path / "m", settings, pack, mixture(family), products)
    assert any(f"experts.{COUNT - 1}." in name for name in folder.plain), "the checkpoint has experts one by one"
    assert_same_weights(folder)


@pytest.mark.parametrize(
    ("family", "settings", "pack", "takes"),
    [
        ("llama4_text", {"quant_method": "fbgemm_fp8"}, by_output, packed),
        (
            "llama4_text",
            test_fp8.BLOCKS,
            of_each(test_fp8.in_blocks, {"weight": "", "weight_scale_inv": "_scale_inv"}),
            packed,
        ),
        ("granitemoe", test_fp8.COMPRESSED, by_row_of_each, linear),
    ],
    ids=["outputs", "blocks", "rows"],
)
def test_experts_in_one_tensor(tmp_path: Path, family: str, settings: dict[str, Any], pack: Packer, takes: Any) -> None:
    assert_same_weights(quantised(tmp_path / "m", settings, pack, mixture(family), takes))


def apart(path: Path, settings: dict[str, Any], pack: Packer) -> Folder:
    """A Llama 4 whose experts are taken apart, each quantised for itself."""
    folder = quantised(path, settings, pack, mixture("llama4_text"), products)
    tensors: Tensors = {}
    for name, weight in list(folder.plain.items()):
        if not packed(name):
            continue
        stem, _, kind = name.rpartition(".")
        parts = ("gate_proj", "up_proj") if kind == "gate_up_proj" else ("down_proj",)
        whole = []
        for number, expert in enumerate(weight):
            rows = [pack(part.contiguous()) for part in expert.T.chunk(len(parts))]
            for part, found in zip(parts, rows, strict=True):
                tensors |= {f"{stem}.{number}.{part}.{end}": each for end, each in found.tensors.items()}
            whole.append(torch.cat([found.plain for found in rows]).T)
        folder.plain[name] = torch.stack(whole)

    def put(found: Tensors) -> None:
        for name in [name for name in found if packed(name)]:
            del found[name]
        found |= tensors

    folder.change(put)
    return folder


@pytest.mark.parametrize("form", ["words", "fp8-rows"])
def test_experts_that_makers_took_apart(tmp_path: Path, form: str) -> None:
    assert_same_weights(apart(tmp_path / "m", *FORMATS[form]))


EXPERTS = "model.layers.1.feed_forward.experts"


def _without(part: str) -> Any:
    return lambda tensors: [tensors.pop(name) for name in list(tensors) if name.startswith(f"{EXPERTS}.{part}.")]


def _narrow(tensors: Tensors) -> None:
    for part in ("weight", "weight_scale"):
        tensors[f"{EXPERTS}.2.up_proj.{part}"] = tensors[f"{EXPERTS}.2.up_proj.{part}"][:32]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_without("1.up_proj"), f"expert 1 of 4 has no weight '{EXPERTS}.1.up_proj.weight'"),
        (_without("0.down_proj"), f"expert 0 of 4 has no weight '{EXPERTS}.0.down_proj.weight'"),
        (_without("3"), rf"first '{EXPERTS}.down_proj': \[3, 64, 64\] in the file, \[4, 64, 64\] by the config"),
        (_narrow, rf"'{EXPERTS}.2.up_proj.weight' has shape \[32, 64\], the first expert \[64, 64\]"),
    ],
    ids=["up", "down", "last", "narrow"],
)
def test_experts_that_are_not_whole_are_named(tmp_path: Path, edit: Any, message: str) -> None:
    assert_refused(apart(tmp_path / "m", *FORMATS["fp8-rows"]), edit, message)


def test_words_of_all_experts_in_one_tensor_are_refused(tmp_path: Path) -> None:
    pack = of_each(test_compressed.in_words, {end: end for end in ("weight_packed", "weight_scale", "weight_shape")})
    folder = quantised(tmp_path / "m", _WORDS, pack, mixture("granitemoe"), linear)
    assert_refused(folder, lambda tensors: None, r"input_linear.weight_packed', .*has shape \[4, 192, 8\]")


def _few_scales(tensors: Tensors) -> None:
    tensors[f"{EXPERTS}.down_proj_weight_scale"] = tensors[f"{EXPERTS}.down_proj_weight_scale"][:, :-1]


def _no_whole(tensors: Tensors) -> None:
    del tensors[f"{EXPERTS}.down_proj_weight_scale_2"]


def _no_scales(tensors: Tensors) -> None:
    del tensors[f"{EXPERTS}.down_proj_weight_scale"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_few_scales, f"'{EXPERTS}.down_proj_weight_scale' has 3 scales for 64 channels of .*; one for each 16"),
        (_no_whole, f"'{EXPERTS}.down_proj' has no scale of the whole: neither .*_weight_scale_2'"),
        (_no_scales, f"tensor '{EXPERTS}.down_proj.*is not as ModelOpt is known here"),
    ],
    ids=["few", "whole", "none"],
)
def test_scales_of_one_tensor_that_do_not_fit_are_named(tmp_path: Path, edit: Any, message: str) -> None:
    settings = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    assert_refused(quantised(tmp_path / "m", settings, in_turned_nvfp4, mixture("llama4_text"), packed), edit, message)


@pytest.mark.parametrize(
    ("family", "form"),
    [
        ("mixtral", "gptq"),
        *(pytest.param(*case, marks=pytest.mark.nightly) for case in (("qwen3_moe", "awq"), ("glm4_moe", "words"))),
    ],
)
def test_each_expert_keeps_its_blocks(tmp_path: Path, family: str, form: str) -> None:
    """Two products an expert: gate and up are one."""
    settings, pack = FORMATS[form]
    folder = quantised(tmp_path / "m", settings, pack, mixture(family), products)
    done, error = graph_error(folder, tmp_path)
    of_experts = COUNT + 1 if family == "glm4_moe" else COUNT  # one is shared
    count = 2 * (2 + 2 * of_experts)  # in two layers; queries, keys and values are one product
    assert done == (f"{count} products with the blocks of the checkpoint, 4 bits in blocks of 32",)
    assert error < 1e-4


@pytest.mark.nightly
def test_experts_that_makers_took_apart_keep_their_blocks(tmp_path: Path) -> None:
    """Queries are a product apart from keys and values in this family."""
    done, error = graph_error(apart(tmp_path / "m", *FORMATS["words"]), tmp_path)
    assert done == ("26 products with the blocks of the checkpoint, 4 bits in blocks of 32",)
    assert error < 1e-4
