"""The files of an adapter's folder: settings, tensors, and words of its own, if it brings some."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attendant_export.errors import SourceError, SourceNotFound, reading
from attendant_export.source.adapters.settings import CONFIG_FILE, AdapterSettings, read_settings
from attendant_export.source.json_files import read_json

WEIGHTS_FILE = "adapter_model.safetensors"
_KEY = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.(?P<end>weight|bias))?"
)
_BASE = "base_model.model."


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter as its folder has it.

    Attributes:
        sha256: of its file of weights, hexadecimal digits.
        parts: by module and name of part (``lora_A``, ``lora_B.bias``, ...), its tensors.
        whole: tensors that replace those of the model, by name.
    """

    path: Path
    settings: AdapterSettings
    sha256: str
    parts: Mapping[str, Mapping[str, torch.Tensor]]
    whole: Mapping[str, torch.Tensor]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def done(self) -> str:
        """What becomes of it, in words."""
        whole = f" and {len(self.whole)} tensors of its own" if self.whole else ""
        return (
            f"adapter {self.name} merged in float32: {len(self.parts)} weights{whole}, {WEIGHTS_FILE} with "
            f"SHA-256 {self.sha256}"
        )


def read_adapter(folder: Path) -> Adapter:
    """The LoRA adapter in ``folder``.

    Raises:
        SourceError: files that are missing or cannot be read, or something in them that is not known.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise SourceNotFound(f"{folder} is no folder of an adapter: it has no {CONFIG_FILE}")
    settings = read_settings(folder)
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        why = "adapter_model.bin is pickled, which is not read; save it with peft as safetensors" if pickled else ""
        raise SourceError(f"{folder} has no {WEIGHTS_FILE}{'; ' if why else ''}{why}")
    with reading(f"{file} cannot be read"):
        from safetensors.torch import load_file

        tensors = load_file(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    parts: dict[str, dict[str, torch.Tensor]] = {}
    whole = {}
    for key, tensor in tensors.items():
        if not key.startswith(_BASE):
            raise SourceError(f"{file}: {key!r} is no name that peft gives to a tensor; they begin with {_BASE!r}")
        name = key.removeprefix(_BASE)
        found = _KEY.fullmatch(name)
        if found is None:
            whole[name] = tensor
        else:
            part = found["part"] + (".bias" if found["end"] == "bias" else "")
            parts.setdefault(found["module"], {})[part] = tensor
    if not tensors:
        raise SourceError(f"{file} holds no tensors")
    return Adapter(folder, settings, digest, parts, whole)


def adapter_warnings(adapter: Adapter, base: Path, base_id: str) -> list[str]:
    """What of an adapter's folder is not as the base has it: the base's name, its tokenizer and its chat template."""
    trained = adapter.settings.base
    warnings = []
    if trained and trained.rstrip("/").rsplit("/", 1)[-1].lower() != base_id.rstrip("/").rsplit("/", 1)[-1].lower():
        warnings.append(f"adapter {adapter.name} says that it was trained on {trained}; it is merged into {base_id}")
    own = [
        what for what, read in (("tokenizer", _tokenizer), ("chat template", _template)) if _differ(read, adapter, base)
    ]
    if own:
        warnings.append(
            f"adapter {adapter.name} brings a {' and a '.join(own)} of its own, which is not served: the base's is; "
            "copy its files into the base's folder if it is meant"
        )
    return warnings


def _differ(read: Any, adapter: Adapter, base: Path) -> bool:
    own = read(adapter.path)
    return bool(own) and own != read(base)


def _tokenizer(folder: Path) -> Any:
    return read_json(folder / "tokenizer.json", missing_ok=True)


def _template(folder: Path) -> Any:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8").strip()
    found = read_json(folder / "tokenizer_config.json", missing_ok=True).get("chat_template")
    return found.strip() if isinstance(found, str) else found
