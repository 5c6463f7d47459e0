"""Which method a folder says that its weights were quantised with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendant_export.errors import SourceError
from attendant_export.source.json_files import read_json

_OLDER = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Files of GPTQ and AWQ from before config.json had it; by file, the method."""
_MODELOPT = "hf_quant_config.json"
_SAME = {
    **dict.fromkeys(("bitsandbytes_4bit", "bitsandbytes_8bit"), "bitsandbytes"),
    **dict.fromkeys(("fbgemm_fp8", "mxfp8"), "fp8"),
    **dict.fromkeys(("modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed"), "modelopt"),
}
_PACKED_AS = {
    **dict.fromkeys(("auto_round:auto_gptq", "auto_round:gptq"), "gptq"),
    **dict.fromkeys(("auto_round:auto_awq", "auto_round:awq"), "awq"),
}
"""Layouts of auto-round that are others' (``packing_format``)."""
NAMES: Mapping[str, str] = {
    "awq": "AWQ",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "fp8": "FP8",
    "gptq": "GPTQ",
    "modelopt": "ModelOpt",
    "mxfp4": "MXFP4",
    "quark": "Quark",
    "torchao": "torchao",
}
"""The methods that are read, by the name that config.json has for them, in the words of people."""


@dataclass(frozen=True)
class Scheme:
    """``method``: one of :data:`NAMES`. ``settings``: what ``file`` says of it."""

    method: str
    settings: Mapping[str, Any]
    file: Path

    @property
    def name(self) -> str:
        """The method in the words of people."""
        return NAMES[self.method]


def scheme_of(folder: Path, config: Mapping[str, Any]) -> Scheme | None:
    """The method of a folder; None where its weights are plain.

    Args:
        config: content of its config.json.

    Raises:
        SourceError: a method that is not read; names it, and those that are.
    """
    found = _section(config)
    if found is not None:
        return _known(str(found.get("quant_method") or "a method without a name"), found, folder / "config.json")
    for name, method in _OLDER.items():
        if (folder / name).is_file():
            return _known(method, read_json(folder / name), folder / name)
    if (folder / _MODELOPT).is_file():
        return _known("modelopt", read_json(folder / _MODELOPT).get("quantization") or {}, folder / _MODELOPT)
    return None


def _section(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    parts = [config, *(part for name, part in config.items() if name.endswith("_config") and isinstance(part, dict))]
    for part in parts:
        found = part.get("quantization_config") or part.get("compression_config")
        if isinstance(found, dict) and found:
            return found
    return None


def _known(method: str, settings: Mapping[str, Any], file: Path) -> Scheme:
    method = _SAME.get(method, method)
    if method == "auto-round":
        packing = str(settings.get("packing_format"))
        method = _PACKED_AS.get(packing, f"auto-round in the layout {packing}")
    if method not in NAMES:
        raise SourceError(
            f"{file.parent}: the weights are quantised with {method} ({file.name}), which is not read; what is: "
            f"{', '.join(sorted(NAMES))}. Export the checkpoint that they were made from"
        )
    return Scheme(method, settings, file)
