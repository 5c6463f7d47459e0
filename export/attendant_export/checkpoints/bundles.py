"""Bundles of the checkpoints, made once for each precision and each state of the exporter, and kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from attendant_export.checkpoints.cache import default_cache, forget_siblings, made
from attendant_export.checkpoints.catalogue import Checkpoint, fetch, find
from attendant_export.progress import Progress, silent

if TYPE_CHECKING:
    from attendant.bundle import Precision

_FORGET_AFTER_S = 6 * 3600.0
"""An exporter that changes all day leaves bundles of hundreds of megabytes behind; a test run takes less than this."""


def bundle(name: str, precision: Precision, cache: Path | None = None, progress: Progress = silent) -> Path:
    """A bundle of a checkpoint for CPUs, from the cache or exported now.

    Args:
        name: of :data:`CHECKPOINTS`; the served model has it, too.
        cache: see :func:`fetch`.

    Raises:
        ExportError: the checkpoint cannot be had or not be exported; see :func:`fetch` and :func:`export_bundle`.
    """
    checkpoint = find(name)
    place = (cache or default_cache()) / "bundles" / f"{name}-{precision}" / _state(checkpoint)
    if not place.is_dir():
        from attendant_export.toolchain import check_installed

        check_installed()  # before the download
        source = fetch(name, cache, progress)
        made(place, lambda folder: _export(source, folder, name, precision, progress))
        forget_siblings(place, _FORGET_AFTER_S)
    return made(place, lambda folder: None)


def _export(source: Path, out: Path, name: str, precision: Precision, progress: Progress) -> None:
    from attendant_export.export import export_bundle
    from attendant_export.recipe import RecipeRequest

    export_bundle(str(source), out, recipe=RecipeRequest("cpu", precision), name=name, progress=progress)


def _state(checkpoint: Checkpoint) -> str:
    """Differs wherever the bundle may differ: by the checkpoint, and all files of exporter and manifest."""
    import attendant.bundle

    digest = hashlib.sha256(checkpoint.key.encode())
    for package in (Path(__file__).parents[1], Path(attendant.bundle.__file__).parent):
        for path in sorted(package.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"\0{path.relative_to(package)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
