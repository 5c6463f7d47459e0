"""Adapters that peft itself writes, merged here and run by peft: the largest difference of their logits.

By hand, `python -m tests.export.adapters.by_peft`, where peft can be imported. No other test needs it.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from attendant_export.source.adapters.files import read_adapter
from attendant_export.source.folder import SourceFolder
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from tests.bundles import make_llama

LLAMA = {"target_modules": ["q_proj", "v_proj", "down_proj"]}
GPT2 = {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("llama", LLAMA),
    ("llama", {**LLAMA, "use_rslora": True}),
    ("llama", {**LLAMA, "use_dora": True}),
    ("llama", {**LLAMA, "lora_bias": True}),
    ("llama", {"target_modules": "all-linear"}),
    ("llama", {"target_modules": r".*layers\.1.*\.(q|up)_proj"}),
    ("llama", {**LLAMA, "layers_to_transform": [1], "layers_pattern": "layers"}),
    ("llama", {**LLAMA, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {r"layers\.0\.self_attn\.v_proj": 3}}),
    ("llama", {**LLAMA, "modules_to_save": ["lm_head", "embed_tokens"]}),
    ("llama", {"target_modules": ["embed_tokens", "lm_head", "q_proj"]}),
    ("llama", {**LLAMA, "exclude_modules": ["v_proj"]}),
    ("biased", {"target_modules": ["q_proj"], "bias": "all"}),
    ("biased", {"target_modules": ["q_proj"], "bias": "lora_only"}),
    ("gpt2", GPT2),
    ("gpt2", {**GPT2, "use_dora": True}),
    ("gpt2", {**GPT2, "target_modules": ["c_attn", "wte"]}),
)
IDS = torch.tensor([[5, 9, 2, 40, 7, 33]])


def main() -> None:
    """Prints a line for each case."""
    peft = importlib.import_module("peft")
    with tempfile.TemporaryDirectory() as place:
        for number, (name, settings) in enumerate(CASES):
            base, folder = Path(place) / name, Path(place) / str(number)
            if not base.exists():
                _save(name, base)
            torch.manual_seed(number)
            model = peft.get_peft_model(
                _loaded(base), peft.LoraConfig(r=4, lora_alpha=24, init_lora_weights=False, **settings)
            )
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.data += 0.05 * torch.randn_like(parameter)
            model.save_pretrained(folder)
            source = SourceFolder(base, adapters=(read_adapter(folder),))
            with torch.no_grad():
                plain = _loaded(base)(IDS).logits
                theirs = peft.PeftModel.from_pretrained(_loaded(base), folder).eval()(IDS).logits
                mine = source.pretrained("AutoModelForCausalLM")(IDS).logits
            print(
                f"{name} {settings}: {(mine - theirs).abs().max():.1e}, the adapter {(plain - theirs).abs().max():.1e}"
            )


def _save(name: str, folder: Path) -> None:
    torch.manual_seed(0)
    if name == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, n_positions=32))
    else:
        model = make_llama(attention_bias=name == "biased")
    model.save_pretrained(folder)


def _loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


if __name__ == "__main__":
    main()
