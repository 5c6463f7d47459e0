"""Makes a graph of three decoder layers one of many, by repeating the middle one."""

from __future__ import annotations

import re
from typing import Any

import onnx_ir as ir

TRACED_LAYERS = 3

_NORM = "SkipSimplifiedLayerNormalization"  # of a sum: between two layers, and inside each
_CACHE = re.compile(r"(past|present)_(key|value)_(\d+)")
_KINDS = ("key", "value")


def repeat_middle_layer(graph: ir.Graph, num_layers: int) -> None:
    """Repeats in place what lies between the norms in front of the second and the third attention.

    Every copy gets caches and weight matrices of its own, whose content in memory is the original's; it shares norms.

    Args:
        graph: of a decoder of three layers that follow each other, with PagedAttention nodes. num_layers: of the
            result, more than three.
    """
    nodes = list(graph)
    attentions = [at for at, node in enumerate(nodes) if node.op_type == "PagedAttention"]
    assert len(attentions) == TRACED_LAYERS, "the first layer, the one to repeat, the last"
    start, end = (max(at for at in range(limit) if nodes[at].op_type == _NORM) for limit in attentions[1:])
    layer = _Layer(graph, nodes[start], nodes[start + 1 : end + 1])
    readers = [(i, use.node, use.idx) for i, out in enumerate(layer.end.outputs) for use in tuple(out.uses())]
    _renumber(graph, TRACED_LAYERS - 1, num_layers - 1)
    previous = layer.end
    for number in range(TRACED_LAYERS - 1, num_layers - 1):
        previous = layer.copy(number, previous)
    for output, reader, place in readers:
        reader.replace_input_with(place, previous.outputs[output])
    _sort_caches(graph)


class _Layer:
    """A layer: its nodes, the last of which is the norm in front of the next one.

    ``before``: the norm in front of the layer.
    """

    def __init__(self, graph: ir.Graph, before: ir.Node, nodes: list[ir.Node]) -> None:
        inside = {before, *nodes}
        for node in nodes:
            for value in node.inputs:
                producer = value.producer() if value is not None else None
                assert producer is None or producer in inside, f"{node.name} reads what another layer computes"
        self._graph = graph
        self._before = before
        self._nodes = nodes

    @property
    def end(self) -> ir.Node:
        """The norm in front of the next layer."""
        return self._nodes[-1]

    def copy(self, number: int, previous: ir.Node) -> ir.Node:
        """Adds the layer once more, to be the ``number``-th from 0, behind the norm ``previous``; gives its end."""
        values: dict[ir.Value, ir.Value] = dict(zip(self._before.outputs, previous.outputs, strict=True))
        after = previous
        for node in self._nodes:
            inputs = [None if value is None else self._input(values, value, number) for value in node.inputs]
            outputs = [self._output(values, value, number) for value in node.outputs]
            name = f"{node.name or node.op_type}_{number}"
            copy = ir.Node(
                node.domain, node.op_type, inputs, tuple(node.attributes.values()), outputs=outputs, name=name
            )
            self._graph.insert_after(after, copy)
            after = copy
        return after

    def _input(self, values: dict[ir.Value, ir.Value], value: ir.Value, number: int) -> ir.Value:
        if value not in values:
            values[value] = self._own(value, number)
        return values[value]

    def _own(self, value: ir.Value, number: int) -> ir.Value:
        """The copy's own cache or matrix; anything else from outside is shared."""
        if value.is_initializer() and value.shape is not None and len(value.shape) == 2 and _is_weight(value):
            tensor = value.const_value
            own = ir.Value(name=f"{value.name}_{number}", shape=value.shape, type=value.type, const_value=tensor)
            self._graph.register_initializer(own)
            return own
        if value.is_graph_input() and _CACHE.fullmatch(str(value.name)):
            own = ir.Value(name=_numbered(value, number), shape=value.shape, type=value.type)
            self._graph.inputs.append(own)
            return own
        return value

    def _output(self, values: dict[ir.Value, ir.Value], value: ir.Value, number: int) -> ir.Value:
        own = ir.Value(name=f"{value.name}_{number}", shape=value.shape, type=value.type)
        if value.is_graph_output():
            own.name = _numbered(value, number)
            self._graph.outputs.append(own)
        values[value] = own
        return own


def _is_weight(value: ir.Value) -> bool:
    return all(use.node.op_type == "MatMul" for use in value.uses())


def _numbered(value: ir.Value, number: int) -> str:
    return re.sub(r"\d+$", str(number), str(value.name))


def _renumber(graph: ir.Graph, old: int, new: int) -> None:
    for value in (*graph.inputs, *graph.outputs):
        found = _CACHE.fullmatch(str(value.name))
        if found and int(found[3]) == old:
            value.name = _numbered(value, new)


def _sort_caches(graph: ir.Graph) -> None:
    """Caches behind everything else, by layer, keys first."""

    def key(value: ir.Value) -> tuple[int, int]:
        found = _CACHE.fullmatch(str(value.name))
        return (int(found[3]), _KINDS.index(found[2])) if found else (-1, 0)

    ends: tuple[Any, ...] = (graph.inputs, graph.outputs)
    for values in ends:
        ordered = sorted(values, key=key)
        values.clear()
        values.extend(ordered)
