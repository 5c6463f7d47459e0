"""A folder with packages of npm, made once, and kept beside the environments of other strangers."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = ("@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1")
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "E404", "ENOTCACHED")
"""What npm says where its index cannot be reached, or has no such package."""


def node_folder() -> Path:
    """Where ``node_modules`` has the packages. Skips the test where there is no Node, or they cannot be had."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no node with npm")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (
        base / "attendant" / "strangers" / ("node-" + hashlib.sha256("\n".join(PACKAGES).encode()).hexdigest()[:16])
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)  # what one left that was killed
            folder.mkdir()
            _install(folder)
            (folder / "whole").touch()
    return folder


def _install(folder: Path) -> None:
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        pytest.skip(f"npm cannot have them: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr
