"""Memory of devices: the processor's own, and errors of GPUs that are not there or refuse."""

from __future__ import annotations

import sys
from enum import IntEnum
from types import SimpleNamespace

import numpy as np
import pytest
from attendant.core.errors import ConfigurationError, DeviceOutOfMemory
from attendant.runtime import devices
from attendant.runtime.devices import CudaDevice, HostDevice, Piece, open_device
from attendant.runtime.run_error import RunError, raises_run_error


def test_host_memory_keeps_what_is_uploaded() -> None:
    device = HostDevice()
    buffer = device.allocate(10)
    back = device.host_memory(10)
    assert buffer.size == 10
    device.download(buffer, back)
    assert not back.any(), "memory is zero at first"

    device.upload(np.arange(1, 5, dtype=np.uint8), buffer)
    device.download(buffer, back)
    assert back.tolist() == [1, 2, 3, 4, 0, 0, 0, 0, 0, 0]
    part = device.host_memory(3)
    device.download(buffer, part)
    assert part.tolist() == [1, 2, 3]


def test_host_memory_is_copied_in_pieces() -> None:
    device = HostDevice()
    one, other = device.allocate(6), device.allocate(6)
    device.upload(np.arange(1, 7, dtype=np.uint8), one)
    device.copy([Piece(one.address + 1, other.address, 2), Piece(one.address + 4, other.address + 3, 2)])
    back = device.host_memory(6)
    device.download(other, back)
    assert back.tolist() == [2, 3, 0, 5, 6, 0]


def test_the_address_of_host_memory_is_where_it_lies() -> None:
    buffer = HostDevice().allocate(4)
    assert isinstance(buffer.owner, np.ndarray)
    assert buffer.address == buffer.owner.ctypes.data


def test_a_target_opens_its_device() -> None:
    device = open_device("cpu", 1)
    assert isinstance(device, HostDevice)
    assert (device.kind, device.index, device.free_memory()) == ("cpu", 0, (0, 0))
    device.attach()


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(ConfigurationError, match=r"cuda-bindings.*pip install 'attendant\[gpu\]'"):
        CudaDevice(0)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(flags: int) -> None:
        raise RuntimeError("libcuda was not found")

    driver = SimpleNamespace(cuInit=no_library)
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(driver=driver))
    with pytest.raises(ConfigurationError, match=r"no NVIDIA driver on this machine: libcuda was not found"):
        open_device("cuda", 0)


class Result(IntEnum):
    """Results of the fake driver."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_LAUNCH_FAILED = 719


class FakeDriver:
    """One GPU of 1,000 bytes; fails calls that are named in ``failing``."""

    CUresult = Result

    def __init__(self) -> None:
        self.failing: dict[str, Result] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> object:
        answers = {"cuDeviceGetCount": (1,), "cuMemAlloc": (4096,), "cuMemGetInfo": (700, 1000)}

        def call(*arguments: object) -> tuple[object, ...]:
            self.calls.append(name)
            result = self.failing.get(name, Result.CUDA_SUCCESS)
            return (result, *answers.get(name, ("handle",) if "Get" in name or "Retain" in name else ()))

        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake = FakeDriver()
    monkeypatch.setattr(devices, "_driver", lambda: fake)
    return fake


def test_a_gpu_that_is_not_there_is_refused_by_setting(driver: FakeDriver) -> None:
    with pytest.raises(ConfigurationError, match=r"gpu\.devices names GPU 1; this machine shows 1, counted from 0"):
        CudaDevice(1)


def test_a_full_gpu_says_how_much_is_free(driver: FakeDriver) -> None:
    device = CudaDevice(0)
    assert device.allocate(10).address == 4096
    driver.failing["cuMemAlloc"] = Result.CUDA_ERROR_OUT_OF_MEMORY
    with pytest.raises(DeviceOutOfMemory, match="GPU 0 is out of memory") as caught:
        device.allocate(800)
    assert (caught.value.needed, caught.value.free, caught.value.total) == (800, 700, 1000)


def test_memory_is_zero_before_it_is_used(driver: FakeDriver) -> None:
    device = CudaDevice(0)
    driver.calls.clear()
    device.allocate(10)
    assert driver.calls == ["cuMemAlloc", "cuMemsetD8", "cuCtxSynchronize"]


def test_copies_are_done_when_they_return(driver: FakeDriver) -> None:
    device = CudaDevice(0)
    driver.calls.clear()
    device.copy([Piece(4096, 8192, 10), Piece(4196, 8292, 10)])
    assert driver.calls == ["cuMemcpyDtoD", "cuMemcpyDtoD", "cuStreamSynchronize"]


def test_a_call_that_fails_is_named(driver: FakeDriver) -> None:
    device = CudaDevice(0)
    driver.failing["cuMemcpyHtoD"] = Result.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(ConfigurationError, match="GPU 0: cuMemcpyHtoD failed: CUDA_ERROR_LAUNCH_FAILED"):
        device.upload(np.zeros(4, np.uint8), device.allocate(4))


def test_a_run_that_fails_while_the_device_works_is_an_error_of_the_run(driver: FakeDriver) -> None:
    device = CudaDevice(0)
    driver.failing["cuCtxSynchronize"] = Result.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(RunError, match="GPU 0: cuCtxSynchronize failed: CUDA_ERROR_LAUNCH_FAILED"):
        raises_run_error(device.wait)()
