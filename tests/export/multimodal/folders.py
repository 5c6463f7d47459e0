"""Folders of small models that read more than text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bundles import BOS, EOS, PAD, make_tokenizer
from tests.export.multimodal.models import classes, make_whole

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% for part in m.content %}{% if part.type == 'image' %}<image>"
    "{% elif part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}\n{% endfor %}"
)


def save(folder: Path, whole: Any) -> Path:
    """The folder of ``whole``, with a tokenizer, and its template where processors had it."""
    whole.save_pretrained(folder)
    add_words(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return folder


def make_folder(folder: Path, name: str) -> Any:
    """Writes a small checkpoint of a type; gives the model that reads all of it and writes text."""
    from attendant_export.source.parts import WITHIN
    from safetensors.torch import load_file, save_file

    if name not in WITHIN:
        whole = make_whole(name)
        save(folder, whole)
        return whole
    whole = make_whole(f"{name}_{WITHIN[name]}")
    save(folder, whole)
    file = folder / "model.safetensors"
    tensors = {f"{WITHIN[name]}.{tensor}": value for tensor, value in load_file(file).items()}
    save_file(tensors, file, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    speaking = {"model_type": name, "architectures": [classes()[name]], f"{WITHIN[name]}_config": config}
    (folder / "config.json").write_text(json.dumps(speaking))
    return whole


def add_words(folder: Path) -> None:
    """Puts a tokenizer into a folder."""
    make_tokenizer().save(str(folder / "tokenizer.json"))
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    (folder / "tokenizer_config.json").write_text(json.dumps(words))


def make_config(name: str, folder: Path) -> None:
    """A config.json and a file of no weights: refused before they are read."""
    from transformers import CONFIG_MAPPING

    config = {**CONFIG_MAPPING[name]().to_dict(), "architectures": [classes()[name]]}
    (folder / "config.json").write_text(json.dumps(config, default=str))
    (folder / "model.safetensors").write_text("x")
