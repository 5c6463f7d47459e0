"""Which graph gives the attention of a model, and in what runs: opened when somebody asks, beside the served ones."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import AttentionManifest, AudioInput, AudioSource, EncoderManifest, ImageInput, Manifest
from attendant.bundle.graph_io import (
    ATTENTION,
    EAGER,
    HIDDEN,
    IMAGES,
    PACKED,
    SOUND,
    SPECTRA,
    WEIGHTS,
    EagerInputs,
    by_name,
)
from attendant.core.attention import AttentionKind, AttentionPart, AttentionRun, AttentionShape, AttentionSubject
from attendant.core.encoding import Row
from attendant.core.errors import AttendantError
from attendant.core.source import Source
from attendant.runtime.resident import Resident
from attendant.runtime.row_inputs import RowShape, audio_inputs, image_inputs, text_inputs
from attendant.runtime.run_error import RunError, raises_run_error
from attendant.runtime.session import SessionOptions, open_session

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

MAX_RUN_WEIGHTS = 2**27
"""Weights of a run that computes a whole sequence: half a gigabyte. It bounds the length of what is looked at."""


class AttentionGraph:
    """A graph of a bundle that is opened when it is first run, on the thread that runs it.

    Args:
        name: in the manifest. options: as the served graphs have them.
    """

    def __init__(self, path: Path, manifest: Manifest, name: str, options: SessionOptions) -> None:
        graph = manifest.graphs[name]
        self.takes = frozenset(spec.name for spec in graph.inputs)
        self.gives = tuple(spec.name for spec in graph.outputs)
        widths = [spec.shape[-1] for spec in graph.outputs if spec.name == HIDDEN.name]
        self.hidden_size = int(widths[0]) if widths else 0
        self._model = manifest.name
        self._file = path / graph.file
        self._options = options
        self._session: ort.InferenceSession | None = None

    @property
    def session(self) -> ort.InferenceSession:
        """Itself in memory.

        Raises:
            RunError: it cannot be opened.
        """
        if self._session is None:
            started, before = time.monotonic(), Resident.now()
            try:
                self._session = open_session(self._file, self._options)
            except AttendantError as error:
                raise RunError(str(error)) from error
            logger.info(
                "%s: opened %s in %.1f s to look at attention; it takes %s",
                *(self._model, self._file.name, time.monotonic() - started),
                Resident.now().since(before),
            )
        return self._session

    @raises_run_error
    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """All outputs by name, of those of ``feeds`` that the graph takes."""
        names = list(self.gives)
        taken = {name: array for name, array in feeds.items() if name in self.takes}
        return dict(zip(names, self.session.run(names, taken), strict=True))


class EncoderAttention:
    """Attention of a model that encodes, from the attention nodes of its served graph: an
    :class:`~attendant.core.attention.AttentionModel`. A row is one run, without padding."""

    def __init__(
        self, path: Path, manifest: EncoderManifest, given: AttentionManifest, options: SessionOptions
    ) -> None:
        self.shapes = shapes_of(given)
        self.origin = given.origin
        self.max_tokens = min(longest_row(manifest, given), longest_run(given))
        self._manifest = manifest
        self._graph = AttentionGraph(path, manifest, ATTENTION, options)

    def runs(self, subject: AttentionSubject) -> Iterator[AttentionRun]:
        """See :meth:`attendant.core.attention.AttentionModel.runs`."""
        outputs = self._graph.run(self._feeds(subject))
        yield AttentionRun(tuple(parts_of(outputs, self.shapes)), 0, outputs[HIDDEN.name])

    def _feeds(self, subject: AttentionSubject) -> dict[str, Array]:
        spec, length = self._manifest.seen_input(), _length(subject)
        rows, shape = [Row("", subject.arrays, length, 0)], RowShape.of([length])
        match spec:
            case ImageInput():
                return image_inputs(rows)
            case AudioInput():
                return audio_inputs(rows, shape, self._graph.takes)
        return text_inputs(rows, shape, spec, self._manifest.layout, self._graph.takes)


class EagerAttention:
    """Attention of any model from a graph of its own, which reads a whole sequence in one run: an
    :class:`~attendant.core.attention.AttentionModel`."""

    def __init__(self, path: Path, manifest: Manifest, given: AttentionManifest, options: SessionOptions) -> None:
        self.shapes = shapes_of(given)
        self.origin = given.origin
        limit = longest_row(manifest, given) if isinstance(manifest, EncoderManifest) else manifest.context_length
        self.max_tokens = min(limit, longest_run(given))
        self._graph = AttentionGraph(path, manifest, ATTENTION, options)

    def runs(self, subject: AttentionSubject) -> Iterator[AttentionRun]:
        """See :meth:`attendant.core.attention.AttentionModel.runs`."""
        outputs = self._graph.run(_eager_feeds(subject))
        yield AttentionRun(tuple(parts_of(outputs, self.shapes)), 0, outputs[HIDDEN.name])


def shapes_of(given: AttentionManifest) -> tuple[AttentionShape, ...]:
    """What a manifest says there is."""
    return tuple(AttentionShape(kind.kind, kind.num_layers, kind.num_heads) for kind in given.kinds)


def parts_of(outputs: dict[str, Array], shapes: tuple[AttentionShape, ...]) -> Iterator[AttentionPart]:
    """The weights among a run's outputs, layer by layer; those of one sequence, from its first query on."""
    for shape in shapes:
        for layer in range(shape.num_layers):
            name = weights_name(shape.kind, layer)
            if name in outputs:
                yield AttentionPart(shape.kind, layer, 0, outputs[name][0])


