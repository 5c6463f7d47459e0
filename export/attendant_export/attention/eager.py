"""Traces a graph that gives attention from a model's eager attention: weights of its own, in float32, no cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from attendant.bundle import AttentionKind, AttentionLayers, ImageInput
from attendant.bundle.graph_io import ATTENTION, EAGER, EAGER_MEDIA, HIDDEN, WEIGHTS, Port, Size, ports_of

from attendant_export.attention.fused import MAX_SOURCE_WEIGHTS, Companions, patches_of
from attendant_export.attention.reference import Look, attentions_of, look_torch, watched_head
from attendant_export.errors import AttentionError, failures_of
from attendant_export.graph.files import describe, file_of
from attendant_export.graph.nodes import Editor
from attendant_export.graph.passes import strip_metadata
from attendant_export.memory import empty_graph
from attendant_export.progress import Step, no_step
from attendant_export.tracing.trace import trace_to_onnx


def write_eager(folder: Path, look: Look, image: ImageInput | None = None, step: Step = no_step) -> Companions:
    """Writes ``attention.onnx`` and its weights. ``image``: what a model of images reads.

    Raises:
        ExportError: the model cannot be traced so, or gives no weights.
    """
    architecture = str(look.model.config.model_type)
    with failures_of(architecture):
        seen = look_torch(look)
    if not seen.weights or seen.hidden is None:
        raise AttentionError(f"{architecture} gives no attention weights in transformers, so no graph of them is made")
    left_out: tuple[str, ...] = ()
    kinds = dict[AttentionKind, AttentionLayers]()
    for kind, layers in seen.weights.items():
        heads, length = len(layers[0]), layers[0].shape[-1]
        if kind == "encoder" and len(layers) * heads * length**2 > MAX_SOURCE_WEIGHTS:
            left_out = (f"no attention of the source at itself: it has {length} positions",)
            continue
        kinds[kind] = AttentionLayers(kind=kind, num_layers=len(layers), num_heads=heads)
    model = _traced(look, kinds, seen.hidden.shape[-1], architecture, step)
    file = file_of(ATTENTION)
    ir.save(model, folder / file, external_data=f"{file}.data")
    graphs, patches = {ATTENTION: describe(model.graph, file)}, patches_of(model.graph, image)
    empty_graph(model)
    return Companions(graphs, tuple(kinds.values()), patches, left_out, "eager")


class _Looking(torch.nn.Module):  # type: ignore[misc]
    """Tensors of ``names`` in; hidden states and the weights of ``kinds`` out."""

    def __init__(self, look: Look, names: list[str], kinds: Mapping[AttentionKind, AttentionLayers]) -> None:
        super().__init__()
        self.model = look.model
        self.look = look
        self.names = names
        self.kinds = kinds

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with watched_head(self.model) as head:
            output = self.look.run(dict(zip(self.names, tensors, strict=True)))
        assert head.seen is not None
        found = attentions_of(output)
        weights = [each.float() for kind in self.kinds for each in found[kind]]
        return (head.seen.flatten(0, 1).float(), *weights)


def _traced(
    look: Look, kinds: Mapping[AttentionKind, AttentionLayers], width: int, architecture: str, step: Step
) -> ir.Model:
    ports = {port.name: port for port in (*ports_of(EAGER), *EAGER_MEDIA)}
    names = list(look.inputs)
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(look.inputs[name])) for name in names)
    shapes = tuple(_dynamic(ports[name]) for name in names)
    outputs = [WEIGHTS[kind].at(layer) for kind, each in kinds.items() for layer in range(each.num_layers)]
    given = [HIDDEN.name, *(port.name for port in outputs)]
    module = _Looking(look, names, kinds).eval()
    with failures_of(architecture):
        model = trace_to_onnx(module, tensors, (shapes,), names, given, "cpu", step)
    editor = Editor(model.graph)
    editor.drop_unused()
    heads = [each.num_heads for each in kinds.values() for _ in range(each.num_layers)]
    _name(model.graph.outputs[0], HIDDEN, hidden_size=width)
    for value, port, num in zip(model.graph.outputs[1:], outputs, heads, strict=True):
        _name(value, port, num_heads=num)
    for value in model.graph.inputs:
        port = ports[str(value.name)]
        assert value.shape is not None
        sizes = list(zip(port.dims, value.shape, strict=True))
        if any(isinstance(dim, str) and isinstance(size, int) for dim, size in sizes[1:]):
            raise AttentionError(f"{architecture}: its graph of attention would take one length only")
        value.shape = ir.Shape([dim if isinstance(dim, str) else int(size) for dim, size in sizes])
    strip_metadata(model)
    return model


def _dynamic(port: Port) -> dict[int, Any]:
    """Every size but the number of rows, which is one."""
    return {axis: torch.export.Dim.AUTO for axis, dim in enumerate(port.dims) if axis and isinstance(dim, str)}


def _name(value: ir.Value, port: Port, **sizes: int) -> None:
    value.shape = ir.Shape([sizes[dim.of] if isinstance(dim, Size) else dim for dim in port.dims])
