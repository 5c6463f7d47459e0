"""Adds graphs that give attention to a bundle that is there, without its source and without torch."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from attendant.bundle import (
    MANIFEST_FILE,
    AttentionManifest,
    AudioInput,
    AudioSource,
    EncoderManifest,
    FileEntry,
    ImageInput,
    Manifest,
    TextInput,
    read_any_manifest,
    sha256,
)
from attendant.bundle.graph_io import EAGER, IMAGES, SOUND, SPECTRA

from attendant_export.attention.fused import Companions, frame_seconds, source_of, write_fused
from attendant_export.attention.lines import lines_of
from attendant_export.attention.session import Inputs, check_rows, look_fused, session_failures
from attendant_export.errors import AttentionError
from attendant_export.graph.attention import NoAttention

_TOKENS, _FRAMES = 8, 20  # of what it is tried with


def add_attention(bundle: Path) -> list[str]:
    """Makes the bundle give its attention from the nodes of its served graphs, and tries that; returns what was done.

    All that was there stays as it is. How far the weights are from the source model's is not known then.

    Raises:
        AttentionError: it cannot, or gives it already, or is no bundle; says why. All is as it was.
        BundleError: its manifest cannot be read.
    """
    if not (bundle / MANIFEST_FILE).is_file():
        raise AttentionError(f"{bundle} is no bundle: it has no {MANIFEST_FILE}")
    manifest = read_any_manifest(bundle)
    if manifest.attention is not None:
        raise AttentionError(f"{bundle} gives attention already ({manifest.attention.origin})")
    if isinstance(manifest, EncoderManifest):
        try:
            manifest.seen_input()
        except ValueError as reason:
            raise AttentionError(f"{bundle} cannot give attention: {reason}") from None
    source, image = source_of(manifest), getattr(manifest, "input", None)
    try:
        made = write_fused(bundle, manifest.graphs, source, image if isinstance(image, ImageInput) else None)
        with session_failures():
            seen = look_fused(bundle, manifest, {**manifest.graphs, **made.graphs}, _sample(manifest))
        check_rows(seen)
    except (NoAttention, AttentionError) as reason:
        remove_attention(bundle, manifest)
        raise AttentionError(
            f"{manifest.name} cannot give attention from its served graph: {reason}; "
            "export the model again with --attention eager"
        ) from None
    section = made.section(None, frame_seconds(source))
    files = {graph.file: bundle / graph.file for graph in made.graphs.values()}
    entries = {name: FileEntry(size=path.stat().st_size, sha256=sha256(path)) for name, path in files.items()}
    _seal(bundle, manifest, made, section, entries)
    return lines_of(section, made.left_out)


def remove_attention(folder: Path, manifest: Manifest) -> None:
    """Removes what was written in vain beside the graphs of ``manifest``."""
    served = {graph.file for graph in manifest.graphs.values()}
    for path in folder.glob("attention*.onnx*"):
        if path.name not in served:
            path.unlink()


def _sample(manifest: Manifest) -> Inputs:
    """Something to look at."""
    noise = np.random.default_rng(0)
    if not isinstance(manifest, EncoderManifest):
        answer = _ids(manifest.vocab_size, min(_TOKENS, manifest.context_length))
        match manifest.encoder_input:
            case None:
                return {EAGER.input_ids.name: answer}
            case AudioSource(num_mel_bins=bins, num_frames=frames):
                read = {SPECTRA.input_features.name: noise.standard_normal((1, bins, frames)).astype(np.float32)}
            case spec:
                read = {EAGER.input_ids.name: _ids(spec.vocab_size or manifest.vocab_size, spec.max_length)}
        return {**read, EAGER.decoder_input_ids.name: answer}
    match manifest.seen_input():
        case ImageInput(height=height, width=width):
            return {IMAGES.pixel_values.name: noise.standard_normal((1, 3, height, width)).astype(np.float32)}
        case AudioInput(min_samples=least, max_samples=most):
            step = manifest.ctc.samples_per_frame if manifest.ctc else 1
            samples = min(least + _FRAMES * step, most)
            return {SOUND.input_values.name: noise.standard_normal((1, samples)).astype(np.float32)}
        case TextInput(vocab_size=known, max_tokens=most, end_id=end):
            ids = _ids(known or 1, most)
            if end is not None:
                ids[0, -1] = end
            return {EAGER.input_ids.name: ids}


def _ids(vocab_size: int, most: int) -> Any:
    return np.arange(1, 1 + min(_TOKENS, most))[None] % vocab_size  # [1, n] int64


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
