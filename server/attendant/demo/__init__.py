"""The demo bundles that come with the package: they answer a shop's customers, translate, judge reviews, see shapes."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from attendant.bundle import MANIFEST_FILE


def demo_bundle() -> Path:
    """The folder of the demo bundle that continues prompts.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    folder = Path(str(files(__name__).joinpath("bundle")))
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: this installation comes without the demo bundle")
    return folder


def demo_bundles() -> tuple[Path, ...]:
    """The folders of all demo bundles.

    Raises:
        FileNotFoundError: the installation lacks them.
    """
    return tuple(sorted(manifest.parent for manifest in demo_bundle().parent.glob(f"*/{MANIFEST_FILE}")))
