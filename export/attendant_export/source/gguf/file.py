"""One GGUF file: what its metadata say, and its tensors, mapped and read one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from attendant_export.errors import SourceError, ToolchainError, first_line
from attendant_export.source.formats import check_pointer

MAGIC = b"GGUF"
TYPES = (
    *("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"),
    *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"),
)
"""Of tensors, as the format names them."""

T = TypeVar("T")


@dataclass(frozen=True)
class GgufTensor:
    """A tensor of a file.

    Attributes:
        type: of :data:`TYPES`.
        data: mapped; bytes [..., bytes of a row] uint8 of a type that has blocks, else values.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    data: npt.NDArray[Any]

    def values(self) -> npt.NDArray[np.float32]:
        """All of it, [*shape] float32, in memory of its own."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        found = dequantize(self.data, GGMLQuantizationType[self.type]).reshape(self.shape)
        return np.array(found, np.float32)


@dataclass(frozen=True)
class GgufFile:
    """An open file: ``fields`` are its metadata by name."""

    path: Path
    fields: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]

    @property
    def architecture(self) -> str:
        """What llama.cpp calls the family.

        Raises:
            SourceError: nobody says.
        """
        return self.field("general.architecture", str)

    def field(self, name: str, kind: type[T], default: T | None = None) -> T:
        """A field of the metadata.

        Raises:
            SourceError: it is missing without a default, or of another kind; names it.
        """
        found = self.fields.get(name, default)
        if found is None:
            raise SourceError(f"{self.path}: its metadata lack {name}")
        if kind is float and isinstance(found, int) and not isinstance(found, bool):
            found = float(found)
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            what = type(found).__name__
            raise SourceError(f"{self.path}: {name} of its metadata is of type {what}; {kind.__name__} is read")
        return found


def open_gguf(path: Path) -> GgufFile:
    """The file at ``path``, mapped.

    Raises:
        SourceError: not whole, not GGUF, or with tensors of a type that is not read; names the type.
        ToolchainError: the package gguf is missing.
    """
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError:
        raise ToolchainError("gguf is not installed: pip install 'attendant[export]'") from None
    check_pointer(path)
    try:
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    except (OSError, ValueError, LookupError, TypeError, UnicodeDecodeError, OverflowError) as error:
        raise SourceError(f"{path} cannot be read as GGUF: {_reason(error)}") from error
    tensors = {}
    for tensor in reader.tensors:
        kind = tensor.tensor_type.name
        if kind not in TYPES:
            raise SourceError(f"{path}: tensor {tensor.name} is of type {kind}; read are {', '.join(TYPES)}")
        shape = tuple(int(size) for size in reversed(tensor.shape))
        tensors[tensor.name] = GgufTensor(tensor.name, kind, shape, tensor.data)
    return GgufFile(path, fields, tensors)


def _reason(error: Exception) -> str:
    line = first_line(error)
    if "cannot reshape" in line or "out of bounds" in line or "memmap" in line:
        return f"it ends too early ({line})"
    if "GGMLQuantizationType" in line:
        return f"a tensor is of an unknown type ({line}); read are {', '.join(TYPES)}"
    return line
