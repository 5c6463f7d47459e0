"""What the machine is, what is installed on it, and how fast its memory is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

_PACKAGES = (
    *("attendant", "onnxruntime", "onnxruntime-gpu", "torch", "transformers", "triton", "numpy", "onnx"),
    *("cuda-bindings", "grpcio", "protobuf", "tokenizers", "pydantic"),
)
_GPU_FIELDS = ("name", "memory.total", "driver_version", "clocks.max.sm", "clocks.max.memory", "power.limit")
_COPIES = 20


def versions() -> dict[str, str]:
    """The versions of what is installed and matters."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, memory, and each GPU that nvidia-smi shows."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_gb": pages * page / 1e9,
        "kernel": platform.release(),
        "gpus": _gpus(),
    }


def bandwidth(size: int, *, on_gpu: bool) -> dict[str, float]:
    """Bytes a second of the memory, read and written together, from copies of ``size`` bytes."""
    times = _gpu_copies(size) if on_gpu else _host_copies(size)
    return {"bytes_per_s": 2 * size / statistics.median(times), "best_bytes_per_s": 2 * size / min(times)}


def device_memory_used() -> int:
    """Bytes of the first GPU that are taken, by whomever."""
    from attendant.runtime.devices import open_device

    free, total = open_device("cuda", 0).free_memory()
    return total - free


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _gpu_copies(size: int) -> list[float]:
    import torch

    source = torch.ones(size, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    times = []
    for _ in range(_COPIES):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        target.copy_(source)
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return times[_COPIES // 4 :]


def _host_copies(size: int) -> list[float]:
    source = np.ones(size, np.uint8)
    target = np.zeros_like(source)
    times = []
    for _ in range(_COPIES):
        started = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - started)
    return times[_COPIES // 4 :]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _gpus() -> list[dict[str, str]]:
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    rows = [line.split(", ") for line in answer.stdout.splitlines() if answer.returncode == 0]
    return [dict(zip(_GPU_FIELDS, row, strict=False)) for row in rows]
