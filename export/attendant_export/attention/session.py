"""Runs the graphs that give attention over one sequence, as the server does, to see that they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import (
    AttentionKind,
    AudioInput,
    AudioSource,
    EncoderManifest,
    GeneratorManifest,
    Graph,
    ImageInput,
    KVLayer,
    Manifest,
    TextSource,
)
from attendant.bundle.graph_io import (
    ATTENTION,
    ATTENTION_SOURCE,
    EAGER,
    HIDDEN,
    IMAGES,
    PACKED,
    SLOT_CACHE,
    SLOT_ENCODED,
    SLOT_SOURCE_CACHE,
    SOUND,
    SPECTRA,
    WEIGHTS,
    PositionInputs,
    RaggedInputs,
    SlotInputs,
    SlotSourceInputs,
    by_name,
)

from attendant_export.encoders.rows import feeds_of
from attendant_export.errors import AttentionError, ExportError, first_line
from attendant_export.session import bind_cache, open_session

Array = npt.NDArray[Any]
Inputs = Mapping[str, Array]
"""One sequence as transformers' models take it, by name: input_ids [1, n] int64, pixel_values [1, 3, height, width]
float32 and so on."""


@dataclass(frozen=True)
class Seen:
    """What was seen of one sequence: weights [num_heads, queries, keys] of each layer, by kind; hidden states
    [tokens, channels], or None."""

    weights: Mapping[AttentionKind, list[Array]]
    hidden: Array | None


def look_fused(folder: Path, manifest: Manifest, graphs: Mapping[str, Graph], inputs: Inputs) -> Seen:
    """What the graphs made of served ones give. ``graphs``: those of the bundle, and the ones that give attention."""
    if isinstance(manifest, EncoderManifest):
        return _seen(_run(folder, graphs[ATTENTION], _encoder_feeds(manifest, inputs)))
    cross: list[Array] = []
    seen: dict[AttentionKind, list[Array]] = {}
    if manifest.encoder_input is not None:
        name = ATTENTION_SOURCE if ATTENTION_SOURCE in graphs else "encoder"
        outputs = _run(folder, graphs[name], _source_feeds(manifest.encoder_input, inputs))
        seen |= _seen(outputs).weights
        cross = [outputs[made][None] for made in SLOT_ENCODED.names(len(manifest.cross_layers))]
    ids = inputs[EAGER.decoder_input_ids.name if cross else EAGER.input_ids.name][0]
    parts = list(_Decoder(folder / graphs[ATTENTION].file, manifest, cross).run(ids))
    longest = len(ids)
    for kind in parts[0].weights:
        layers = zip(*(part.weights[kind] for part in parts), strict=True)
        width = longest if kind == "self" else None
        seen[kind] = [np.concatenate([_widened(rows, width) for rows in layer], axis=1) for layer in layers]
    return Seen(seen, np.concatenate([part.hidden for part in parts if part.hidden is not None]))


def look_eager(folder: Path, graph: Graph, inputs: Inputs) -> Seen:
    """What a graph of its own gives."""
    return _seen(_run(folder, graph, inputs))


def check_rows(seen: Seen) -> None:
    """Makes sure that each row is a softmax, of which a sink may take a part that nobody gets, and has hidden states.

    Raises:
        AttentionError: one is not or has none.
    """
    own = seen.weights.get("self", [])
    if seen.hidden is not None and any(weights.ndim != 3 or weights.shape[1] != len(seen.hidden) for weights in own):
        raise AttentionError("its layers attend in windows, or at other places than its head reads")
    for kind, layers in seen.weights.items():
        for layer, weights in enumerate(layers):
            sums = weights.sum(-1)
            if not (np.isfinite(sums).all() and weights.min() >= 0 and sums.max() <= 1 + 1e-3):
                raise AttentionError(f"what it gives in layer {layer} of {kind} is no softmax")


@contextmanager
def session_failures() -> Iterator[None]:
    """What ONNX Runtime raises over a graph, as an AttentionError."""
    try:
        yield
    except (ExportError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise AttentionError(f"its graph cannot be run: {first_line(error)}") from error


class _Decoder:
    """One sequence over a cache of its own. ``cross``: keys and values of its source, in the order of the ports."""

    def __init__(self, path: Path, manifest: GeneratorManifest, cross: list[Array]) -> None:
        self._session = open_session(path)
        self._takes = {taken.name for taken in self._session.get_inputs()}
        self._gives = [given.name for given in self._session.get_outputs()]
        self._layers = manifest.kv_layers
        self._sources = list(zip(cross[::2], cross[1::2], strict=True))

    def run(self, ids: Array) -> Iterator[Seen]:
        """In two chunks, or more where the source is short."""
        caches = [_cache(layer, len(ids)) for layer in self._layers]
        half = len(ids) // 2 + 1 if len(ids) > 3 else len(ids)  # leaves no token alone
        chunk = min(half, self._sources[0][0].shape[2]) if self._sources else half
        for start in range(0, len(ids), chunk):
            yield self._run(ids[start : start + chunk], start, caches)

    def _run(self, ids: Array, start: int, caches: list[tuple[Array, Array]]) -> Seen:
        length, end = len(ids), start + len(ids)
        places = np.stack([np.zeros(length, np.int64), np.arange(length)], -1)[None]
        inputs: SlotInputs[Array] = SlotInputs(
            input_ids=np.ascontiguousarray(ids[None], np.int64),
            position_ids=np.arange(start, end)[None],
            seqlens_k=np.array([end - 1], np.int32),
            total_sequence_length=np.array([end], np.int32),
            logits_index=np.arange(length),
        )
        ragged: RaggedInputs[Array] = RaggedInputs(np.array([length], np.int32), places, places)
        groups: list[Any] = [inputs, ragged, PositionInputs(np.arange(end))]
        if self._sources:
            total = self._sources[0][0].shape[2]
            groups.append(SlotSourceInputs(np.array([total - 1], np.int32), np.array([total], np.int32)))
        binding = self._session.io_binding()
        for name, array in by_name(*groups).items():
            if name in self._takes:
                binding.bind_cpu_input(name, array)
        bind_cache(binding, SLOT_CACHE, caches)
        bind_cache(binding, SLOT_SOURCE_CACHE, self._sources)
        cached = [*SLOT_CACHE.names(len(caches)), *SLOT_SOURCE_CACHE.names(len(self._sources))]
        wanted = [name for name in self._gives if name not in {present for _, present in cached}]
        for name in wanted:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        found = binding.get_outputs()[len(cached) :]  # in the order in which they were bound
        return _seen({name: value.numpy() for name, value in zip(wanted, found, strict=True)})


def _cache(layer: KVLayer, length: int) -> tuple[Array, Array]:
    shape = (1, layer.num_kv_heads, length, layer.head_size)
    return np.zeros(shape, np.float32), np.zeros(shape, np.float32)


def _widened(rows: Array, width: int | None) -> Array:
    missing = 0 if width is None else width - rows.shape[2]
    return np.pad(rows, ((0, 0), (0, 0), (0, missing)))


def _encoder_feeds(manifest: EncoderManifest, inputs: Inputs) -> Inputs:
    match spec := manifest.seen_input():
        case ImageInput():
            return {IMAGES.pixel_values.name: inputs[IMAGES.pixel_values.name]}
        case AudioInput():
            samples = inputs[SOUND.input_values.name]
            return {SOUND.input_values.name: samples, SOUND.attention_mask.name: np.ones(samples.shape, np.int64)}
    rows, types = inputs[PACKED.input_ids.name], inputs.get(PACKED.token_type_ids.name)
    given = None if types is None else list(types)
    return feeds_of(manifest.layout, list(rows), given, pad_id=spec.pad_id, position_offset=spec.position_offset)


def _source_feeds(source: TextSource | AudioSource, inputs: Inputs) -> Inputs:
    if isinstance(source, AudioSource):
        return {SPECTRA.input_features.name: inputs[SPECTRA.input_features.name]}
    rows = list(inputs[EAGER.input_ids.name])
    return feeds_of(source.layout, rows, pad_id=source.pad_id, position_offset=source.position_offset)


def _run(folder: Path, graph: Graph, feeds: Inputs) -> dict[str, Array]:
    session = open_session(folder / graph.file)
    names = [given.name for given in session.get_outputs()]
    taken = {value.name for value in session.get_inputs()}
    return dict(zip(names, session.run(names, {name: feeds[name] for name in taken}), strict=True))


def _seen(outputs: Mapping[str, Array]) -> Seen:
    weights: dict[AttentionKind, list[Array]] = {}
    for kind, port in WEIGHTS.items():
        layer = 0
        while (name := port.at(layer).name) in outputs:
            weights.setdefault(kind, []).append(_one(outputs[name]))
            layer += 1
    hidden = outputs.get(HIDDEN.name)
    return Seen(weights, hidden)


def _one(weights: Array) -> Array:
    """Those of the only row; what has several rows, or none, stays as it is, and is told by its shape."""
    found: Array = weights[0] if weights.ndim == 4 and len(weights) == 1 else weights
    return found
