"""The demo bundle that comes with the package: a small model that answers a shop's customers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def demo_bundle() -> Path:
    """The folder of the demo bundle.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    folder = Path(str(files(__name__).joinpath("bundle")))
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: this installation comes without the demo bundle")
    return folder
