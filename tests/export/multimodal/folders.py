"""Folders of small models that read more than text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bundles import BOS, EOS, PAD, make_tokenizer
from tests.export.multimodal.models import classes

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
