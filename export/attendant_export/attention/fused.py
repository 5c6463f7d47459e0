"""Writes the graphs that give attention from the served graphs of a bundle, over the same files of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import onnx_ir as ir
from attendant.bundle import (
    AttentionKind,
    AttentionLayers,
    AttentionManifest,
    AttentionOrigin,
    AudioSource,
    EncoderManifest,
    Graph,
    ImageInput,
    Manifest,
    Patches,
    TextSource,
)
from attendant.bundle.graph_io import ATTENTION, ATTENTION_SOURCE, IMAGES

from attendant_export.graph.attention import NoAttention, give_attention
from attendant_export.graph.files import describe, file_of
from attendant_export.graph.nodes import nodes_of

MAX_SOURCE_WEIGHTS = 2**28
"""Weights of the longest source; an encoder with more gives none, as they would take more than a gigabyte at once."""

Source = TextSource | AudioSource | None


@dataclass(frozen=True)
class Companions:
    """Graphs that give attention, as the manifest has them, by name. ``left_out``: what of it is not given, and why."""

    graphs: Mapping[str, Graph]
    kinds: tuple[AttentionLayers, ...]
    patches: Patches | None = None
    left_out: tuple[str, ...] = ()
    origin: AttentionOrigin = "fused"

    def section(self, error: float | None, frame_s: float | None = None) -> AttentionManifest:
        """What the manifest says of it. ``error``: the largest of a weight, or None if nobody looked."""
        return AttentionManifest(
            origin=self.origin, kinds=self.kinds, max_abs_error=error, patches=self.patches, frame_s=frame_s
        )


def frame_seconds(source: Source) -> float | None:
    """What a position of a source lasts, if that is a recording."""
    if not isinstance(source, AudioSource):
        return None
    return source.num_frames * source.hop_length / source.sampling_rate / source.max_length


def source_of(manifest: Manifest) -> Source:
    """What an encoder-decoder reads, or None."""
    return None if isinstance(manifest, EncoderManifest) else manifest.encoder_input


def write_fused(folder: Path, graphs: Mapping[str, Graph], source: Source, image: ImageInput | None) -> Companions:
    """Writes them beside the served graphs in ``folder``.

    Args:
        graphs: of the bundle. source: what an encoder-decoder reads. image: what a model of images reads.

    Raises:
        NoAttention: the served graphs cannot give their attention; says why. Nothing is written.
    """
    served = next(name for name in ("prompt", "decoder", "encoder") if name in graphs)
    model = ir.load(folder / graphs[served].file)
    given, left_out = dict(give_attention(model).heads), tuple[str, ...]()
    made = {ATTENTION: model}
    if source is not None:
        try:
            encoder = ir.load(folder / graphs["encoder"].file)
            heads = give_attention(encoder, source=True).heads
            _check_size(heads["encoder"], source.max_length)
            made[ATTENTION_SOURCE], given = encoder, given | heads
        except NoAttention as reason:
            left_out = (f"no attention of the source at itself: {reason}",)
    kinds = [
        AttentionLayers(kind=kind, num_layers=len(given[kind]), num_heads=given[kind][0])
        for kind in get_args(AttentionKind)
        if kind in given
    ]
    patches = patches_of(model.graph, image)
    for name, each in made.items():
        ir.save(each, folder / file_of(name))  # weights stay where they are, in the files of the served graphs
    entries = {name: describe(each.graph, file_of(name)) for name, each in made.items()}
    return Companions(entries, tuple(kinds), patches, left_out)


def _check_size(heads: list[int], length: int) -> None:
    if sum(heads) * length**2 > MAX_SOURCE_WEIGHTS:
        gigabytes = sum(heads) * length**2 * 4 / 1e9
        raise NoAttention(f"{len(heads)} layers of {heads[0]} heads over {length} positions are {gigabytes:.1f} GB")


def patches_of(graph: ir.Graph, image: ImageInput | None) -> Patches | None:
    """Where the patches lie, by the convolution that makes them and the number of tokens; None if not in a grid."""
    if image is None:
        return None
    pixels = next((value for value in graph.inputs if value.name == IMAGES.pixel_values.name), None)
    first = [node for node in nodes_of(graph, "Conv") if node.inputs[0] is pixels]
    hidden = graph.outputs[0].producer()
    states = hidden.inputs[0] if hidden is not None else None
    if len(first) != 1 or "strides" not in first[0].attributes or states is None or states.shape is None:
        return None
    down, right = first[0].attributes["strides"].as_ints()
    rows, columns = image.height // down, image.width // right
    tokens = states.shape[-2]
    if not isinstance(tokens, int) or tokens < rows * columns:
        return None
    return Patches(rows=rows, columns=columns, num_prefix=tokens - rows * columns)
