"""FP8 checkpoints, with scales of blocks, channels and tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_export.errors import SourceError
from attendant_export.source.folder import SourceFolder
from attendant_export.source.quantised.sizes import Sizes, size_of

from tests.export.quantised.folders import Packed, Tensors, assert_refused, assert_same_weights, quantised

FP8 = torch.float8_e4m3fn
BLOCKS = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [48, 32]}
COMPRESSED = {"quant_method": "compressed-tensors", "format": "float-quantized"}


def in_blocks(weight: torch.Tensor, rows: int = 48, columns: int = 32) -> Packed:
    """As DeepSeek's: ``weight_scale_inv`` [N / rows, K / columns], rounded up; the last blocks are cut off."""
    height, width = -(-weight.shape[0] // rows), -(-weight.shape[1] // columns)
    scales = torch.empty(height, width)
    codes, plain = torch.empty(weight.shape, dtype=FP8), torch.empty(weight.shape)
    for row in range(height):
        for column in range(width):
            at = (slice(row * rows, (row + 1) * rows), slice(column * columns, (column + 1) * columns))
            scales[row, column] = weight[at].abs().max() / 448
            codes[at] = (weight[at] / scales[row, column]).to(FP8)
            plain[at] = codes[at].float() * scales[row, column]
    return Packed({"weight": codes, "weight_scale_inv": scales}, plain)


def by_row(weight: torch.Tensor, scale_type: torch.dtype = torch.bfloat16) -> Packed:
    """As compressed-tensors' and FBGEMM's: ``weight_scale`` [N, 1]."""
    scales = (weight.abs().amax(1, keepdim=True) / 448).to(scale_type)
    codes = (weight / scales.float()).clamp(-448, 448).to(FP8)
    return Packed({"weight": codes, "weight_scale": scales}, codes.float() * scales.float())


def as_whole(weight: torch.Tensor) -> Packed:
    """One scale, and the one of activations, which is not read."""
    scale = weight.abs().max() / 448
    codes = (weight / scale).to(FP8)
    return Packed({"weight": codes, "weight_scale": scale, "input_scale": torch.ones(())}, codes.float() * scale)


def deepseek() -> Any:
    """A small DeepSeek of the third kind: latent attention, and experts of which each has weights of its own."""
    from transformers import AutoModelForCausalLM, DeepseekV3Config

    torch.manual_seed(0)
    config = DeepseekV3Config(
        **{"hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 64, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2},
        **{"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "kv_lora_rank": 32, "q_lora_rank": 32},
        **{"qk_rope_head_dim": 16, "qk_nope_head_dim": 16, "v_head_dim": 16, "vocab_size": 300},
        **{"max_position_embeddings": 256, "initializer_range": 0.2, "pad_token_id": 0},
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def of_layers(name: str) -> bool:
    return "proj" in name and name.endswith("weight")


def test_scales_of_blocks(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", BLOCKS, in_blocks)
    assert_same_weights(folder)
    assert not hasattr(folder.loaded().config, "quantization_config")


def test_experts_have_scales_of_their_own(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", BLOCKS, in_blocks, deepseek(), of_layers)
    assert any("experts.3" in name for name in folder.plain), "the checkpoint has experts one by one"
    assert_same_weights(folder)


@pytest.mark.parametrize("pack", [by_row, as_whole], ids=["row", "tensor"])
def test_scales_of_rows_and_of_the_tensor(tmp_path: Path, pack: Any) -> None:
    assert_same_weights(quantised(tmp_path / "m", {"quant_method": "fbgemm_fp8"}, pack))


def test_bytes_are_exponents(tmp_path: Path) -> None:
    def pack(weight: torch.Tensor) -> Packed:
        exponents = torch.full((1, weight.shape[1] // 32), 120, dtype=torch.uint8)
        codes = (weight * 2**7).clamp(-448, 448).to(FP8)
        return Packed({"weight": codes, "weight_scale_inv": exponents}, codes.float() / 2**7)

    assert_same_weights(quantised(tmp_path / "m", {"quant_method": "fp8", "weight_block_size": [256, 32]}, pack))


def test_what_a_file_of_modelopt_says(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", None, as_whole)
    (folder.path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    assert_same_weights(folder)


def test_a_last_block_may_be_shorter() -> None:
    """What the settings name counts: 192 rows with 2 scales are 128 and 64, not twice 96."""
    assert size_of(192, 2, frozenset({128})) == 128
    assert size_of(192, 2, frozenset()) is None, "without a name, nobody knows"
    assert size_of(256, 2, frozenset()) == 128
    assert size_of(200, 2, frozenset({128, 100})) is None, "two of them fit"
    assert size_of(96, 1, frozenset({128})) == 96


def test_sizes_are_found_where_each_library_has_them() -> None:
    groups = {"a": {"weights": {"block_structure": [64, 32]}}, "b": {"weights": {"group_size": 16}}}
    assert Sizes.of({"config_groups": groups}) == Sizes(frozenset({64}), frozenset({32, 16}))
    quark = {"global_quant_config": {"weight": [{"group_size": 16}, {"group_size": None}]}}
    assert Sizes.of(quark) == Sizes(frozenset(), frozenset({16}))
    assert Sizes.of({"group_size": -1, "weight_block_size": [1, 32]}) == Sizes(frozenset({1}), frozenset({32}))


NAME = "model.layers.0.mlp.up_proj.weight"


def _drop_scale(tensors: Tensors) -> None:
    del tensors[f"{NAME}_scale_inv"]


def _cut_scale(tensors: Tensors) -> None:
    tensors[f"{NAME}_scale_inv"] = tensors[f"{NAME}_scale_inv"][:1]


def _whole_scale(tensors: Tensors) -> None:
    tensors[f"{NAME}_scale_inv"] = tensors[f"{NAME}_scale_inv"].long()


def _plain(tensors: Tensors) -> None:
    for name in list(tensors):
        if name.endswith("_scale_inv"):
            del tensors[name]
        else:
            tensors[name] = tensors[name].float()


def _strange(tensors: Tensors) -> None:
    tensors["model.layers.0.mlp.other.weight"] = torch.zeros(4, 4, dtype=torch.int8)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_drop_scale, f"{NAME}' is FP8 without a scale; there is none of {NAME}_scale_inv"),
        (
            _cut_scale,
            rf"'{NAME}_scale_inv' has shape \[1, 2\], which does not go with .* blocks of \[48\] rows",
        ),
        (_whole_scale, rf"{NAME}_scale_inv', which belongs to '{NAME}', is of type I64; allowed: F32"),
        (_plain, "none of the 21 tensors is; if they are plain"),
        (_strange, "'model.layers.0.mlp.other.weight', of type I8, is not as FP8 is known here"),
    ],
    ids=["no-scale", "short-scale", "type", "plain", "strange"],
)
def test_parts_that_do_not_fit_are_named(tmp_path: Path, edit: Any, message: str) -> None:
    folder = quantised(tmp_path / "m", BLOCKS, in_blocks)
    assert_refused(folder, edit, message)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", BLOCKS, in_blocks)
    file = folder.path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(SourceError, match=r"model.safetensors cannot be read"):
        folder.loaded()
    file.rename(folder.path / "model-00001-of-00002.safetensors")
    index = folder.path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-00002-of-00002.safetensors"}}')
    with pytest.raises(SourceError, match=r"model-00002-of-00002.safetensors is missing; model.safetensors.index.json"):
        folder.loaded()


def test_shards(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = quantised(tmp_path / "m", BLOCKS, in_blocks)
    tensors = load_file(folder.path / "model.safetensors")
    shards: list[Tensors] = [{}, {}]
    for number, (name, tensor) in enumerate(sorted(tensors.items())):  # weights and scales lie apart
        shards[number % 2][name] = tensor
    for number, shard in enumerate(shards):
        save_file(shard, folder.path / f"part-{number}.safetensors")
    (folder.path / "model.safetensors").unlink()
    names = {name: f"part-{number}.safetensors" for number, shard in enumerate(shards) for name in shard}
    (folder.path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert_same_weights(folder)


def test_an_unknown_method_is_refused_by_name(tmp_path: Path) -> None:
    folder = quantised(tmp_path / "m", {"quant_method": "vptq"}, in_blocks)
    with pytest.raises(SourceError, match=r"quantised with vptq \(config.json\), which is not read; what is: .*mxfp4"):
        SourceFolder(folder.path).quantised  # noqa: B018
