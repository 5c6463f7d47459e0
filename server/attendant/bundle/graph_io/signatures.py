"""Which ports each graph of a bundle may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attendant.bundle.decoders import GeneratorManifest
from attendant.bundle.encoders import AudioInput, EncoderManifest, ImageInput, PatchInput, RowLayout, SpectrumInput
from attendant.bundle.graph_io import attention as a
from attendant.bundle.graph_io import decoders as d
from attendant.bundle.graph_io import encoders as e
from attendant.bundle.graph_io.port import Per, Port, ports_of
from attendant.bundle.sources import AudioSource
from attendant.core.attention import AttentionKind

ATTENTION, ATTENTION_SOURCE = "attention", "attention_source"
"""Graphs that give attention: the model's, and of an encoder-decoder that of its encoder."""

Manifest = GeneratorManifest | EncoderManifest


@dataclass(frozen=True, slots=True)
class Signature:
    """What a graph may take and give. ``of``: which graph that is, in words."""

    of: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def counted(self, counts: Mapping[Per, int]) -> Signature:
        """The same for a model of so many attention calls: every port by its own name."""
        return Signature(self.of, _counted(self.inputs, counts), _counted(self.outputs, counts))


def _counted(ports: tuple[Port, ...], counts: Mapping[Per, int]) -> tuple[Port, ...]:
    """Several in the place of one that there is for each of something; those of one call stand side by side."""
    single = [port for port in ports if port.per is None]
    several = [port for port in ports if port.per is not None]
    calls = {port.per: [other for other in several if other.per == port.per] for port in several}
    numbered = [port.at(i) for per, group in calls.items() if per for i in range(counts[per]) for port in group]
    return (*single, *numbered)


def _caches(*caches: d.CachePorts) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """What comes in and what goes out."""
    pasts = tuple(port for cache in caches for port in (cache.past.key, cache.past.value))
    presents = tuple(port for cache in caches for port in (cache.present.key, cache.present.value))
    return pasts, presents


_SLOT_INPUTS, _SOURCE_INPUTS = ports_of(d.SLOTS, d.RAGGED), ports_of(d.POSITIONS, d.SLOT_SOURCES)
_PAGE_INPUTS, _PAGE_OUTPUTS = ports_of(d.PAGES, d.SAMPLING), (d.LOGITS, *ports_of(d.CANDIDATES))
_SLOT, _PAGE = _caches(d.SLOT_CACHE), _caches(d.PAGE_CACHE)
_SOURCE_SLOT = _caches(d.SLOT_CACHE, d.SLOT_SOURCE_CACHE)
_SOURCE_PAGE = _caches(d.PAGE_CACHE, d.PAGE_SOURCE_CACHE)
_DECODERS = {
    ("slots", False): Signature("a decoder over slots", (*_SLOT_INPUTS, *_SLOT[0]), (d.SLOT_LOGITS, *_SLOT[1])),
    ("slots", True): Signature(
        "a decoder over slots that looks at sources",
        (*_SLOT_INPUTS, *_SOURCE_INPUTS, *_SOURCE_SLOT[0]),
        (d.SLOT_LOGITS, *_SOURCE_SLOT[1]),
    ),
    ("pages", False): Signature("a decoder over pages", (*_PAGE_INPUTS, *_PAGE[0]), (*_PAGE_OUTPUTS, *_PAGE[1])),
    ("pages", True): Signature(
        "a decoder over pages that looks at sources",
        (*_PAGE_INPUTS, *ports_of(d.PAGE_SOURCES), *_SOURCE_PAGE[0]),
        (*_PAGE_OUTPUTS, *_SOURCE_PAGE[1]),
    ),
}
_COPY_BLOCKS = Signature("copy_blocks", (*ports_of(d.COPYING), d.COPY_FROM), (d.COPY_TO,))
_PICK_ROWS = Signature("pick_rows", ports_of(d.PICKING), (d.PICKED,))
_ATTENTION = (a.HIDDEN, *a.WEIGHTS.values())
_EAGER_INPUTS = (*ports_of(a.EAGER), *a.EAGER_MEDIA)
_PROJECTION = Signature("projection", (e.POOLED,), (e.EMBEDDING,))


def text_ports(layout: RowLayout) -> tuple[Port, ...]:
    """The inputs of a graph that reads tokens."""
    return ports_of(e.PACKED if layout == "packed" else e.PADDED)


def encoder_output(manifest: EncoderManifest) -> Port:
    """The one output of the graph ``encoder``."""
    match manifest.task:
        case "embed" if manifest.embedding is not None and manifest.embedding.pooling is not None:
            output = e.TOKEN_EMBEDDINGS
        case "embed" | "embed_image":
            output = e.EMBEDDING
        case "classify_tokens" | "answer":
            output = e.TOKEN_LOGITS
        case "fill_mask":
            output = e.PICKED_LOGITS
        case "transcribe":
            output = e.FRAME_LOGITS
        case "classify" | "rerank" | "classify_image" | "classify_audio":
            output = e.ROW_LOGITS
    return e.in_layout(output, packed=manifest.layout == "packed")


