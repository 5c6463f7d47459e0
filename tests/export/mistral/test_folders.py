"""Folders in Mistral's own format give the model and the tokens of their makers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_export.errors import ExportError, SourceError, TokenizerError, UnsupportedModel
from attendant_export.source.gguf.families import halves
from attendant_export.source.mistral.words import tokenizer_of
from attendant_export.source.resolving import resolve
from safetensors.torch import save_file

SAMPLES = Path(__file__).parent
VOCABULARY = 724
PARAMS = {
    **{"dim": 32, "n_layers": 2, "head_dim": 16, "hidden_dim": 48, "n_heads": 4, "n_kv_heads": 2},
    **{"norm_eps": 1e-5, "vocab_size": VOCABULARY, "rope_theta": 10000.0, "max_seq_len": 128},
}
NAMES = {
    **{"q_proj": "attention.wq", "k_proj": "attention.wk", "v_proj": "attention.wv", "o_proj": "attention.wo"},
    **{"gate_proj": "feed_forward.w1", "down_proj": "feed_forward.w2", "up_proj": "feed_forward.w3"},
    **{"input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm"},
}
ENDS = {"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output"}


def make_model() -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        **{"hidden_size": 32, "num_hidden_layers": 2, "head_dim": 16, "intermediate_size": 48, "sliding_window": None},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": VOCABULARY},
        **{"max_position_embeddings": 128, "initializer_range": 0.2, "attn_implementation": "eager"},
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    return MistralForCausalLM(config).eval()


def in_pairs(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows as Mistral has them: those that rotate together side by side."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2).contiguous()


def write(folder: Path, model: Any, **changes: Any) -> Path:
    """A folder in Mistral's own format; ``changes`` of its params."""
    tensors = {}
    for name, weight in model.state_dict().items():
        stem = name.removesuffix(".weight")
        part = stem.rsplit(".", 1)[-1]
        known = ENDS[stem] if stem in ENDS else f"layers.{stem.split('.')[2]}.{NAMES[part]}"
        heads = {"q_proj": 4, "k_proj": 2}.get(part)
        tensors[f"{known}.weight"] = (in_pairs(weight, heads) if heads else weight.clone()).to(torch.bfloat16)
    folder.mkdir()
    save_file(tensors, folder / "consolidated.safetensors")
    (folder / "params.json").write_text(json.dumps({**PARAMS, **changes}))
    shutil.copy(SAMPLES / "tekken.json", folder / "tekken.json")
    return folder


def test_the_model_is_the_one_that_was_written(tmp_path: Path) -> None:
    model = make_model()
    found = resolve(str(write(tmp_path / "m", model))).pretrained("AutoModelForCausalLM")
    wanted = {name: weight.bfloat16().float() for name, weight in model.state_dict().items()}
    assert found.state_dict().keys() == wanted.keys()
    assert all(torch.equal(weight, wanted[name]) for name, weight in found.state_dict().items())
    model.load_state_dict(wanted)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.equal(found(ids).logits, model(ids).logits)
    assert found.generation_config.eos_token_id == 2


def test_rows_are_turned_so_that_scores_are_those_of_pairs() -> None:
    """mistral-inference rotates channels 2 i and 2 i + 1 of a head as a complex number."""
    size, positions = 16, torch.arange(5.0)
    angles = positions[:, None] / 10000 ** (torch.arange(0, size, 2) / size)  # [5, 8]
    x, query, key = torch.randn(5, 32), torch.randn(size, 32), torch.randn(size, 32)

    def by_pairs(weight: torch.Tensor) -> torch.Tensor:
        values = torch.view_as_complex((x @ weight.T).unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(values * torch.polar(torch.ones_like(angles), angles)).flatten(-2)

    def by_halves(weight: torch.Tensor) -> torch.Tensor:
        first, second = (x @ torch.from_numpy(halves(weight.numpy(), 1).copy()).T).chunk(2, dim=-1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    torch.testing.assert_close(by_halves(query) @ by_halves(key).T, by_pairs(query) @ by_pairs(key).T)


def test_tokens_are_those_of_mistral_common() -> None:
    tokenizer = tokenizer_of(SAMPLES / "tekken.json")
    wanted = json.loads((SAMPLES / "ids.json").read_text())
    assert {text: tokenizer.encode(text).ids for text in wanted} == wanted
    assert {text: tokenizer.decode(ids) for text, ids in wanted.items()} == {text: text for text in wanted}
    assert tokenizer.encode("[INST]a").ids[1] == 3
    assert tokenizer.get_vocab_size() == VOCABULARY


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"moe": {"num_experts": 8}}, UnsupportedModel, "says moe .*; of Mistral's own format plain models are read"),
        ({"vision_encoder": {"dim": 8}}, UnsupportedModel, "says vision_encoder"),
        ({"sliding_window": [8, 16]}, UnsupportedModel, r"says sliding_window \[8, 16\]"),
        ({"q_lora_rank": 8}, UnsupportedModel, "has a field 'q_lora_rank', which is not known here"),
        ({"hidden_dim": None}, SourceError, "hidden_dim is None; it must be a positive whole number"),
        ({"rope_theta": "large"}, SourceError, "rope_theta is 'large'; it must be a positive number"),
        ({"max_seq_len": 0}, SourceError, "the greatest length is 0; it must be a positive whole number"),
        ({"hidden_dim": 64}, SourceError, "tensors do not have the sizes that config.json asks for"),
        ({"n_layers": 1}, SourceError, "params.json has no place for 'model.layers.1"),
        ({"n_layers": 3}, SourceError, "the weights lack 9 tensors of the model"),
        ({"tied_embeddings": True}, UnsupportedModel, "has a tensor 'output.weight', which plain models"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_no_plain_model_is_named(
    tmp_path: Path, changes: dict[str, Any], error: type[ExportError], message: str
) -> None:
    with pytest.raises(error, match=message):
        resolve(str(write(tmp_path / "m", make_model(), **changes))).pretrained("AutoModelForCausalLM")


def test_windows_and_the_folders_own_template_are_taken(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", make_model(), sliding_window=16)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    found = resolve(str(folder))
    assert found.config["sliding_window"] == 16
    assert found.has("chat_template.jinja")
    assert found.id == "m"


def test_a_damaged_vocabulary_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", make_model())
    whole = json.loads((folder / "tekken.json").read_text())
    for content in ({}, {**whole, "vocab": [{"rank": 0}]}, {**whole, "vocab": whole["vocab"][1:]}):
        (folder / "tekken.json").write_text(json.dumps(content))
        with pytest.raises(TokenizerError, match="is no vocabulary of Mistral's tekken"):
            resolve(str(folder))
    (folder / "tekken.json").unlink()
    with pytest.raises(SourceError, match=r"has no tekken.json.*this tokenizer is read alone"):
        resolve(str(folder))
