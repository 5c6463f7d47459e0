"""Which products of a graph are quantised, what flows into them, and what each is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir
from attendant.bundle.graph_io import LOGITS, SLOTS

from attendant_export.graph.nodes import attribute, nodes_of

Role = Literal["attention", "head", "inner", "other"]
"""``attention``: makes queries, keys or values. ``head``: gives the logits. ``inner``: reads what an activation
function made of other products, as the last product of an MLP does."""

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
_LEAST_SIDE = 32
_DEPTH = 8  # nodes to look through
_ELEMENTWISE = ("Mul", "Add", "Sub", "Div", "Pow", "Reshape", "Clip", "Min", "Max", "Where")
_ACTIVATIONS = (
    *("Sigmoid", "Gelu", "FastGelu", "QuickGelu", "BiasGelu", "Relu", "Tanh", "Erf", "Softplus", "HardSwish", "Elu"),
    *("LeakyRelu", "Swish", "Mish"),
)
_ATTENTION = ("GroupQueryAttention", "PagedAttention", "MultiHeadAttention")


@dataclass(frozen=True, eq=False)
class Group:
    """The MatMuls ``nodes`` that read ``value`` [..., K], each with a constant weight [K, N]; ``role`` of the first."""

    value: ir.Value
    nodes: tuple[ir.Node, ...]
    role: Role

    @property
    def channels(self) -> int:
        """K."""
        weight = self.nodes[0].inputs[1]
        assert weight is not None
        assert weight.shape is not None
        return int(weight.shape[0])

    @property
    def num_weights(self) -> int:
        """The number of weights of all its products."""
        shapes = [node.inputs[1].shape for node in self.nodes if node.inputs[1] is not None]
        return sum(int(shape[0]) * int(shape[1]) for shape in shapes if shape is not None)


def product_groups(graph: ir.Graph) -> list[Group]:
    """The products to quantise, those that read one value together, in the order of the graph."""
    found: dict[ir.Value, list[ir.Node]] = {}
    for node in nodes_of(graph, "MatMul"):
        if quantisable(node) and node.inputs[0] is not None:
            found.setdefault(node.inputs[0], []).append(node)
    read_by_attention = _products_of_attention(graph)
    return [Group(value, tuple(nodes), _role(nodes[0], read_by_attention)) for value, nodes in found.items()]


def quantisable(node: ir.Node) -> bool:
    """Whether the weight of a MatMul is large enough to gain by it, and not a router's."""
    weight = node.inputs[1]
    if weight is None or not weight.is_initializer() or weight.shape is None or len(weight.shape) != 2:
        return False
    if weight.dtype not in _FLOATS:
        return False
    return min(int(size) for size in weight.shape) >= _LEAST_SIDE and not _feeds_top_k([node])


def _role(node: ir.Node, read_by_attention: set[ir.Node]) -> Role:
    if node in read_by_attention:
        return "attention"
    if _gives_logits(node):
        return "head"
    return "inner" if _follows_activation(node) else "other"


def _follows_activation(node: ir.Node) -> bool:
    """Whether an activation function, with nothing but elementwise work around it, makes what the product reads."""
    front = [node.inputs[0]]
    for _ in range(_DEPTH):
        makers = [value.producer() for value in front if value is not None]
        if any(maker is not None and maker.op_type in _ACTIVATIONS for maker in makers):
            return True
        passed = [maker for maker in makers if maker is not None and maker.op_type in _ELEMENTWISE]
        front = [value for maker in passed for value in maker.inputs]
    return False


def _gives_logits(node: ir.Node) -> bool:
    """Whether nothing but elementwise work lies between the product and the graph's output ``logits``."""
    front = list(node.outputs)
    for _ in range(_DEPTH):
        if any(value.is_graph_output() and value.name == LOGITS.name for value in front):
            return True
        readers = {use.node for value in front for use in value.uses()}
        if not readers or any("MatMul" in reader.op_type or "Norm" in reader.op_type for reader in readers):
            return False
        front = [output for reader in readers for output in reader.outputs]
    return False


def _products_of_attention(graph: ir.Graph) -> set[ir.Node]:
    """The MatMuls that make queries, keys and values: the last ones before an attention node."""
    found: set[ir.Node] = set()
    front = [value for node in nodes_of(graph, *_ATTENTION) for value in node.inputs[:3]]
    seen: set[ir.Value] = set()
    while front:
        value = front.pop()
        node = value.producer() if value is not None else None
        if value is None or node is None or value in seen:
            continue
        seen.add(value)
        if node.op_type == "MatMul":
            found.add(node)
        else:
            front += node.inputs
    return found


def _feeds_top_k(nodes: Iterable[ir.Node]) -> bool:
    """Whether a TopK follows before the next product: the mark of a router."""
    front = list(nodes)
    for _ in range(_DEPTH):
        front = [use.node for node in front for output in node.outputs for use in output.uses()]
        if any(node.op_type == "TopK" for node in front):
            return True
        front = [node for node in front if "MatMul" not in node.op_type and "Norm" not in node.op_type]
    return False


def is_token_embedding(node: ir.Node) -> bool:
    """Whether a Gather looks float32 rows of a table up by the graph's ``input_ids``."""
    table, ids = node.inputs
    if table is None or ids is None or not table.is_initializer() or table.dtype != ir.DataType.FLOAT:
        return False
    is_table = table.shape is not None and len(table.shape) == 2 and attribute(node, "axis", 0) == 0
    return is_table and ids.is_graph_input() and ids.name == SLOTS.input_ids.name
