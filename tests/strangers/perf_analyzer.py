"""Triton's perf_analyzer, out of a wheel that has it: ``python -m tests.strangers.perf_analyzer ADDRESS MODEL ...``."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.strangers.environments import PERF_ANALYZER, environment
from tests.system.server import HANGS_S

QUICK = ("--measurement-mode", "count_windows", "--measurement-request-count", "20", "-s", "999", "-r", "4")
"""It works, not how fast: windows of 20 calls, any three of which are alike."""


def command(address: str, model: str, *words: str) -> tuple[list[str], dict[str, str]]:
    """What runs it over gRPC, and its environment."""
    folder = environment(PERF_ANALYZER)
    (cuda,) = folder.glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")
    (b64,) = (path.parent for path in folder.glob("debian/usr/lib/*/libb64.so.0d"))
    variables = {**os.environ, "LD_LIBRARY_PATH": f"{cuda}:{b64}"}
    return [str(folder / "bin" / "perf_analyzer"), "-m", model, "-u", address, "-i", "grpc", *words], variables


def rows(address: str, model: str, *words: str, timeout_s: float = HANGS_S) -> list[dict[str, float]]:
    """What its table has for each concurrency, by its own names; times in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        _run(address, model, *words, "-f", str(table), timeout_s=timeout_s)
        with table.open(encoding="utf-8", newline="") as file:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def responses(address: str, model: str, *words: str, timeout_s: float = HANGS_S) -> list[tuple[int, list[int]]]:
    """When each request of the last concurrency began, and when its responses came, in nanoseconds."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile.json"
        _run(address, model, *words, "--profile-export-file", str(profile), timeout_s=timeout_s)
        experiments: list[dict[str, Any]] = json.loads(profile.read_text(encoding="utf-8"))["experiments"]
    return [(each["timestamp"], each["response_timestamps"]) for each in experiments[-1]["requests"]]


def input_data(folder: Path, *requests: dict[str, Any]) -> Path:
    """A file with inputs of requests, which it takes in turn: strings, numbers, or lists of them, each of shape [n]."""
    data = [
        {
            name: {"content": value if isinstance(value, list) else [value], "shape": [np.size(value)]}
            for name, value in each.items()
        }
        for each in requests
    ]
    path = folder / "input.json"
    path.write_text(json.dumps({"data": data}), encoding="utf-8")
    return path


def _run(address: str, model: str, *words: str, timeout_s: float) -> None:
    program, variables = command(address, model, *words)
    done = subprocess.run(
        program, env=variables, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr


def main(words: Sequence[str]) -> int:
    """Run it in the foreground, and return its exit code."""
    program, variables = command(*words)
    return subprocess.run(program, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
