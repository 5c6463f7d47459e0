"""Environments of their own for peers, so that what they need never meets what we need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_INSTALL_S = 3600.0  # some compile for minutes, on a busy machine for much longer


class PeerFailed(Exception):
    """A peer could not be installed or did not start; the message says why."""


def install(
    environment: Path,
    steps: Sequence[Sequence[str]],
    proof: str,
    *,
    variables: Mapping[str, str] | None = None,
    unwanted: Sequence[str] = (),
) -> Path:
    """Make a virtual environment and install into it, unless it is there; returns its Python.

    Args:
        steps: what pip installs, one call after the other.
        proof: a file or folder in the environment that the last step leaves.
        variables: of the environment that pip runs in.
        unwanted: packages that a step brings along and that must not stay.

    Raises:
        PeerFailed: with the end of pip's words.
    """
    python = environment / "bin" / "python"
    if any(environment.glob(proof)):
        return python
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    words = [["install", "-q", *step] for step in steps] + [["uninstall", "-q", "-y", *unwanted]] * bool(unwanted)
    for step in words:
        pip = [str(python), "-m", "pip", *step]
        try:
            done = subprocess.run(
                pip,
                capture_output=True,
                text=True,
                timeout=_INSTALL_S,
                check=False,
                env={**os.environ, **(variables or {})},
            )
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"pip {' '.join(step)} did not end within {_INSTALL_S:g} s") from None
        if done.returncode:
            raise PeerFailed(f"pip {' '.join(step)} failed: {done.stderr.strip()[-500:]}")
    return python


def convert(command: Sequence[str], made: Path) -> Path:
    """Run a peer's own converter, unless it has made ``made``; what one left that failed or was killed is removed.
    Returns ``made``.

    Raises:
        PeerFailed: with the end of its words.
    """
    whole = made.with_name(f"{made.name}.whole")
    if whole.exists():
        return made
    _remove(made)
    made.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    if done.returncode or not made.exists():
        _remove(made)
        raise PeerFailed(f"{made.name} was not made: {(done.stderr or done.stdout).strip()[-500:]}")
    whole.touch()
    return made


def _remove(made: Path) -> None:
    if made.is_dir() and not made.is_symlink():
        shutil.rmtree(made)
    else:
        made.unlink(missing_ok=True)
