"""What a folder of models has: versions by name, what their files are by now, and why some cannot be loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import MANIFEST_FILE, Manifest, read_any_manifest
from attendant.core.errors import BundleError, ConfigurationError
from attendant.core.repository import SEPARATOR, version_order
from attendant.models.failed import FailedModel

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]*")

Key = tuple[str, str]
"""Name and version of a model."""

Seal = tuple[object, ...]
"""What tells files from other files of the same names: their places, sizes and times."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A version as a folder has it.

    Attributes:
        manifest: of its bundle, with the name and version that the folders have; None if it cannot be read.
        fault: why it cannot be loaded, as far as looking shows that.
        is_version: it is meant to be loaded; else it is only told of.
    """

    name: str
    version: str
    path: Path
    seal: Seal
    manifest: Manifest | None = None
    fault: str = ""
    is_version: bool = True

    @property
    def key(self) -> Key:
        """Name and version."""
        return self.name, self.version


class ModelFolder:
    """A folder with a folder for each model, in which each version has a folder named by its number; or in which there
    is a bundle, whose version the manifest says. The folders' names count, whatever the manifests say, so that a bundle
    may be copied under another name.

    What begins with a dot is left alone: copy a version under such a name, and rename it when it is complete.

    Args:
        folder: its path; None: only ``named`` are there.
        named: bundles that were named one by one, by the names that they have.

    Attributes:
        named: the same.
    """

    def __init__(self, folder: Path | None, named: Mapping[str, Path] | None = None) -> None:
        self._folder = folder
        self.named = dict(named or {})
        self._read: dict[Path, tuple[Seal, Manifest | str]] = {}  # manifests, as long as their files are the same

    def look(self) -> dict[Key, Stored]:
        """Every version, whether it can be loaded or not. Blocking; it reads manifests that it has not read yet, and of
        other files nothing but names, sizes and times.

        Raises:
            ConfigurationError: the folder cannot be read.
        """
        bundles = [self._bundle(name, path) for name, path in self.named.items()]
        found = {stored.key: stored for stored in bundles}
        for name, path in self._models():
            if name in self.named:
                fault = "a bundle of this name was named at the start"
                note = _note(name, path, fault, "in the folder")
                found[note.key] = note
                continue
            for stored in self._model(name, path):
                found[stored.key] = stored
        self._read = {path: read for path, read in self._read.items() if any(s.path == path for s in found.values())}
        return dict(sorted(found.items(), key=lambda item: (item[0][0], version_order(item[0][1]))))

    def _models(self) -> list[tuple[str, Path]]:
        if self._folder is None:
            return []
        try:
            return _folders(self._folder)
        except OSError as error:
            raise ConfigurationError(f"model_repository: {self._folder} cannot be read: {_reason(error)}") from None

    def _model(self, name: str, path: Path) -> Iterator[Stored]:
        if not _NAME.fullmatch(name):
            yield _note(name, path, "the folder's name is no name of a model: letters, digits, . _ -")
            return
        try:
            inside = dict(_folders(path))
            is_bundle = (path / MANIFEST_FILE).exists()
        except OSError as error:
            yield _note(name, path, f"the folder cannot be read: {_reason(error)}")
            return
        if is_bundle:
            yield self._bundle(name, path)
            return
        if not inside:
            yield _note(name, path, f"the folder has neither {MANIFEST_FILE} nor folders of versions")
        for version, folder in inside.items():
            if _VERSION.fullmatch(version):
                yield self._stored(name, version, folder)
            else:
                yield _note(name, folder, "the folder is left alone: versions are numbers from 1", version)

    def _bundle(self, name: str, path: Path) -> Stored:
        manifest, _ = self._manifest(path)
        return self._stored(name, "" if isinstance(manifest, str) else manifest.version, path)

    def _stored(self, name: str, version: str, path: Path) -> Stored:
        manifest, seal = self._manifest(path)
        if isinstance(manifest, str):
            return Stored(name, version, path, seal, fault=manifest)
        if SEPARATOR in version:
            return Stored(name, version, path, seal, fault=f"its version {version!r} has {SEPARATOR!r} in it")
        manifest = manifest.model_copy(update={"name": name, "version": version})
        seals = [seal]
        for file, entry in sorted(manifest.files.items()):
            size, seal = _stat(path / file)
            seals.append(seal)
            if size != entry.size:
                what = "is missing" if size is None else f"has {size:,} of {entry.size:,} bytes"
                return Stored(name, version, path, tuple(seals), manifest, f"it is incomplete: {file} {what}")
        return Stored(name, version, path, tuple(seals), manifest)

    def _manifest(self, path: Path) -> tuple[Manifest | str, Seal]:
        """The manifest, or why it cannot be read; and what its file is."""
        _, seal = _stat(path / MANIFEST_FILE)
        known = self._read.get(path)
        if known is None or known[0] != seal:
            try:
                read: Manifest | str = read_any_manifest(path)
            except BundleError as error:
                read = FailedModel(path.name, error).cause
            known = self._read[path] = (seal, read)
        return known[1], seal


def _note(name: str, path: Path, fault: str, version: str = "") -> Stored:
    return Stored(name, version, path, (), fault=fault, is_version=False)


def _folders(path: Path) -> list[tuple[str, Path]]:
    """The folders in one, in order, but those whose names begin with a dot. Raises OSError: it cannot be read."""
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    return [(name, path / name) for name in names]


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _stat(path: Path) -> tuple[int | None, Seal]:
    """Size of a file, None if there is none, and what tells it from another in its place."""
    try:
        found = path.stat()
    except OSError:
        return None, ("none", path.name)
    return found.st_size, (path.name, found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)
