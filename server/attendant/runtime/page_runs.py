"""What a run over a paged KV cache is bound to: its shape and binding, and the memory that every run shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.runtime.devices import Buffer, Bytes, Device
from attendant.runtime.packed import Packed
from attendant.runtime.step_inputs import StepShape


@dataclass(frozen=True, slots=True)
class PageRun:
    """A run of one shape, bound: inputs and outputs lie in the runner's buffers, where ``inputs`` and ``outputs`` say.

    ``arrays`` and ``results`` are their views in host memory; ``metadata`` [3] int32 is bound itself.
    """

    shape: StepShape
    binding: ort.IOBinding
    options: ort.RunOptions
    inputs: Packed
    outputs: Packed
    arrays: dict[str, npt.NDArray[Any]]
    results: dict[str, npt.NDArray[Any]]
    metadata: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PageBuffers:
    """Memory that every run shares: only one goes on at a time."""

    inputs: Buffer
    outputs: Buffer
    logits: Buffer
    host_inputs: Bytes
    host_outputs: Bytes

    @classmethod
    def allocate(cls, device: Device, inputs: int, outputs: int, logits: int) -> PageBuffers:
        """Sizes in bytes."""
        on_device = (device.allocate(inputs), device.allocate(outputs), device.allocate(logits))
        return cls(*on_device, device.host_memory(inputs), device.host_memory(outputs))
