"""Shortcuts through torch and onnxscript while a model is traced: the same graphs in less time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir

from attendant_export.toolchain import internal

_RULES = "onnxscript.rewriter._rewrite_rule"
_MATCHERS = "onnxscript.rewriter._matcher"
_PROXIES = "torch.fx.experimental.proxy_tensor"
_COLLECT_EVERY = 100_000  # new objects; Python's own 700 makes it look through the graphs again and again


@contextmanager
def quick_rules() -> Iterator[None]:
    """While in it, a rule tries no node whose operator is not the one that its pattern ends in.

    Left alone, onnxscript lists the whole graph anew for every node and every rule with several outputs. Its rules live
    on with the last graph that they looked at, and so with its weights: they forget it on leaving.
    """
    rule = internal(_RULES, "RewriteRule")
    matcher = internal(_MATCHERS, "SimplePatternMatcher")
    original = rule.try_rewrite
    used: set[Any] = set()

    def try_rewrite(self: Any, model: Any, graph_or_function: Any, node: ir.Node, **keywords: Any) -> Any:
        if type(self._matcher) is matcher and not _ends_in(self._matcher.pattern, node):
            return None
        used.add(self._matcher)
        return original(self, model, graph_or_function, node, **keywords)

    rule.try_rewrite = try_rewrite
    try:
        yield
    finally:
        rule.try_rewrite = original
        for each in used:
            each._init_match(0)
            each._graph = None


def _ends_in(pattern: Any, node: ir.Node) -> bool:
    """Whether ``node`` has the operator of a pattern's first output; a matcher starts there and asks so first."""
    last = pattern.output_nodes[0]
    return bool(last.op.matches(node.op_type) and last.domain.matches(node.domain))


@contextmanager
def quick_tracing() -> Iterator[None]:
    """While in it, torch writes down no stack of calls for every node, which no graph keeps, and no arithmetic on
    sizes that nothing reads; Python's collector of cycles looks less often."""
    config, tracer = internal("torch.fx", "config"), internal(_PROXIES, "PythonKeyTracer")
    stacks, lazy, thresholds = config.do_not_emit_stack_traces, tracer.enable_thunkify, gc.get_threshold()
    config.do_not_emit_stack_traces, tracer.enable_thunkify = True, True
    gc.set_threshold(_COLLECT_EVERY, *thresholds[1:])
    try:
        yield
    finally:
        config.do_not_emit_stack_traces, tracer.enable_thunkify = stacks, lazy
        gc.set_threshold(*thresholds)
