"""A quantised checkpoint as a whole: the weights of its method, and what is stored plainly beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attendant.bundle import Precision

from attendant_export.errors import SourceError
from attendant_export.quantisation.stored import Stored
from attendant_export.source.quantised.awq import read_awq
from attendant_export.source.quantised.bitsandbytes import read_bitsandbytes
from attendant_export.source.quantised.compressed import read_compressed
from attendant_export.source.quantised.fp8 import read_fp8
from attendant_export.source.quantised.gptq import read_gptq
from attendant_export.source.quantised.modelopt import read_modelopt
from attendant_export.source.quantised.mxfp4 import read_mxfp4
from attendant_export.source.quantised.scheme import Scheme
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.torchao import read_torchao
from attendant_export.source.quantised.weights import Reading, Weight

Reader = Callable[[Tensors, Mapping[str, Any]], Reading]
_READERS: Mapping[str, Reader] = {
    "awq": read_awq,
    "bitsandbytes": read_bitsandbytes,
    "compressed-tensors": read_compressed,
    "fp8": read_fp8,
    "gptq": read_gptq,
    "modelopt": read_modelopt,
    "mxfp4": read_mxfp4,
    "quark": read_modelopt,
    "torchao": read_torchao,
}
_SMALL = 4  # bits
_PLAIN = ("F64", "F32", "F16", "BF16")
_PARTS = (
    *("_scale", "_scale_inv", "_packed", "_blocks", "_scales", ".scales", "qweight", "qzeros", "g_idx", "_zero_point"),
    *("SCB", ".absmax", "quant_map", "_qdata", "_scale_2", "_global_scale"),
)
"""Ends of names that are parts of quantised weights."""


@dataclass(frozen=True)
class Checkpoint:
    """``weights`` by the names that the model has for them. ``done``: what became of them, a sentence each.
    ``warnings``: what is not as the checkpoint has it. ``precision``: what keeps most of its weights as they are."""

    weights: Mapping[str, Weight]
    done: tuple[str, ...]
    warnings: tuple[str, ...]
    precision: Precision | None = None

    @property
    def stored(self) -> Stored | None:
        """The weights that graphs can have as they are stored."""
        reads = [weight.blocks for weight in self.weights.values() if weight.blocks is not None]
        return Stored(reads, self.precision) if reads else None


def read_checkpoint(folder: Path, scheme: Scheme) -> Checkpoint:
    """Looks at the headers of a folder's files; what they hold is read when it is needed.

    Raises:
        SourceError: files that cannot be read, parts that are missing or do not fit, or a layout that is not known;
            names the tensor.
    """
    tensors = Tensors(folder)
    reading = _READERS[scheme.method](tensors, scheme.settings)
    if not reading.weights:
        raise SourceError(
            f"{folder}: {scheme.file.name} says that the weights are quantised ({scheme.name}), and none of the "
            f"{len(tensors)} tensors is; if they are plain, take what it says of quantisation away"
        )
    weights = dict(reading.weights)
    modules = {name.removesuffix(".weight") for name in weights if name.endswith(".weight")}
    for name in tensors:
        if name in reading.used:
            continue
        _check_plain(tensors, name, scheme, modules)
        weights[name] = Weight(tensors[name], partial(tensors.read, name))
    done = f"{len(reading.weights)} weights of {scheme.name} read as float32"
    return Checkpoint(weights, (done,), _warnings(reading), _precision(reading))


def _precision(reading: Reading) -> Precision | None:
    """Where most weights can be kept in their blocks: that of as many bits, by the first."""
    kept = [weight for weight in reading.weights.values() if weight.blocks is not None]
    if 2 * len(kept) < len(reading.weights) or kept[0].blocks is None:
        return None
    return "int4" if kept[0].blocks().bits == _SMALL else "int8_blocks"


def _warnings(reading: Reading) -> tuple[str, ...]:
    if not reading.apart:
        return ()
    return (
        f"{len(reading.apart)} weights, first {reading.apart[0]!r}, have scales of channels that are no neighbours, or "
        "of fewer than 16: they are read as float32, and quantised anew where the precision has fewer bits",
    )


def _check_plain(tensors: Tensors, name: str, scheme: Scheme, modules: set[str]) -> None:
    """Refuses what may be a part of a quantised weight; ``modules`` have one, and besides it a bias at most."""
    module, _, part_of_module = name.rpartition(".")
    part = name.endswith(_PARTS) or (module in modules and part_of_module != "bias")
    if part or (name.endswith("weight") and tensors.dtype(name) not in _PLAIN):
        raise SourceError(
            f"{tensors.folder}: tensor {name!r}, of type {tensors.dtype(name)}, is not as {scheme.name} is known here; "
            "the layout of this checkpoint is not read"
        )