def weights_name(kind: AttentionKind, layer: int) -> str:
    """The output of a graph that has them."""
    return WEIGHTS[kind].at(layer).name


def longest_run(given: AttentionManifest) -> int:
    """Tokens of a sequence whose weights may come out of one run."""
    return min(math.isqrt(MAX_RUN_WEIGHTS // (kind.num_layers * kind.num_heads)) for kind in given.kinds)


def longest_row(manifest: EncoderManifest, given: AttentionManifest) -> int:
    """Tokens, patches or frames of a row that the model takes."""
    match spec := manifest.seen_input():
        case ImageInput() if given.patches is not None:
            return given.patches.num_prefix + given.patches.rows * given.patches.columns
        case AudioInput(max_samples=samples) if manifest.ctc is not None:
            return samples // manifest.ctc.samples_per_frame
        case AudioInput() | ImageInput():
            return MAX_RUN_WEIGHTS  # bounded by what a run may have
    return spec.max_tokens


def source_length(manifest: Manifest, source: Source) -> int:
    """Positions of a source that an answer looks at."""
    spec = None if isinstance(manifest, EncoderManifest) else manifest.encoder_input
    return spec.max_length if isinstance(spec, AudioSource) else source.length


def _eager_feeds(subject: AttentionSubject) -> dict[str, Array]:
    arrays, source = subject.arrays, subject.source
    ids = arrays.get(PACKED.input_ids.name)
    media = IMAGES.pixel_values.name, SOUND.input_values.name
    feeds = {name: arrays[name][None].astype(np.float32) for name in media if name in arrays}
    if source is not None:
        read = source.arrays
        if SPECTRA.input_features.name in read:
            feeds[SPECTRA.input_features.name] = read[SPECTRA.input_features.name][None].astype(np.float32)
        answer: EagerInputs[Any] = EagerInputs(_row(read.get(EAGER.input_ids.name)), None, _row(ids))
        return feeds | by_name(answer)
    types = arrays.get(PACKED.token_type_ids.name)
    types = np.zeros_like(ids) if types is None and ids is not None else types
    inputs: EagerInputs[Any] = EagerInputs(_row(ids), _row(types), None)
    return feeds | by_name(inputs)


def _row(ids: Array | None) -> Array | None:
    return None if ids is None else np.ascontiguousarray(ids, np.int64)[None]


def _length(subject: AttentionSubject) -> int:
    for name in (PACKED.input_ids.name, SOUND.input_values.name):
        if name in subject.arrays:
            return len(subject.arrays[name])
    return 1
