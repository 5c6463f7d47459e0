"""Runs an encoder over rows: their inputs together, one run, and each row's own part of the outputs."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import AudioInput, EncoderManifest, ImageInput, PatchInput, SpectrumInput
from attendant.bundle.graph_io import (
    EMBEDDING,
    PACKED,
    PICKED_TOKENS,
    POOLED,
    SOUND,
    check_inputs,
    encoder_output,
    signature_of,
)
from attendant.core.encoding import Arrays, Row
from attendant.core.errors import BundleError
from attendant.runtime.row_inputs import (
    Array,
    RowShape,
    audio_inputs,
    image_inputs,
    patch_inputs,
    spectrum_inputs,
    text_inputs,
)
from attendant.runtime.run_error import RunError, raises_run_error

Extent = Literal["row", "token", "picked", "frame"]
"""What an output's first dimension (in padded layout, first two) counts."""

# What the sizes of an output count, by the name of one that only such outputs have.
_EXTENTS: dict[str, Extent] = {
    "num_logits": "picked",
    "num_frames": "frame",
    "num_tokens": "token",
    "max_length": "token",
}


class EncoderRunner:
    """The graphs of one bundle, for rows as its manifest documents them. Any thread may call.

    Args:
        session: of the graph ``encoder``. projection: of the graph ``projection``, or None.

    Raises:
        BundleError: the graph takes an input, or lacks an output, other than the manifest's task has.
    """

    def __init__(
        self, session: ort.InferenceSession, manifest: EncoderManifest, projection: ort.InferenceSession | None = None
    ) -> None:
        self._session = session
        self._manifest = manifest
        self._projection = projection
        self._inputs = frozenset(found.name for found in session.get_inputs())
        port = encoder_output(manifest)
        self._output = port.name
        self._extent: Extent = next((extent for size, extent in _EXTENTS.items() if size in port.dims), "row")
        self._check(frozenset(found.name for found in session.get_outputs()))

    @property
    def output(self) -> str:
        """Name of the output that rows get: ``logits``, ``embedding`` or ``token_embeddings``."""
        return self._output

    @raises_run_error
    def run(self, rows: Sequence[Row]) -> list[Arrays]:
        """Compute rows together: at least one, each of at least one token; in layout ``equal`` all of one size.

        Returns:
            For each row its part of the output, float32: [num_labels] or [dimensions] where it is given per row, [n,
            ...] where per token, [m, vocab_size] where per token of ``logits_index``, [num_frames, vocab_size] of
            audio. They are views of the run's output.

        Raises:
            RunError: ONNX Runtime could not run it, or the graph gives another number of outputs.
        """
        shape = RowShape.of([_length(row) for row in rows])
        (output,) = self._session.run([self._output], self._feed(rows, shape))
        parts = self._cut(output, rows, shape)
        _check_number(parts, len(rows), "rows")
        return [{self._output: part} for part in parts]

    @raises_run_error
    def project(self, pooled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Pooled [n, hidden] float32 to vectors [n, dimensions] float32; themselves if the bundle projects nothing."""
        if self._projection is None:
            return pooled
        feeds = {POOLED.name: np.ascontiguousarray(pooled, np.float32)}
        (vectors,) = self._projection.run([EMBEDDING.name], feeds)
        result: npt.NDArray[np.float32] = vectors
        return result

    def _feed(self, rows: Sequence[Row], shape: RowShape) -> dict[str, Array]:
        spec = self._manifest.input
        if isinstance(spec, ImageInput):
            return image_inputs(rows)
        if isinstance(spec, PatchInput):
            return patch_inputs(rows)
        if isinstance(spec, SpectrumInput):
            return spectrum_inputs(rows)
        if isinstance(spec, AudioInput):
            return audio_inputs(rows, shape, self._inputs)
        return text_inputs(rows, shape, spec, self._manifest.layout, self._inputs)

    def _cut(self, output: Array, rows: Sequence[Row], shape: RowShape) -> list[Array]:
        match self._extent:
            case "row":
                return list(output)
            case "picked":
                counts = [len(row.arrays[PICKED_TOKENS.logits_index.name]) for row in rows]
                return np.split(output, np.cumsum(counts)[:-1])
            case "frame":
                return [part[: self._num_frames(n, shape.longest, len(part))] for part, n in _pairs(output, shape)]
            case "token":
                if self._manifest.layout == "packed":
                    _check_number(output, shape.num_tokens, "tokens")
                    return np.split(output, shape.starts[1:])
                return [part[:n] for part, n in _pairs(output, shape)]

    def _num_frames(self, num_samples: int, longest: int, num_frames: int) -> int:
        """Frames of a row of ``num_samples``, of the ``num_frames`` that a row of ``longest`` has.

        A frame more for each ``samples_per_frame``; from ``min_samples`` on, if that is what the first one takes, or
        else counted back from the longest row, which may lose the frame that its end is cut through.
        """
        spec, ctc = self._manifest.input, self._manifest.ctc
        if num_samples == longest or ctc is None or not isinstance(spec, AudioInput):
            return num_frames
        step = ctc.samples_per_frame
        if num_frames == (longest - spec.min_samples) // step + 1:
            return (num_samples - spec.min_samples) // step + 1
        return max(num_frames - -(-(longest - num_samples) // step), 1)

    def _check(self, outputs: frozenset[str]) -> None:
        manifest = self._manifest
        graph, signature = f"{manifest.name}: {manifest.graphs['encoder'].file}", signature_of(manifest, "encoder")
        assert signature is not None
        check_inputs(graph, self._inputs, signature)
        if self._output not in outputs:
            raise BundleError(graph, f"gives {sorted(outputs)}; {manifest.task} needs {self._output!r}")


def _length(row: Row) -> int:
    """Tokens or samples of a row; 1 for an image, and for a spectrum."""
    for name in (PACKED.input_ids.name, SOUND.input_values.name):
        if name in row.arrays:
            return len(row.arrays[name])
    return 1


def _pairs(output: Any, shape: RowShape) -> list[tuple[Array, int]]:
    return list(zip(output, shape.lengths.tolist(), strict=True))


def _check_number(outputs: Sized, expected: int, of_what: str) -> None:
    """A graph comes with its bundle: that it gives one output for each thing is no invariant of ours."""
    if len(outputs) != expected:
        raise RunError(f"the graph gives {len(outputs)} outputs for {expected} {of_what}")
