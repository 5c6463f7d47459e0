"""Prometheus and promtool: those of the machine, or Debian's, fetched once and kept beside the trained checkpoints."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def find(name: str) -> Path:
    """Path of ``prometheus`` or ``promtool``. Skips the test where it cannot be had."""
    if found := shutil.which(name):
        return Path(found)
    kept = _cache() / "usr" / "bin" / name
    if not kept.exists():
        _fetch()
    return kept


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "attendant" / "prometheus"


def _fetch() -> None:
    """Debian's package, unpacked and not installed: that needs no root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("there is no promtool and no prometheus on PATH, and no apt-get that could fetch them")
    folder = _cache()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        done = subprocess.run(
            ["apt-get", "download", "-q", "prometheus"], cwd=scratch, capture_output=True, text=True, check=False
        )
        packages = list(Path(scratch).glob("prometheus_*.deb"))
        if done.returncode or not packages:
            pytest.skip(f"prometheus cannot be fetched: {done.stderr.strip()[-300:]}")
        unpacked = Path(scratch) / "unpacked"
        subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(unpacked)], check=True)
        if not folder.exists():  # or another worker was faster
            unpacked.rename(folder)
