"""Memory of the device that a model runs on: this machine's own, or an NVIDIA GPU's through its driver."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from attendant.bundle import Target
from attendant.core.errors import ConfigurationError, DeviceFailed, DeviceOutOfMemory

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Buffer:
    """``size`` bytes of device memory from ``address`` on. ``owner`` keeps them alive."""

    address: int
    size: int
    owner: object = None


class Piece(NamedTuple):
    """``size`` bytes of device memory to copy from one address to another; they do not overlap."""

    origin: int
    target: int
    size: int


class Device(Protocol):
    """One device. ``kind`` and ``index`` are what ONNX Runtime calls it."""

    @property
    def kind(self) -> Target: ...
    @property
    def index(self) -> int: ...

    def attach(self) -> None:
        """Every thread that uses the device calls it once."""
        ...

    def allocate(self, size: int) -> Buffer:
        """``size`` bytes, zero.

        Raises:
            DeviceOutOfMemory: they are not free.
        """
        ...

    def host_memory(self, size: int) -> Bytes:
        """``size`` bytes of host memory, zero, that are quick to copy from and to the device."""
        ...

    def upload(self, origin: Bytes, target: Buffer) -> None:
        """Copy all of ``origin`` to the beginning of ``target``; done when it returns."""
        ...

    def download(self, origin: Buffer, target: Bytes) -> None:
        """Copy as many bytes as ``target`` has; the runs before must be done."""
        ...

    def copy(self, pieces: Iterable[Piece]) -> None:
        """Copy within the device's memory, done when it returns; the runs before must be done."""
        ...

    def wait(self) -> None:
        """Until every run that was launched is done. Other threads of Python go on meanwhile, as they would not in
        ONNX Runtime's ``synchronize_outputs``."""
        ...

    def free_memory(self) -> tuple[int, int]:
        """Bytes that are free, and in all."""
        ...


class HostDevice:
    """The processor: device memory is host memory."""

    kind: Target = "cpu"
    index = 0

    def attach(self) -> None:
        """Nothing to do."""

    def allocate(self, size: int) -> Buffer:
        """See :meth:`Device.allocate`."""
        memory = np.zeros(size, np.uint8)
        return Buffer(memory.ctypes.data, size, memory)

    def host_memory(self, size: int) -> Bytes:
        """See :meth:`Device.host_memory`."""
        return np.zeros(size, np.uint8)

    def upload(self, origin: Bytes, target: Buffer) -> None:
        """See :meth:`Device.upload`."""
        _view(target)[: origin.size] = origin

    def download(self, origin: Buffer, target: Bytes) -> None:
        """See :meth:`Device.download`."""
        target[:] = _view(origin)[: target.size]

    def copy(self, pieces: Iterable[Piece]) -> None:
        """See :meth:`Device.copy`."""
        for piece in pieces:
            ctypes.memmove(piece.target, piece.origin, piece.size)

    def wait(self) -> None:
        """Nothing to do: runs are done when they return."""

    def free_memory(self) -> tuple[int, int]:
        """Zeros: it is not measured, since the budget of a processor's KV cache is a setting."""
        return 0, 0


def _view(buffer: Buffer) -> Bytes:
    assert isinstance(buffer.owner, np.ndarray)
    return buffer.owner


class CudaDevice:
    """An NVIDIA GPU, in the context that ONNX Runtime uses, too.

    Raises:
        ConfigurationError: there is no driver, or no such GPU.
    """

    kind: Target = "cuda"

    def __init__(self, index: int) -> None:
        self.index = index
        self._driver = _driver()
        self._call("cuInit", 0)
        count = self._call("cuDeviceGetCount")
        if not 0 <= index < count:
            raise ConfigurationError(f"gpu.devices names GPU {index}; this machine shows {count}, counted from 0")
        self._context = self._call("cuDevicePrimaryCtxRetain", self._call("cuDeviceGet", index))
        self.attach()

    def attach(self) -> None:
        """Make the GPU's context the thread's current one."""
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> Buffer:
        """See :meth:`Device.allocate`."""
        error, address = self._driver.cuMemAlloc(max(size, 1))
        if error == self._driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            free, total = self.free_memory()
            raise DeviceOutOfMemory(self.index, size, free, total)
        self._check("cuMemAlloc", error)
        self._call("cuMemsetD8", address, 0, max(size, 1))
        self.wait()
        return Buffer(int(address), size)

    def host_memory(self, size: int) -> Bytes:
        """See :meth:`Device.host_memory`."""
        address = self._call("cuMemAllocHost", max(size, 1))
        memory = (ctypes.c_uint8 * max(size, 1)).from_address(int(address))
        array: Bytes = np.ctypeslib.as_array(memory)[:size]
        array[:] = 0
        return array

    def upload(self, origin: Bytes, target: Buffer) -> None:
        """See :meth:`Device.upload`."""
        assert origin.size <= target.size
        self._call("cuMemcpyHtoD", target.address, origin.ctypes.data, origin.size)
        self._synchronize_copies()

    def download(self, origin: Buffer, target: Bytes) -> None:
        """See :meth:`Device.download`."""
        assert target.size <= origin.size
        self._call("cuMemcpyDtoH", target.ctypes.data, origin.address, target.size)

    def copy(self, pieces: Iterable[Piece]) -> None:
        """See :meth:`Device.copy`."""
        for piece in pieces:
            self._call("cuMemcpyDtoD", piece.target, piece.origin, piece.size)
        self._synchronize_copies()

    def wait(self) -> None:
        """See :meth:`Device.wait`."""
        self._call("cuCtxSynchronize")

    def free_memory(self) -> tuple[int, int]:
        """See :meth:`Device.free_memory`."""
        free, total = self._call("cuMemGetInfo")
        return int(free), int(total)

    def _synchronize_copies(self) -> None:
        """Copies run on the default stream, models on one of their own that does not wait for it."""
        self._call("cuStreamSynchronize", 0)

    def _call(self, name: str, *arguments: Any) -> Any:
        error, *results = getattr(self._driver, name)(*arguments)
        self._check(name, error)
        return results[0] if len(results) == 1 else tuple(results)

    def _check(self, name: str, error: Any) -> None:
        if error != self._driver.CUresult.CUDA_SUCCESS:
            raise DeviceFailed(f"GPU {self.index}: {name} failed: {error.name}")


def _driver() -> Any:
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise ConfigurationError(
            f"target cuda needs the package cuda-bindings ({error}): pip install 'attendant[gpu]'"
        ) from error
    try:
        driver.cuInit(0)
    except RuntimeError as error:
        raise ConfigurationError(f"there is no NVIDIA driver on this machine: {error}") from error
    return driver


def open_device(target: Target, index: int) -> Device:
    """The device to run a bundle of ``target`` on.

    Raises:
        ConfigurationError: it is not there.
    """
    return CudaDevice(index) if target == "cuda" else HostDevice()
