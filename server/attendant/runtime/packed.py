"""Named arrays side by side in one buffer, so that one copy moves them all between host and device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.bundle.graph_io import Port
from attendant.runtime.devices import Bytes

ALIGNMENT = 256  # bytes; what CUDA's kernels may assume of a tensor's address
Fields = Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]


@dataclass(frozen=True, slots=True)
class Field:
    """One array: [*shape] of ``dtype``, ``offset`` bytes into the buffer."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


def fields_of(ports: Sequence[Port], sizes: Mapping[str, int]) -> Fields:
    """Those of ``ports`` that lie where the graph runs, for a run of these sizes."""
    fields: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {}
    for port in ports:
        assert port.dtype is not None, f"{port.name} has the model's type"
        if not port.on_host:
            fields[port.name] = port.shape(sizes), port.dtype
    return fields


class Packed:
    """Where each of ``fields``, (shape, dtype) by name, lies."""

    def __init__(self, fields: Fields) -> None:
        self.fields: dict[str, Field] = {}
        offset = 0
        for name, (shape, dtype) in fields.items():
            self.fields[name] = field = Field(offset, shape, np.dtype(dtype))
            offset += -(-field.size // ALIGNMENT) * ALIGNMENT
        self.size = offset
        """Bytes in all."""

    def views(self, memory: Bytes) -> dict[str, npt.NDArray[Any]]:
        """The arrays inside host memory of at least ``size`` bytes."""
        return {
            name: memory[field.offset : field.offset + field.size].view(field.dtype).reshape(field.shape)
            for name, field in self.fields.items()
        }
