"""A merged adapter gives what its model gives with the adapter applied beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_export.errors import SourceError
from attendant_export.source.adapters.files import read_adapter
from attendant_export.source.folder import SourceFolder
from attendant_export.source.resolving import resolve
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from tests.bundles import make_llama
from tests.export.adapters.folders import adapted, write_adapter
from tests.export.gguf.writing import make_model, write

LAYERS = range(2)
ATTENTION = [f"model.layers.{layer}.self_attn.{part}" for layer in LAYERS for part in ("q_proj", "v_proj")]
LINEAR = [
    *(f"model.layers.{layer}.self_attn.{part}_proj" for layer in LAYERS for part in "qkvo"),
    *(f"model.layers.{layer}.mlp.{part}_proj" for layer in LAYERS for part in ("gate", "up", "down")),
]
GPT2 = [f"transformer.h.{layer}.{part}" for layer in LAYERS for part in ("attn.c_attn", "attn.c_proj", "mlp.c_proj")]
IDS = torch.tensor([[5, 9, 2, 40, 7, 33]])


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    make_llama(num_hidden_layers=len(LAYERS)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, n_positions=32)).save_pretrained(folder)
    return folder


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def merged(folder: Path, *adapters: Path) -> Any:
    return SourceFolder(folder, adapters=tuple(map(read_adapter, adapters))).pretrained("AutoModelForCausalLM")


def assert_same(found: Any, wanted: Any, base: Any) -> None:
    with torch.no_grad():
        mine, theirs, before = (model(IDS).logits for model in (found, wanted, base))
    assert (theirs - before).abs().max() > 1e-2, "the adapter changes nothing that could be seen"
    torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=1e-4)


def scales(names: list[str], scale: float) -> dict[str, float]:
    return dict.fromkeys(names, scale)


@pytest.mark.parametrize(
    ("names", "by_hand", "settings"),
    [
        (ATTENTION, scales(ATTENTION, 6.0), {}),
        (ATTENTION, scales(ATTENTION, 12.0), {"use_rslora": True}),
        (LINEAR, scales(LINEAR, 6.0), {"target_modules": "all-linear"}),
        (ATTENTION[:2], scales(ATTENTION[:2], 6.0), {"layers_to_transform": [0]}),
        (ATTENTION[2:], scales(ATTENTION[2:], 6.0), {"layers_to_transform": 1, "layers_pattern": "layers"}),
        (ATTENTION[2:], scales(ATTENTION[2:], 6.0), {"target_modules": r"model\.layers\.1\.self_attn\.[qv]_proj"}),
        (ATTENTION[1::2], scales(ATTENTION[1::2], 6.0), {"exclude_modules": ["q_proj"]}),
        (
            ATTENTION,
            {
                name: (24 if name.endswith("v_proj") else 10) / (2 if name.endswith("v_proj") else 4)
                for name in ATTENTION
            },
            {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {r"layers\.\d\.self_attn\.q_proj": 10}},
        ),
        (ATTENTION, scales(ATTENTION, 6.0), {"use_dora": True}),
        (ATTENTION, scales(ATTENTION, 6.0), {"lora_bias": True}),
        (ATTENTION, scales(ATTENTION, 6.0), {"whole": ["lm_head.weight"], "modules_to_save": ["lm_head"]}),
        (
            ["model.embed_tokens", "lm_head"],
            scales(["model.embed_tokens", "lm_head"], 6.0),
            {"target_modules": ["embed_tokens", "lm_head"]},
        ),
    ],
    ids=lambda value: "-".join(value) or "plain" if isinstance(value, dict) and "lm_head" not in value else "",
)
def test_a_llama_answers_as_with_the_adapter_beside_it(
    llama: Path, tmp_path: Path, names: list[str], by_hand: dict[str, float], settings: dict[str, Any]
) -> None:
    base = loaded(llama)
    adapter = write_adapter(tmp_path / "a", base, names, **settings)
    assert_same(merged(llama, adapter), adapted(loaded(llama), adapter, by_hand), base)


@pytest.mark.parametrize("settings", [{}, {"use_dora": True}, {"fan_in_fan_out": False}], ids=str)
def test_gpt2_keeps_its_weights_the_other_way_round(gpt2: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    base = loaded(gpt2)
    said = {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True, **settings}
    adapter = write_adapter(tmp_path / "a", base, GPT2, **said)
    assert_same(merged(gpt2, adapter), adapted(loaded(gpt2), adapter, scales(GPT2, 6.0)), base)


@pytest.mark.parametrize("module", ["transformer.wte", "lm_head"])
def test_what_shares_its_weight_with_an_adapted_module_stays_as_it_was(gpt2: Path, tmp_path: Path, module: str) -> None:
    base = loaded(gpt2)
    assert base.lm_head.weight is base.transformer.wte.weight
    adapter = write_adapter(tmp_path / "a", base, [module], target_modules=[module.rpartition(".")[2]])
    assert_same(merged(gpt2, adapter), adapted(loaded(gpt2), adapter, {module: 6.0}), base)


def test_several_are_merged_one_after_the_other(llama: Path, tmp_path: Path) -> None:
    base = loaded(llama)
    first = write_adapter(tmp_path / "1", base, ATTENTION, use_dora=True)
    second = write_adapter(tmp_path / "2", base, LINEAR, target_modules="all-linear", lora_alpha=8)
    between = merged(llama, first)
    assert_same(merged(llama, first, second), adapted(between, second, scales(LINEAR, 2.0)), base)


def test_trained_biases_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    make_llama(attention_bias=True).save_pretrained(folder)
    base = loaded(folder)
    names = [name for name, _ in base.named_modules() if name.endswith("q_proj")]
    adapter = write_adapter(
        *(tmp_path / "a", base, names),
        whole=[f"{name}.bias" for name in names],
        target_modules=["q_proj"],
        bias="lora_only",
    )
    assert_same(merged(folder, adapter), adapted(loaded(folder), adapter, scales(names, 6.0)), base)


def test_an_encoder_is_adapted_whatever_class_its_adapter_was_trained_on(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=64, **sizes)).eval()
    model.save_pretrained(tmp_path / "base")
    names = [f"encoder.layer.{layer}.attention.self.query" for layer in LAYERS]
    for number, prefix in enumerate(("base_model.model.", "base_model.model.bert.")):
        adapter = write_adapter(tmp_path / str(number), model, names, prefix=prefix, target_modules=["query"])
        found = SourceFolder(tmp_path / "base", adapters=(read_adapter(adapter),)).pretrained("AutoModel")
        wanted = BertModel.from_pretrained(tmp_path / "base", attn_implementation="eager").eval()
        adapted(wanted, adapter, scales(names, 6.0), prefix)
        with torch.no_grad():
            torch.testing.assert_close(
                found(IDS).last_hidden_state, wanted(IDS).last_hidden_state, atol=2e-5, rtol=1e-4
            )


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda tensors: tensors.pop(f"base_model.model.{ATTENTION[0]}.lora_B.weight"), "lora_B is missing"),
        (
            lambda tensors: [tensors.pop(name) for name in list(tensors) if ATTENTION[3] in name],
            rf"{ATTENTION[3]}: .* among its targets, and its weights lack it",
        ),
        (
            lambda tensors: tensors.update({f"base_model.model.{ATTENTION[0]}.lora_A.weight": torch.zeros(4, 7)}),
            r"a matrix is \[4, 7\], and \[4, \d+\] by the model and its rank",
        ),
        (
            lambda tensors: tensors.update(
                {"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.ones(1)}
            ),
            "layers.9.mlp.up_proj: the model has no such module",
        ),
        (
            lambda tensors: tensors.update({f"base_model.model.{LINEAR[1]}.lora_A.weight": torch.ones(1)}),
            "k_proj: its adapter_config.json has this module not among its targets",
        ),
        (
            lambda tensors: tensors.update({f"base_model.model.{ATTENTION[0]}.lora_magnitude_vector": torch.ones(1)}),
            "lora_magnitude_vector is there, and not expected",
        ),
        (
            lambda tensors: tensors.update({"base_model.model.model.embed_tokens.weight": torch.ones(3, 3)}),
            r"embed_tokens.weight: it is \[3, 3\], and .* in the model; its base had other tokens",
        ),
        (
            lambda tensors: tensors.update({"base_model.model.score.weight": torch.ones(2, 3)}),
            "score.weight: the model has no such tensor",
        ),
        (lambda tensors: tensors.update({"model.x": torch.ones(1)}), "'model.x' is no name that peft gives"),
    ],
)
def test_an_adapter_of_another_base_is_refused_by_name(llama: Path, tmp_path: Path, edit: Any, words: str) -> None:
    folder = write_adapter(tmp_path / "a", loaded(llama), ATTENTION, base_model_name_or_path="acme/other")
    tensors = load_file(folder / "adapter_model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(SourceError, match=words) as refused:
        merged(llama, folder)
    if "no name that peft" not in words:
        assert "of acme/other, does not fit this model" in str(refused.value)


def test_a_module_to_save_that_is_not_there_is_missed(llama: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", loaded(llama), ATTENTION, modules_to_save=["lm_head"])
    with pytest.raises(SourceError, match=r"lm_head: .* modules_to_save, and its weights lack it"):
        merged(llama, folder)


def test_a_gguf_file_takes_adapters_too(tmp_path: Path) -> None:
    model = make_model("llama")
    file = write(tmp_path / "m.gguf", model).path
    names = [name for name, _ in model.named_modules() if name.endswith(("q_proj", "v_proj"))]
    adapter = write_adapter(tmp_path / "a", model, names)
    found = resolve(str(file), adapters=[adapter]).pretrained("AutoModelForCausalLM")
    base = resolve(str(file)).pretrained("AutoModelForCausalLM")
    assert_same(
        found, adapted(resolve(str(file)).pretrained("AutoModelForCausalLM"), adapter, scales(names, 6.0)), base
    )
