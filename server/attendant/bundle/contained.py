"""What a bundle may name: its own files, and operators of ONNX Runtime. So it runs no code, and reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from attendant.bundle.manifest import MANIFEST_FILE, ManifestBase
from attendant.bundle.onnx_file import ExternalData, OnnxBroken, OnnxNames, read_names
from attendant.core.errors import BundleError
from attendant.core.shown import shown

DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))
"""Whose operators ONNX Runtime has itself."""

FROM_FILES = frozenset((("com.microsoft", "EPContext"),))
"""Operators that load what a file has, whatever that is."""

MAX_MANIFEST = 16 * 2**20
"""Bytes of a manifest."""

MAX_TOKENIZER = 2**28
"""Bytes of a tokenizer's file."""


def check_names(bundle: Path, manifest: ManifestBase) -> None:
    """See that all files that a manifest names lie in the bundle's folder, and that graphs are among them.

    Raises:
        BundleError: naming the first one that does not.
    """
    path = bundle / MANIFEST_FILE
    for name in manifest.files:
        if not _is_inside(name):
            raise BundleError(path, f"files names {shown(name)}; allowed: names of files in the bundle's folder")
    for role, graph in manifest.graphs.items():
        if graph.file not in manifest.files:
            raise BundleError(path, f"graphs.{role}.file is {shown(graph.file)}, which is not among its files")


def check_graph_files(bundle: Path, manifest: ManifestBase) -> None:
    """See that graphs call no operators but ONNX Runtime's own, and keep their weights in the bundle's files.

    Raises:
        BundleError: naming the graph, and what it names.
    """
    for file in sorted({graph.file for graph in manifest.graphs.values()}):
        path = bundle / file
        try:
            names = read_names(path)
        except FileNotFoundError:
            raise BundleError(path, "the file is missing from the bundle") from None
        except (OnnxBroken, OSError) as error:
            raise BundleError(path, f"is not an ONNX file: {error}") from None
        _check_operators(path, names)
        for data in names.external:
            _check_external(path, PurePosixPath(file).parent, data, manifest)


def _check_operators(path: Path, names: OnnxNames) -> None:
    for domain, name in sorted(names.operators - names.functions):
        if domain not in DOMAINS or (domain, name) in FROM_FILES:
            allowed = ", ".join(filter(None, sorted(DOMAINS)))
            what = f"calls the operator {shown(name)} of {shown(domain)}"
            raise BundleError(path, f"{what}, which ONNX Runtime has not itself; allowed: operators of {allowed}")


def _check_external(path: Path, folder: PurePosixPath, data: ExternalData, manifest: ManifestBase) -> None:
    words = dict(data.words)
    if len(words) < len(data.words):
        raise BundleError(path, "says twice where weights are")
    location = words.get("location", "")
    file = str(folder / location)
    if not _is_inside(location) or file not in manifest.files:
        raise BundleError(path, f"has weights in {shown(location)}, which is not among the bundle's files")
    size, offset = manifest.files[file].size, _number(path, words, "offset") or 0
    length = _number(path, words, "length")
    if offset + (length or 0) > size:
        raise BundleError(path, f"has weights at {offset}, {length or 0} bytes, of {file}, which has {size} bytes")


def _number(path: Path, words: Mapping[str, str], name: str) -> int | None:
    said = words.get(name)
    if said is None:
        return None
    if not (said.isascii() and said.isdecimal() and len(said) < 20):
        raise BundleError(path, f"has weights whose {name} is {shown(said)}; allowed: a number of bytes")
    return int(said)


def _is_inside(name: str) -> bool:
    """Whether a name is that of a file below a folder, in its plainest form, whatever the system."""
    parts = name.split("/")
    plain = name.isprintable() and "\\" not in name and ":" not in name
    return plain and not any(part in ("", ".", "..") for part in parts)
