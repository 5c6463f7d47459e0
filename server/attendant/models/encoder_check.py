"""Runs a freshly opened encoder: allocates its memory and finds a graph that does not fit its manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from attendant.batching.policy import BatchLimits
from attendant.bundle import AudioInput, EncoderManifest, ImageInput, PatchInput, SpectrumInput, TextInput
from attendant.bundle.graph_io import IMAGES, PACKED, PATCHES, PICKED_TOKENS, SOUND, SPECTRA, TOKEN_EMBEDDINGS
from attendant.core.encoding import Arrays, Row
from attendant.core.errors import BundleError, DeviceOutOfMemory
from attendant.runtime.devices import Device
from attendant.runtime.encoder_runner import EncoderRunner
from attendant.runtime.run_error import RunError

LENGTHS = (16, 9)
"""Tokens, or frames, of the rows of the first run, if the model takes so many."""


def check_encoder(
    path: Path, manifest: EncoderManifest, runner: EncoderRunner, limits: BatchLimits, device: Device
) -> None:
    """Run two rows and look at what they give; on a GPU also the largest batch: ONNX Runtime keeps the memory it takes.

    Raises:
        BundleError: a run fails, or its outputs are not what the manifest says.
        DeviceOutOfMemory: the largest batch does not fit.
    """
    graph = path / manifest.graphs["encoder"].file
    lengths = [LENGTHS[0]] * len(LENGTHS) if manifest.layout == "equal" else list(LENGTHS)
    rows = [_row(manifest, str(i), length) for i, length in enumerate(lengths)]
    try:
        outputs = runner.run(rows)
        if device.kind == "cuda":
            runner.run(_largest_batch(manifest, limits))
        _check_outputs(graph, manifest, runner, rows, outputs)
    except RunError as error:
        if device.kind == "cuda" and "allocate memory" in str(error):
            what = (
                f"{graph}: a batch of {limits.max_rows} rows at most (encoder.max_batch_tokens, encoder.max_batch_size)"
            )
            raise DeviceOutOfMemory(device.index, 0, *device.free_memory(), what) from error
        raise BundleError(graph, f"the warm-up run failed: {error}") from error


def probe_row(manifest: EncoderManifest) -> Row:
    """A row that the model has been run with."""
    return _row(manifest, "probe", LENGTHS[0])


def _row(manifest: EncoderManifest, row_id: str, length: int) -> Row:
    """A row of padding, black or silence, as near to ``length`` as the model takes."""
    match manifest.input:
        case ImageInput(height=height, width=width):
            return Row(row_id, {IMAGES.pixel_values.name: np.zeros((3, height, width), np.float32)}, 1, 0)
        case PatchInput(patch_size=edge, max_patches=most):
            pixels = np.zeros((most, 3 * edge * edge), np.float32)
            one_line = np.array([1, most], np.int64)
            patches: Arrays = {PATCHES.pixel_values.name: pixels, PATCHES.spatial_shapes.name: one_line}
            return Row(row_id, patches, 1, 0)
        case SpectrumInput() as spec:
            spectrum = np.zeros((spec.num_mel_bins, spec.num_frames), np.float32)
            return Row(row_id, {SPECTRA.input_features.name: spectrum}, 1, 0)
        case AudioInput() as spec:
            step = manifest.ctc.samples_per_frame if manifest.ctc else spec.samples_per_frame
            size = min(spec.min_samples + (length - 1) * step, spec.max_samples)
            return Row(row_id, {SOUND.input_values.name: np.zeros(size, np.float32)}, size, 0)
        case TextInput() as spec:
            size = min(length, spec.max_tokens)
            ids = np.full(size, spec.pad_id)
            ids[-1] = spec.pad_id if spec.end_id is None else spec.end_id
            arrays = {PACKED.input_ids.name: ids, PICKED_TOKENS.logits_index.name: np.zeros(1, np.int64)}
            return Row(row_id, arrays, size, 0)


def _largest_batch(manifest: EncoderManifest, limits: BatchLimits) -> list[Row]:
    longest = _row(manifest, "0", limits.max_size)
    number = min(limits.max_size // longest.size, limits.max_rows)
    return [longest] * max(number, 1)


def _check_outputs(
    graph: Path, manifest: EncoderManifest, runner: EncoderRunner, rows: list[Row], outputs: list[Arrays]
) -> None:
    width = _width(manifest)
    for row, arrays in zip(rows, outputs, strict=True):
        output = arrays[runner.output]
        per_token = runner.output == TOKEN_EMBEDDINGS.name or manifest.task in ("classify_tokens", "answer")
        if per_token and len(output) != row.size:
            raise BundleError(graph, f"gives {len(output)} outputs for {row.size} tokens")
        if width is not None and output.shape[-1] != width:
            raise BundleError(
                graph,
                f"gives {runner.output} of width {output.shape[-1]}; its manifest says {width} for {manifest.task}",
            )
    head = manifest.embedding
    if head is not None and head.pooling is not None:
        first = np.stack([arrays[runner.output][0] for arrays in outputs])  # [rows, hidden] float32
        vectors = runner.project(np.tile(first, len(head.poolings)))
        if vectors.shape != (len(rows), head.dimensions):
            raise BundleError(
                graph, f"makes vectors of {vectors.shape[-1]} dimensions; its manifest says {head.dimensions}"
            )


def _width(manifest: EncoderManifest) -> int | None:
    """Last dimension of the output; None where the manifest does not tell."""
    match manifest.task:
        case "answer":
            return 2
        case "transcribe":
            return len(manifest.ctc.vocabulary) if manifest.ctc else None
        case "embed" | "embed_image":
            head = manifest.embedding
            return head.dimensions if head and head.pooling is None else None
        case "fill_mask":
            return None
        case _:
            return len(manifest.labels)
