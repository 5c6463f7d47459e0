"""How arrays in this machine's memory are bound to a run: by address, so that nothing is copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle.graph_io import Port

Array = npt.NDArray[np.generic]


def place(array: Array) -> tuple[str, int, type[np.generic], tuple[int, ...], int]:
    """Where an array is, as a binding wants it."""
    return "cpu", 0, array.dtype.type, array.shape, array.ctypes.data


def bind_inputs(binding: ort.IOBinding, takes: frozenset[str], inputs: Mapping[str, Array]) -> None:
    """Bind those of ``inputs`` that the graph ``takes``; they have to live as long as they are bound."""
    for name, array in inputs.items():
        if name in takes:
            binding.bind_input(name, *place(array))


def bind_in_place(
    binding: ort.IOBinding, takes: frozenset[str], ports: tuple[Port, Port], tensors: Sequence[Array], slots: slice
) -> None:
    """Bind the rows ``slots`` of each tensor as input and as output: a run changes them where they are.

    Args:
        ports: the inputs and the outputs, one for each tensor.
    """
    before, after = ports
    for i, tensor in enumerate(tensors):
        where = place(tensor[slots])
        if before.at(i).name in takes:
            binding.bind_input(before.at(i).name, *where)
        binding.bind_output(after.at(i).name, *where)
