"""Reads a bundle's manifest and checks its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from attendant.bundle.capabilities import EncoderTask
from attendant.bundle.contained import MAX_MANIFEST, check_names
from attendant.bundle.decoders import GeneratorManifest
from attendant.bundle.encoders import EncoderManifest
from attendant.bundle.graph_io.check import check_graphs
from attendant.bundle.graph_io.signatures import Manifest
from attendant.bundle.manifest import MANIFEST_FILE, SCHEMA_VERSION, ManifestBase
from attendant.core.errors import BundleError


def read_manifest(bundle: Path) -> GeneratorManifest:
    """Read and check ``bundle.json`` of a model that generates.

    Raises:
        BundleError: as :func:`read_any_manifest`; or the model's task is another.
    """
    manifest = read_any_manifest(bundle)
    if not isinstance(manifest, GeneratorManifest):
        raise BundleError(bundle / MANIFEST_FILE, f"has the task {manifest.task!r}; needed here: 'generate'")
    return manifest


def read_any_manifest(bundle: Path) -> Manifest:
    """Read and check ``bundle.json``.

    Raises:
        BundleError: no folder, no manifest, not JSON, another schema version, a field that is wrong, or a graph that
            takes what is not declared in :mod:`attendant.bundle.graph_io`.
    """
    path = bundle / MANIFEST_FILE
    try:
        if path.is_file() and path.stat().st_size > MAX_MANIFEST:
            raise BundleError(path, f"has {path.stat().st_size} bytes; allowed: at most {MAX_MANIFEST}")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        reason = "the file is missing" if bundle.is_dir() else f"{bundle} is not a folder"
        raise BundleError(path, f"{reason}; a bundle is made by `attendant export`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(path, f"cannot be read: {error}") from error
    except RecursionError:
        raise BundleError(path, "is not valid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise BundleError(path, f"is not valid JSON: {error}") from error
    found = data.get("schema_version") if isinstance(data, dict) else None
    if found != SCHEMA_VERSION:
        raise BundleError(
            path, f"has schema version {found!r}; this server reads version {SCHEMA_VERSION}: export the model again"
        )
    kind = EncoderManifest if data.get("task") in get_args(EncoderTask) else GeneratorManifest
    try:
        manifest = kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(path, f"{where}: {first['msg']} ({error.error_count()} wrong in all)") from error
    check_names(bundle, manifest)
    check_graphs(manifest)
    return manifest


def verify_files(bundle: Path, manifest: ManifestBase) -> None:
    """Check that every file of the manifest is there, has its size and its SHA-256.

    Raises:
        BundleError: naming the first file that is missing or differs, and how.
    """
    for name, entry in manifest.files.items():
        path = bundle / name
        if not path.is_file():
            raise BundleError(path, "the file is missing from the bundle")
        size = path.stat().st_size
        if size != entry.size:
            raise BundleError(path, f"has {size} bytes, the manifest says {entry.size}: the file is corrupt or cut")
        digest = sha256(path)
        if digest != entry.sha256:
            raise BundleError(path, f"has SHA-256 {digest}, the manifest says {entry.sha256}: the file is corrupt")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