def encoder_inputs(manifest: EncoderManifest) -> tuple[Port, ...]:
    """What the graph ``encoder`` may take."""
    match manifest.input:
        case ImageInput():
            return ports_of(e.IMAGES)
        case PatchInput():
            return ports_of(e.PATCHES)
        case AudioInput():
            return ports_of(e.SOUND)
        case SpectrumInput():
            return ports_of(e.SPECTRA)
        case _:
            picked = ports_of(e.PICKED_TOKENS) if manifest.task == "fill_mask" else ()
            return (*text_ports(manifest.layout), *picked)


def signature_of(manifest: Manifest, graph: str) -> Signature | None:
    """What the graph of this name in a bundle may take and give, every port by its own name; None for a graph that no
    bundle has."""
    if isinstance(manifest, EncoderManifest):
        found = _of_encoder(manifest, graph)
        counts = _attention_counts(manifest)
    else:
        found = _of_generator(manifest, graph)
        layers = len(manifest.kv_layers)
        counts = {"layer": layers, "cross_layer": len(manifest.cross_layers), "cache": 2 * layers}
        counts |= _attention_counts(manifest)
    return None if found is None else found.counted(counts)


def _attention_counts(manifest: Manifest) -> dict[Per, int]:
    kinds = {found.kind: found.num_layers for found in manifest.attention.kinds} if manifest.attention else {}
    return {port.per: kinds.get(kind, 0) for kind, port in a.WEIGHTS.items() if port.per is not None}


def _gives_attention(manifest: Manifest, served: Signature, *kinds: AttentionKind) -> Signature:
    """Of a graph beside ``served``, which gives its caches, too; or of one that was traced for attention alone."""
    weights = tuple(a.WEIGHTS[kind] for kind in kinds)
    if manifest.attention is not None and manifest.attention.origin == "eager":
        return Signature("attention, in a graph of its own", _EAGER_INPUTS, _ATTENTION)
    caches = tuple(port for port in served.outputs if port.per is not None)
    hidden = () if kinds == ("encoder",) else (a.HIDDEN,)
    return Signature(f"the attention of {served.of}", served.inputs, (*hidden, *weights, *caches))


def _of_encoder(manifest: EncoderManifest, graph: str) -> Signature | None:
    of = f"{manifest.task} in layout {manifest.layout}"
    served = Signature(of, encoder_inputs(manifest), (encoder_output(manifest),))
    match graph:
        case "encoder":
            return served
        case "projection":
            return _PROJECTION
        case "attention":
            return _gives_attention(manifest, served, "self")
    return None


def _of_generator(manifest: GeneratorManifest, graph: str) -> Signature | None:
    source, layout = manifest.encoder_input, manifest.cache_layout
    match graph:
        case "decoder" | "prompt":
            return _DECODERS[layout, source is not None]
        case "encoder" if source is not None:
            encoded = d.PAGE_ENCODED if layout == "pages" else d.SLOT_ENCODED
            rows = ports_of(e.SPECTRA) if isinstance(source, AudioSource) else text_ports(source.layout)
            return Signature("the encoder of sources", rows, (encoded.key, encoded.value))
        case "attention":
            kinds: tuple[AttentionKind, ...] = ("self",) if source is None else ("self", "cross")
            return _gives_attention(manifest, _DECODERS[layout, source is not None], *kinds)
        case "attention_source" if source is not None:
            served = _of_generator(manifest, "encoder")
            return None if served is None else _gives_attention(manifest, served, "encoder")
        case "copy_blocks":
            return _COPY_BLOCKS
        case "pick_rows":
            return _PICK_ROWS
    return None


def all_signatures() -> tuple[Signature, ...]:
    """A signature for every kind of graph, with the ports of attention calls named once; for documentation."""
    tokens = (d.SLOT_ENCODED.key, d.SLOT_ENCODED.value), (d.PAGE_ENCODED.key, d.PAGE_ENCODED.value)
    sources, picked = (*text_ports("packed"), *ports_of(e.SPECTRA)), ports_of(e.PICKED_TOKENS)
    packed = (e.ROW_LOGITS, e.TOKEN_LOGITS, e.PICKED_LOGITS, e.EMBEDDING, e.TOKEN_EMBEDDINGS)
    padded = tuple(e.in_layout(port, packed=False) for port in packed)
    return (
        *_DECODERS.values(),
        Signature("an encoder of sources for slots, of text or sound", sources, tokens[0]),
        Signature("an encoder of sources for pages, of text or sound", sources, tokens[1]),
        _COPY_BLOCKS,
        _PICK_ROWS,
        Signature("an encoder of text in layout packed", (*text_ports("packed"), *picked), packed),
        Signature("an encoder of text in layout padded", (*text_ports("padded"), *picked), padded),
        Signature("an encoder of images", ports_of(e.IMAGES), (e.ROW_LOGITS, e.EMBEDDING)),
        Signature("an encoder of sound", ports_of(e.SOUND), (e.FRAME_LOGITS,)),
        _PROJECTION,
        Signature("the attention of a served graph, which it gives in place of logits", (), _ATTENTION),
        Signature("attention in a graph of its own, which reads a whole sequence", _EAGER_INPUTS, _ATTENTION),
    )
