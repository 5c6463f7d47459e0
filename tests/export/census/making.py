"""A small random model of a class, and its folder in the Hugging Face format, with a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tests.bundles import BOS, EOS, PAD, make_tokenizer
from tests.export.census.outcome import NotTried
from tests.export.census.sizes import known, small_config

MASK = "<|mask|>"
_LARGEST = 40_000_000  # parameters: above, no small config was found


def make_model(model_type: str, class_name: str, **more: Any) -> Any:
    """The model, float32, eager attention, the same weights every time, stirred so that every part shows in the output.

    Args:
        more: fields of its config.

    Raises:
        NotTried: transformers makes none of the small config.
    """
    import transformers

    model_class = getattr(transformers, class_name)
    with trying(f"no small {class_name} can be made"):
        config_class = transformers.CONFIG_MAPPING[model_type]
        own = getattr(model_class, "config_class", None)
        if own is not None and own is not config_class:  # it takes the part of the config that is of text
            config_class = own
        fields = known(config_class.model_type)
        config = small_config(config_class, {**_decoding(config_class, class_name), **more}, fields)
        if model_type.startswith("musicgen"):
            config = config.get_text_config(decoder=True)
        for part in (config, *_parts(config)):
            part._attn_implementation = "eager"
        _check_size(model_class, config)
        torch.manual_seed(0)
        model = model_class._from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    stir(model)
    return model


def stir(model: Any) -> None:
    """Adds noise to all weights: a norm, bias or sink that starts as zero or one cannot hide a mistake."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.1 if parameter.ndim == 1 else 0.05
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))


def save(model: Any, folder: Path) -> None:
    """Writes the model.

    Raises:
        NotTried: transformers cannot write it.
    """
    with trying("transformers cannot save it"):
        model.save_pretrained(folder)


def write_tokenizer(folder: Path, *, encodes: bool = False) -> None:
    """A tokenizer that writes any text with some 300 tokens; ``encodes``: with the special tokens of an encoder."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    words: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
    }
    if encodes:
        tokenizer.add_special_tokens([MASK])
        words |= {"cls_token": BOS, "sep_token": EOS, "mask_token": MASK, "model_max_length": 100}
        pair = f"{BOS} $A {EOS} $B:1 {EOS}:1"
        tokenizer.post_processor = TemplateProcessing(
            single=f"{BOS} $A {EOS}", pair=pair, special_tokens=[(BOS, 1), (EOS, 2)]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")


def loaded(class_name: str, folder: Path) -> Any:
    """What plain transformers makes of the folder: the reference.

    Raises:
        NotTried: it cannot load it.
    """
    import transformers

    with trying("transformers cannot load what it saved"):
        model_class = getattr(transformers, class_name)
        return model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@contextmanager
def trying(what: str) -> Iterator[None]:
    """What transformers raises, as a class that was not tried; ``what`` it could not."""
    try:
        yield
    except NotTried:
        raise
    except Exception as error:
        raise NotTried(f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


def _decoding(config_class: Any, class_name: str) -> dict[str, Any]:
    """What makes a decoder of the class of a family of encoders."""
    generates = class_name.endswith(("ForCausalLM", "LMHeadModel", "GenerationDecoder", "Decoder", "WithLMHead"))
    fields = getattr(config_class, "__dataclass_fields__", {})
    return {"is_decoder": True} if generates and "is_decoder" in fields else {}


def _parts(config: Any) -> Iterator[Any]:
    for name in getattr(config, "sub_configs", ()):
        part = getattr(config, name, None)
        if part is not None and not isinstance(part, dict):
            yield part


def _check_size(model_class: Any, config: Any) -> None:
    try:
        with torch.device("meta"):
            model = model_class._from_config(config)
    except Exception:  # noqa: BLE001 - some compute with their weights when they are made
        return
    count = sum(parameter.numel() for parameter in model.parameters())
    if count > _LARGEST:
        raise NotTried(f"no small {model_class.__name__} can be made: {count:,} parameters")
