"""Traces an encoder into an ONNX graph with fused attention, whatever its rows are: text, images or audio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import onnx_ir as ir
import torch
from attendant.bundle import Target

from attendant_export.encoders.attention import EncoderAttention
from attendant_export.encoders.families import patched_encoder
from attendant_export.encoders.repairs import repaired
from attendant_export.errors import UnsupportedModel, failures_of
from attendant_export.graph.nodes import Editor
from attendant_export.progress import Step, no_step
from attendant_export.tracing.trace import trace_to_onnx

Dimensions = Mapping[str, tuple[str | None, ...]]
Feeds = Mapping[str, torch.Tensor]


class EncoderModule(Protocol):
    """A torch module that computes the graph's output from its inputs by name, in any floating-point type.

    It calls :meth:`~attendant_export.encoders.attention.EncoderAttention.start` of its ``attention`` before its model.
    """

    attention: EncoderAttention

    def __call__(self, feeds: Feeds) -> torch.Tensor: ...


@dataclass(frozen=True)
class EncoderSpec:
    """One graph to trace.

    Attributes:
        module: an :class:`EncoderModule`, in eval mode.
        model: the transformers model within, whose attention is switched.
        samples: an input of each name, with sizes that differ where the dimensions do. Floating-point ones are float32.
        output: name of the output, float32.
        dimensions: of inputs and output: a name for each size that varies, None for fixed ones.
        fused: emit MultiHeadAttention nodes; otherwise the model keeps its own attention.
    """

    module: Any
    model: Any
    samples: Feeds
    output: str
    dimensions: Dimensions
    fused: bool = True


def trace_encoder(spec: EncoderSpec, target: Target = "cpu", step: Step = no_step) -> ir.Model:
    """The graph of ``spec``, fused for the provider of ``target``; ``step`` is told what the trace is at.

    Raises:
        UnsupportedModel: the model does something that cannot be traced, or a size is not dynamic that has to be.
        ToolchainError: torch or transformers are not the versions the exporter drives.
    """
    attention: EncoderAttention = spec.module.attention
    names = list(spec.samples)
    shapes = tuple(_dynamic(spec.dimensions[name]) for name in names)
    with failures_of(attention.architecture), switched(spec.model, attention, emits_nodes=True, fused=spec.fused):
        graph = trace_to_onnx(
            _Positional(spec.module, names).eval(),
            tuple(spec.samples.values()),
            (shapes,),
            names,
            [spec.output],
            target,
            step,
        )
    adopt_constants(graph.graph)
    _check_dynamic(graph.graph, spec.dimensions, attention.architecture)
    return graph


@contextmanager
def switched(
    model: Any, attention: EncoderAttention, *, emits_nodes: bool = False, fused: bool = True
) -> Iterator[None]:
    """While in it, ``model`` calls ``attention``, which emits nodes or computes; its own attention if not ``fused``."""
    attention.emits_nodes = emits_nodes
    with repaired(model), patched_encoder(model, attention) if fused else nullcontext():
        yield


def adopt_constants(graph: ir.Graph) -> None:
    """Makes initializers of constants that a fusion made and forgot to register."""
    editor = Editor(graph)
    adopted: dict[ir.Value, ir.Value] = {}
    for node in graph:
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is None or value.producer() is not None or value.is_initializer():
                continue
            if value not in adopted:
                adopted[value] = editor.constant(value.const_value.numpy(), str(value.name))
            node.replace_input_with(index, adopted[value])


class _Positional(torch.nn.Module):  # type: ignore[misc]
    """Takes by position what ``module`` takes by name; gives float32."""

    def __init__(self, module: Any, names: list[str]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.module(dict(zip(self.names, tensors, strict=True)))
        return output.float()


def _dynamic(names: tuple[str | None, ...]) -> dict[int, Any]:
    return {axis: torch.export.Dim.AUTO for axis, name in enumerate(names) if name is not None}


def _check_dynamic(graph: ir.Graph, dimensions: Dimensions, architecture: str) -> None:
    """Tracing with Dim.AUTO may settle for the sample's size."""
    for value in graph.inputs:
        assert value.shape is not None
        for name, size in zip(dimensions[str(value.name)], value.shape, strict=True):
            if name is not None and isinstance(size, int):
                raise UnsupportedModel(architecture, f"its graph takes one {name} only ({size}, of {value.name})")
