"""Finds bundles, reads their manifests, and tells those that cannot be used from those that can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import MANIFEST_FILE, EncoderManifest, Manifest, read_any_manifest
from attendant.core.errors import BundleError, ConfigurationError
from attendant.models.failed import FailedModel
from attendant.settings import GpuSettings


@dataclass(frozen=True, slots=True)
class Discovered:
    """The bundles of a server: those whose manifest could be read, and those of which that much is known already.

    Attributes:
        unread: where the failed ones are, by name.
    """

    bundles: tuple[tuple[Path, Manifest], ...]
    failed: tuple[FailedModel, ...]
    unread: Mapping[str, Path]


def discover(paths: Sequence[Path], gpu: GpuSettings | None) -> Discovered:
    """Every bundle that ``paths`` name.

    Raises:
        ConfigurationError: none was named; GPUs are named and no bundle is for one; two have the same name.
    """
    if not paths:
        raise ConfigurationError("no bundle was named; make one with `attendant export`")
    bundles: list[tuple[Path, Manifest]] = []
    broken: list[tuple[Path, BundleError]] = []
    for path in paths:
        try:
            found = find_bundles([path])
        except BundleError as error:
            broken.append((path, error))
            continue
        for folder in found:
            try:
                bundles.append((folder, read_any_manifest(folder)))
            except BundleError as error:
                broken.append((folder, error))
    _check_devices(bundles, gpu)
    _check_names(bundles)
    names = {manifest.name for _, manifest in bundles}
    failed: list[FailedModel] = []
    unread: dict[str, Path] = {}
    for folder, fault in broken:
        name = folder.absolute().name
        free = name if name not in names else fault.path
        names.add(free)
        failed.append(FailedModel(free, fault))
        unread[free] = folder
    return Discovered(tuple(bundles), tuple(failed), unread)


def find_bundles(paths: Sequence[Path]) -> list[Path]:
    """The bundle folders that ``paths`` name: each is one, or holds some.

    Raises:
        BundleError: a path holds none.
    """
    found: list[Path] = []
    for path in paths:
        if (path / MANIFEST_FILE).exists() or not path.is_dir():
            found.append(path)
            continue
        inside = sorted(child.parent for child in path.glob(f"*/{MANIFEST_FILE}"))
        if not inside:
            raise BundleError(
                path, f"is no bundle and holds none: there is no {MANIFEST_FILE} in it or one level below"
            )
        found += inside
    return found


def _check_devices(found: Sequence[tuple[Path, Manifest]], gpu: GpuSettings | None) -> None:
    """GPUs that were asked for by name must have something to run."""
    if not found or gpu is None or gpu.devices is None or any(_takes_devices(manifest) for _, manifest in found):
        return
    path, manifest = found[0]
    raise ConfigurationError(
        f"gpu.devices names GPU {gpu.devices[0]}, but no bundle is for one: {path} is for target "
        f"{manifest.target!r}; export it with --target cuda"
    )


def _takes_devices(manifest: Manifest) -> bool:
    if isinstance(manifest, EncoderManifest):
        return manifest.target == "cuda"
    return manifest.cache_layout == "pages"


def _check_names(found: Sequence[tuple[Path, Manifest]]) -> None:
    seen: dict[str, Path] = {}
    for path, manifest in found:
        if manifest.name in seen:
            raise BundleError(path, f"has the name {manifest.name!r}, which {seen[manifest.name]} has too")
        seen[manifest.name] = path
