"""What makes a model's answers, as their receipts tell it. Found once, when the model is loaded."""

from __future__ import annotations

from pathlib import Path

from attendant import __version__
from attendant.bundle import MANIFEST_FILE, Manifest, sha256
from attendant.core.receipt import Maker
from attendant.models.memory import available_processors
from attendant.runtime.libraries import libraries, processor


def maker_of(manifest: Manifest, path: Path | None = None, threads: int | None = None) -> Maker:
    """The maker of a model's answers.

    Args:
        path: its bundle; None: it comes from none.
        threads: as set; None: as many as there are processors.
    """
    return Maker(
        model=manifest.name,
        version=manifest.version,
        bundle=sha256(path / MANIFEST_FILE) if path is not None else "",
        precision=manifest.precision,
        server=__version__,
        libraries=libraries(),
        processor=processor(manifest.target),
        threads=threads or available_processors(),
    )
