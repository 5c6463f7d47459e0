"""Reads the variables of a model in CTranslate2's format (version 6): names, shapes and raw arrays."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from attendant_export.errors import CheckpointError

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_VERSION = 6


def read_variables(file: BinaryIO) -> dict[str, npt.NDArray[np.float32]]:
    """Every floating-point variable by name, as float32; whole numbers (settings of the other runtime) are left out.

    Raises:
        CheckpointError: another version or type of the format.
    """
    (version,) = _unpack(file, "I")
    if version != _VERSION:
        raise CheckpointError(f"a CTranslate2 model of version {version}; this reader knows version {_VERSION}")
    _string(file)  # the specification's name
    _unpack(file, "I")  # and its revision
    (count,) = _unpack(file, "I")
    found = {}
    for _ in range(count):
        name = _string(file)
        (rank,) = _unpack(file, "B")
        shape = _unpack(file, f"{rank}I")
        dtype, size = _unpack(file, "BI")
        if dtype not in _DTYPES:
            raise CheckpointError(f"variable {name!r} has type {dtype}; allowed: {', '.join(map(str, _DTYPES))}")
        values = np.frombuffer(file.read(size), _DTYPES[dtype]).reshape(shape)
        if np.issubdtype(values.dtype, np.floating):
            found[name] = values.astype(np.float32)
    return found


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(f"<{layout}", file.read(struct.calcsize(f"<{layout}")))


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "H")
    return file.read(length).rstrip(b"\0").decode()
