"""Environments of their own for peers, so that what they need never meets what we need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_INSTALL_S = 1800.0


class PeerFailed(Exception):
    """A peer could not be installed or did not start; the message says why."""


def install(environment: Path, steps: Sequence[Sequence[str]], proof: str) -> Path:
    """Make a virtual environment and install into it, unless it is there; returns its Python.

    Args:
        steps: what pip installs, one call after the other.
        proof: a file or folder in the environment that the last step leaves.

    Raises:
        PeerFailed: with the end of pip's words.
    """
    python = environment / "bin" / "python"
    if any(environment.glob(proof)):
        return python
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    for step in steps:
        pip = [str(python), "-m", "pip", "install", "-q", *step]
        try:
            done = subprocess.run(pip, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"{' '.join(step)} was not installed within {_INSTALL_S:g} s") from None
        if done.returncode:
            raise PeerFailed(f"{' '.join(step)} cannot be installed: {done.stderr.strip()[-500:]}")
    return python
