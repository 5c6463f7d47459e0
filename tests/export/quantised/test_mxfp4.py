"""gpt-oss as it is published: experts in MXFP4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_export.export import export_bundle

from tests.export.quantised.folders import Folder, Packed, Tensors, assert_refused, assert_same_weights, quantised
from tests.export.quantised.packed import nearest

SETTINGS = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}


def gpt_oss() -> Any:
    from transformers import AutoModelForCausalLM, GptOssConfig

    torch.manual_seed(0)
    config = GptOssConfig(
        **{"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_local_experts": 4},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300},
        **{"max_position_embeddings": 256, "initializer_range": 0.2, "rope_scaling": None, "pad_token_id": 0},
        **{"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64},
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()


def in_mxfp4(weight: torch.Tensor) -> Packed:
    """[experts, K, N] -> blocks [experts, N, K / 32, 16] and scales [experts, N, K / 32]."""
    experts, channels, outputs = weight.shape
    blocks = weight.transpose(1, 2).reshape(experts, outputs, channels // 32, 32)
    exponents = torch.floor(torch.log2(blocks.abs().amax(-1))) - 2  # the largest value is 6: 1.5 * 2**2
    scaled = blocks / torch.exp2(exponents)[..., None]
    codes, plain = nearest(scaled)
    plain = plain * torch.exp2(exponents)[..., None]
    tensors = {"_blocks": codes, "_scales": (exponents + 127).to(torch.uint8)}
    return Packed(tensors, plain.reshape(experts, outputs, channels).transpose(1, 2).contiguous())


def experts(name: str) -> bool:
    return name.endswith(("experts.gate_up_proj", "experts.down_proj"))


@pytest.fixture
def published(tmp_path: Path) -> Folder:
    return quantised(tmp_path / "m", SETTINGS, in_mxfp4, gpt_oss(), experts)


def test_the_experts_are_what_the_blocks_stand_for(published: Folder) -> None:
    assert_same_weights(published)


def test_transformers_reads_the_same(published: Folder) -> None:
    """To the bit, by its own code for the format, of random blocks and scales."""
    from transformers import AutoModelForCausalLM, Mxfp4Config

    def random_bytes(tensors: Tensors) -> None:
        generator = torch.Generator().manual_seed(0)
        for name, tensor in tensors.items():
            if name.endswith("_blocks"):
                tensors[name] = torch.randint(0, 256, tensor.shape, generator=generator, dtype=torch.uint8)
            elif name.endswith("_scales"):
                tensors[name] = torch.randint(20, 235, tensor.shape, generator=generator, dtype=torch.uint8)

    published.change(random_bytes)
    wanted = AutoModelForCausalLM.from_pretrained(
        published.path, quantization_config=Mxfp4Config(dequantize=True), dtype=torch.float32, local_files_only=True
    ).state_dict()
    found = published.loaded().state_dict()
    assert set(found) == set(wanted)
    assert not [name for name in wanted if not torch.equal(found[name], wanted[name])]


def test_it_exports_and_answers_as_its_plain_twin(published: Folder, tmp_path: Path) -> None:
    """The export compares the graph with the model that was loaded, which is the twin, to the bit."""
    manifest = export_bundle(str(published.path), tmp_path / "bundle")
    assert manifest.recipe[0] == "4 weights of MXFP4 read as float32"
    assert manifest.parity.max_abs_error < 1e-4
    assert json.loads((tmp_path / "bundle" / "bundle.json").read_text())["architecture"] == "gpt_oss"


NAME = "model.layers.0.mlp.experts.gate_up_proj"


def _no_blocks(tensors: Tensors) -> None:
    del tensors[f"{NAME}_blocks"]


def _no_scales(tensors: Tensors) -> None:
    del tensors[f"{NAME}_scales"]


def _wrong(tensors: Tensors) -> None:
    tensors[f"{NAME}_scales"] = tensors[f"{NAME}_scales"][:, :-1]


def _narrow(tensors: Tensors) -> None:
    for part in ("blocks", "scales"):
        tensors[f"{NAME}_{part}"] = tensors[f"{NAME}_{part}"][:, :, :1]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_no_blocks, f"'{NAME}_scales' has no '{NAME}_blocks' beside it"),
        (_no_scales, f"tensor '{NAME}_scales', which belongs to '{NAME}_blocks', is missing"),
        (_wrong, rf"'{NAME}_scales', .*has shape \[4, 191, 2\]; the rest of it asks for \[4, 192, 2\]"),
        (_narrow, rf"first '{NAME}': \[4, 32, 192\] in the file, \[4, 64, 192\] by the config"),
    ],
    ids=["blocks", "scales", "shape", "narrow"],
)
def test_parts_that_do_not_fit_are_named(published: Folder, edit: Any, message: str) -> None:
    assert_refused(published, edit, message)
