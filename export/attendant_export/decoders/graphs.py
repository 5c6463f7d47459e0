"""Makes the graphs of a decoder: trace, rewrite, quantise, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import onnx_ir as ir
import torch
from attendant.bundle import ChangingFrequencies, DType, KVLayer, Precision

from attendant_export.calibration_runs import prompt_runs
from attendant_export.decoders.calibrate import calibrate
from attendant_export.decoders.decoder import probe, trace_decoder
from attendant_export.decoders.families import patched
from attendant_export.decoders.layouts import CacheLayout, PageLayout, SlotLayout
from attendant_export.drafts import Written
from attendant_export.errors import UnsupportedModel
from attendant_export.fidelity.windows import text_windows
from attendant_export.graph.companions import paged_companions
from attendant_export.graph.files import save_graphs
from attendant_export.graph.kernels import CacheScales
from attendant_export.graph.passes import rewrite
from attendant_export.graph.ragged import allow_ragged_rows
from attendant_export.memory import empty_graph, set_aside
from attendant_export.precision import in_dtype
from attendant_export.progress import Progress
from attendant_export.prompts import Encode, Ints, sample_prompts
from attendant_export.quantisation.plan import Quantised
from attendant_export.quantisation.quantise import quantise
from attendant_export.quantisation.stored import Stored
from attendant_export.recipe import Recipe
from attendant_export.texts import calibration_text
from attendant_export.tracing.attention import AttentionLayer, AttentionTrace
from attendant_export.tracing.trace import fused_attention


@dataclass(frozen=True)
class TracedGraph:
    """The finished graph ``decoder`` of a model before quantisation, and its attention calls."""

    model: ir.Model
    layers: Sequence[AttentionLayer]

    def clone(self) -> TracedGraph:
        """A graph of its own over the same weights."""
        return TracedGraph(self.model.clone(), self.layers)


def write_graphs(
    model: Any,
    folder: Path,
    recipe: Recipe,
    context_length: int,
    encode: Encode | None,
    progress: Progress,
    calibration: str | None = None,
) -> Written:
    """Writes the files of ``model`` (float32, or already in the recipe's type) to ``folder``.

    Args:
        encode: text to token ids, for the prompts that calibrate an 8-bit cache.
        calibration: text to calibrate with besides; by default the exporter's own.
    """
    traced = trace_graph(model, recipe, context_length, encode, progress, calibration)
    return write_traced(traced, folder, recipe, progress)


def trace_graph(
    model: Any,
    recipe: Recipe,
    context_length: int,
    encode: Encode | None,
    progress: Progress,
    calibration: str | None = None,
    changing: ChangingFrequencies | None = None,
) -> TracedGraph:
    """Traces and rewrites; see :func:`write_graphs`. Recipes of one target, type and cache have one graph.

    ``changing``: see :func:`attendant_export.decoders.decoder.trace_decoder`.
    """
    layout: CacheLayout = SlotLayout()
    if recipe.target == "cuda":
        layout = PageLayout(_scales(model, recipe, context_length, encode, progress, calibration))
    with progress("trace") as step:
        traced = trace_decoder(in_dtype(model, recipe.dtype), context_length, layout, step, changing)
        set_aside(model)
    _check_windows(model, [call.window for call in traced.layers], context_length)
    with progress("rewrite"):
        # A half-precision head may share memory with the embedding table; a quantised one is a tensor of its own.
        tied = recipe.target == "cuda" and recipe.precision != "int4"
        rewrite(traced.model, context_length, layout, keep_tied=tied, changing=changing)
    return TracedGraph(traced.model, traced.layers)


def _check_windows(model: Any, windows: Sequence[int | None], context_length: int) -> None:
    """Refuses a model that forgets while it generates what it attends to in a prompt: it has two answers.

    Raises:
        UnsupportedModel: transformers' cache of it slides, and no layer has a window.
    """
    from transformers import DynamicCache

    if any(windows) or not getattr(model.config.get_text_config(), "sliding_window", None):
        return
    layers = DynamicCache(config=model.config).layers
    kept = [layer.sliding_window for layer in layers if getattr(layer, "is_sliding", False)]
    shortest = min((size for size in kept if isinstance(size, int)), default=context_length)
    if shortest < context_length:
        raise UnsupportedModel(
            str(model.config.model_type),
            f"transformers attends to the last {shortest} positions of it while it generates, and to all in a prompt",
        )


def write_traced(
    traced: TracedGraph,
    folder: Path,
    recipe: Recipe,
    progress: Progress,
    windows: Sequence[Ints] = (),
    stored: Stored | None = None,
) -> Written:
    """Quantises ``traced``, in place, and writes all files of a bundle but its tokenizer and manifest.

    Args:
        windows: tokens of sample text, [length] int64 each, to quantise by.
        stored: weights that are in blocks already; graphs for CPUs that compute generated tokens have them so.
    """
    models, done = {"decoder": traced.model}, tuple[str, ...]()
    if recipe.precision == "mixed":
        models["prompt"] = traced.model.clone()
    if quantised := quantised_as(recipe.precision):
        # Graphs for CUDA do not run here as they are; theirs is plain rounding.
        runs = prompt_runs(traced.layers, windows) if recipe.target == "cpu" else []
        with progress("quantise") as step:
            for name, graph in models.items():
                kept = stored if recipe.target == "cpu" and name == "decoder" else None
                done += quantise(graph, quantised[name], runs, step, kept)
    if recipe.target == "cuda":
        models |= paged_companions(traced.model, len(traced.layers))
    else:
        allow_ragged_rows(models.get("prompt", traced.model).graph)
    with progress("write"):
        graphs = save_graphs(models, folder)
    for graph in models.values():
        empty_graph(graph)
    return Written(graphs, done, kv_layers(traced.layers, recipe.cache_dtype))


def quantised_as(precision: Precision) -> dict[str, Quantised]:
    """What the weights of each graph become; nothing where they stay as they are."""
    if precision == "mixed":
        return {"prompt": "int8", "decoder": "int4"}
    known = [each for each in get_args(Quantised) if each == precision]
    return {"decoder": known[0]} if known else {}


def kv_layers(layers: Sequence[AttentionLayer], dtype: DType = "float32") -> tuple[KVLayer, ...]:
    """The cache layout as the manifest has it."""
    return tuple(
        KVLayer(num_kv_heads=layer.num_kv_heads, head_size=layer.head_size, dtype=dtype, window=layer.window)
        for layer in layers
    )


def _scales(
    model: Any,
    recipe: Recipe,
    context_length: int,
    encode: Encode | None,
    progress: Progress,
    calibration: str | None,
) -> CacheScales | None:
    """What calibration finds, where the recipe asks for an 8-bit cache."""
    if recipe.kv_cache == "model":
        return None
    with progress("calibrate"):
        trace = AttentionTrace(str(model.config.model_type), longest=context_length)
        with torch.no_grad(), patched(model, trace) as bypass, fused_attention(model, trace, bypass):
            layers = kv_layers(probe(model, trace))
        prompts = sample_prompts(model, layers, context_length, encode)
        if encode is not None:
            vocab_size = model.config.get_text_config().vocab_size
            text = calibration or calibration_text()
            prompts += text_windows(text, encode, vocab_size=vocab_size, context_length=context_length, most=512)
        return calibrate(model, prompts, context_length, recipe.kv_cache)
