"""Adds graphs that give attention to a bundle that is there, without its source and without torch."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attendant.bundle import MANIFEST_FILE, AttentionManifest, FileEntry, Manifest, read_any_manifest, sha256

from attendant_export.attention.fused import Companions, frame_seconds, source_of, write_fused
from attendant_export.errors import AttentionError
from attendant_export.graph.attention import NoAttention


def add_attention(bundle: Path) -> AttentionManifest:
    """Makes the bundle give its attention from the nodes of its served graphs; all that was there stays as it is.

    How far the weights are from the source model's is not known then.

    Raises:
        AttentionError: it cannot, or gives it already, or is no bundle; says why. All is as it was.
        BundleError: its manifest cannot be read.
    """
    if not (bundle / MANIFEST_FILE).is_file():
        raise AttentionError(f"{bundle} is no bundle: it has no {MANIFEST_FILE}")
    manifest = read_any_manifest(bundle)
    if manifest.attention is not None:
        raise AttentionError(f"{bundle} gives attention already ({manifest.attention.origin})")
    source, image = source_of(manifest), getattr(manifest, "input", None)
    try:
        made = write_fused(bundle, manifest.graphs, source, image if getattr(image, "kind", "") == "image" else None)
    except NoAttention as reason:
        raise AttentionError(
            f"{manifest.name} cannot give attention from its served graph: {reason}; "
            "export the model again with --attention eager"
        ) from None
    section = made.section(None, frame_seconds(source))
    files = {graph.file: bundle / graph.file for graph in made.graphs.values()}
    entries = {name: FileEntry(size=path.stat().st_size, sha256=sha256(path)) for name, path in files.items()}
    _seal(bundle, manifest, made, section, entries)
    return section


def _seal(
    bundle: Path, manifest: Manifest, made: Companions, section: AttentionManifest, entries: dict[str, FileEntry]
) -> None:
    """Puts the manifest with the new parts in the place of the old one; what it does not speak of is not read anew."""
    path = bundle / MANIFEST_FILE
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    content["graphs"] |= {name: graph.model_dump(mode="json") for name, graph in made.graphs.items()}
    added = {name: entry.model_dump(mode="json") for name, entry in entries.items()}
    content["files"] = dict(sorted((content["files"] | added).items()))
    content["attention"] = section.model_dump(mode="json")
    type(manifest).model_validate(content)
    handle, new = tempfile.mkstemp(prefix=f".{MANIFEST_FILE}.", dir=bundle)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    Path(new).chmod(path.stat().st_mode)
    Path(new).replace(path)


def lines_of(made: AttentionManifest, left_out: Iterable[str] = ()) -> list[str]:
    """What was made, for people."""
    kinds = ", ".join(f"{kind.kind} {kind.num_layers} x {kind.num_heads}" for kind in made.kinds)
    known = "not compared" if made.max_abs_error is None else f"within {made.max_abs_error:.1g} of the model's"
    where = "the served graph" if made.origin == "fused" else "a graph of its own"
    return [f"attention from {where}, layers x heads: {kinds}; {known}", *left_out]
