"""The shortcuts of a trace change its time, not its graph."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from typing import Any

import onnx_ir as ir
import pytest
import torch
from attendant_export.decoders.decoder import trace_decoder
from attendant_export.graph.passes import rewrite
from attendant_export.tracing import trace
from attendant_export.tracing.shortcuts import quick_rules, quick_tracing

from tests.bundles import make_llama

_CONTEXT = 64


def test_graphs_are_the_same_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = graph_of_llama()
    monkeypatch.setattr(trace, "quick_rules", nullcontext)
    monkeypatch.setattr(trace, "quick_tracing", nullcontext)
    assert described(quick) == described(graph_of_llama())


def test_they_are_undone() -> None:
    from onnxscript.rewriter._rewrite_rule import RewriteRule
    from torch.fx.experimental.proxy_tensor import PythonKeyTracer

    def settings() -> tuple[Any, ...]:
        tracing = (torch.fx.config.do_not_emit_stack_traces, PythonKeyTracer.enable_thunkify, gc.get_threshold())
        return RewriteRule.try_rewrite, tracing

    before = settings()
    with quick_rules(), quick_tracing():
        within = settings()
    assert all(one != other for one, other in zip(before, within, strict=True))
    assert settings() == before


def graph_of_llama() -> ir.Model:
    """The finished float32 graph of a tiny Llama."""
    model = trace_decoder(make_llama(), _CONTEXT).model
    rewrite(model, _CONTEXT)
    return model


def described(model: ir.Model) -> list[Any]:
    """Nodes, names, shapes and weights, for comparison."""
    nodes = [
        (
            node.domain,
            node.op_type,
            [value.name if value is not None else None for value in node.inputs],
            [(value.name, str(value.shape), value.dtype) for value in node.outputs],
            {name: str(given.value) for name, given in node.attributes.items()},
        )
        for node in model.graph
    ]
    weights = [
        (name, value.const_value.tobytes())
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    ]
    return [nodes, weights]
