"""The demo bundles that come with the package: they answer a shop's customers, translate, judge reviews, see shapes."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from attendant.bundle import MANIFEST_FILE
from attendant.core.errors import ConfigurationError


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


def bundles_or_demo(bundles: tuple[Path, ...], *, demo: bool, others: bool) -> tuple[Path, ...]:
    """The bundles that a server starts with: those that were named, and the demo's if there is nothing else.

    Args:
        demo: the demo's in any case. others: models may come from elsewhere.

    Raises:
        ConfigurationError: the demo's are not there.
    """
    if (bundles or others) and not demo:
        return bundles
    try:
        return (*bundles, *demo_bundles())
    except FileNotFoundError as error:
        raise ConfigurationError(str(error)) from None
