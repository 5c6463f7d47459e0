"""A model of transformers made of weights that are read one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from attendant_export.source.json_files import read_json
from attendant_export.source.quantised.weights import Weight

_SAYS_QUANTISED = ("quantization_config", "compression_config")


def load(folder: Path, auto_class: str, weights: Mapping[str, Weight]) -> tuple[Any, dict[str, Any]]:
    """The model of a folder's config with ``weights`` in float32, and what transformers says of the loading.

    Args:
        auto_class: name of a class of transformers, e.g. ``AutoModelForCausalLM``.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    _forget(config)
    with torch.device("meta"):
        empty = getattr(transformers, auto_class).from_config(config, attn_implementation="eager")
    model, info = type(empty).from_pretrained(
        None,
        config=empty.config,
        state_dict=dict(weights),
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    if model.can_generate():
        model.generation_config = _generation_config(folder)
    return model, info


def _forget(config: Any) -> None:
    """Takes away what a config says of quantisation: the model is plain now."""
    for part in (config, *(getattr(config, name) for name in config.sub_configs if getattr(config, name, None))):
        for name in _SAYS_QUANTISED:
            if hasattr(part, name):
                delattr(part, name)


def _generation_config(folder: Path) -> Any:
    """As transformers has it when it loads a folder."""
    from transformers import GenerationConfig

    if (folder / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    return GenerationConfig.from_model_config(read_json(folder / "config.json"))
