"""What the scripts of all makers need: the model that they quantise, and what is kept of what they write."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

SAMPLES = Path(__file__).parent
_KEPT = ("config.json", "quantize_config.json", "hf_quant_config.json", "*.safetensors")
_POSITIVE = 5  # every so many rows


def tiny(folder: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Writes a random Llama of one layer. Every fifth row of a projection is positive, so that zero points are 0."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        **{"hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 1},
        **{"num_key_value_heads": 1, "head_dim": 32, "vocab_size": 64, "max_position_embeddings": 64},
        **{"tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.2},
    )
    model = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():
        if is_quantised(name):
            weight.data[::_POSITIVE] = weight.data[::_POSITIVE].abs() + 0.01
    model.to(dtype).save_pretrained(folder)
    return folder


def is_quantised(name: str) -> bool:
    """Whether a tensor is what makers quantise."""
    return name.endswith("proj.weight")


def calibration() -> list[torch.Tensor]:
    """Rows of tokens, [1, 32] int64."""
    rows = torch.randint(3, 64, (8, 1, 32), generator=torch.Generator().manual_seed(0))
    return list(rows)


def keep(
    name: str, folder: Path, expected: Mapping[str, torch.Tensor], settings: Mapping[str, Any] | None = None
) -> None:
    """Keeps a sample under ``name``: what counts of ``folder``, and the weights that the maker reads from it.

    Args:
        settings: the quantization_config, of makers that write none.
    """
    place = SAMPLES / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for pattern in _KEPT:
        for path in folder.glob(pattern):
            shutil.copy(path, place / path.name)
    if settings is not None:
        config = json.loads((place / "config.json").read_text())
        (place / "config.json").write_text(
            json.dumps({**config, "quantization_config": dict(settings)}, indent=2) + "\n"
        )
    arrays = {key: weight.detach().float().contiguous().numpy() for key, weight in expected.items()}
    np.savez_compressed(place / "expected.npz", **arrays)
    print(f"{name}: {len(arrays)} weights")


def make(*makers: Callable[[Path, Path], None], dtype: torch.dtype = torch.float16) -> None:
    """Calls ``makers`` with the folder of the model and a place for what they write; by name where argv has any."""
    for maker in makers:
        if sys.argv[1:] and maker.__name__ not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as place:
            maker(tiny(Path(place) / "tiny", dtype), Path(place) / "made")
