"""Makes of a served graph one that gives its attention: the same nodes over the same weights, with more outputs.

ONNX Runtime's attention nodes hand out their weights (GroupQueryAttention) or their scores (MultiHeadAttention, with
biases and masks added) by an output that the served graph leaves alone. The head goes, and what it was made of comes
out in place of logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from attendant.bundle import AttentionKind
from attendant.bundle.graph_io import HIDDEN, LOGITS, TOKEN_EMBEDDINGS, WEIGHTS, Port

from attendant_export.graph.nodes import Editor, attribute, constant_of, nodes_of, producer, same_size, shape_of

ATTENTION_NODES = ("GroupQueryAttention", "MultiHeadAttention")
_AFTER_SOFTMAX = 2  # what GroupQueryAttention's qk_output may be
_WEIGHTS_OUTPUT = 3  # of either node
_PER_TOKEN = 3  # dimensions of what there is for each token: batch, tokens, channels
_PRODUCTS = frozenset({"MatMul", "Gemm", "MatMulIntegerToFloat", "MatMulNBits", "DynamicQuantizeMatMul"})


@dataclass(frozen=True)
class Given:
    """What a graph gives. ``heads``: of each layer, by kind of attention."""

    heads: dict[AttentionKind, list[int]]


class NoAttention(ValueError):
    """A graph cannot give its attention; says why."""


def give_attention(model: ir.Model, *, source: bool = False) -> Given:
    """Changes ``model`` in place: weights of every attention node and hidden states come out, logits do not.

    Args:
        source: it is the encoder of an encoder-decoder, whose outputs stay.

    Raises:
        NoAttention: it has no such nodes, or layers that differ in their number of heads, or no head is found.
    """
    editor = Editor(model.graph)
    nodes = nodes_of(editor.graph, *ATTENTION_NODES)
    if not nodes:
        raise NoAttention("it has no attention node of ONNX Runtime's own that hands out weights")
    heads: dict[AttentionKind, list[int]] = {}
    if not source:
        _give_hidden(editor, nodes)
    outputs = []
    for node in nodes:
        kind = _kind(node, source=source)
        layers = heads.setdefault(kind, [])
        port = WEIGHTS[kind].at(len(layers))
        layers.append(attribute(node, "num_heads", 0))
        outputs.append(_weights(editor, node, port, layers[-1]))
    if any(len(set(layers)) > 1 for layers in heads.values()):
        raise NoAttention("its layers have different numbers of heads")
    for output in reversed(outputs):
        editor.graph.outputs.insert(0 if source else 1, output)
    editor.drop_unused()
    return Given(heads)


def _kind(node: ir.Node, *, source: bool) -> AttentionKind:
    if source:
        return "encoder"
    return "self" if attribute(node, "causal", 1) else "cross"


def _weights(editor: Editor, node: ir.Node, port: Port, num_heads: int) -> ir.Value:
    node.resize_outputs(_WEIGHTS_OUTPUT + 1)
    given = node.outputs[_WEIGHTS_OUTPUT]
    given.dtype = ir.DataType.FLOAT
    if node.op_type == "GroupQueryAttention":
        node.attributes["qk_output"] = ir.AttrInt64("qk_output", _AFTER_SOFTMAX)
    else:
        given.name = f"{port.name}_scores"
        for unused in node.outputs[1:_WEIGHTS_OUTPUT]:
            unused.name = ""
        given = editor.after(node, "Softmax", [given], axis=-1)
    given.name, given.dtype = port.name, ir.DataType.FLOAT
    given.shape = ir.Shape(shape_of(port, num_heads=num_heads))
    return given


def _give_hidden(editor: Editor, nodes: list[ir.Node]) -> None:
    """Puts hidden states, [tokens, channels], in the place of the graph's own output."""
    output = editor.graph.outputs[0]
    below = _below(nodes[-1])
    decodes = nodes[0].op_type == "GroupQueryAttention"
    if decodes and output.name != LOGITS.name:
        raise NoAttention(f"its first output is {output.name}, not {LOGITS.name}")
    hidden = _before_head(output, below) if decodes else _last_states(output, below, _fixed_query(nodes[-1]))
    width = hidden.shape[-1] if hidden.shape is not None else None
    if not isinstance(width, int):
        raise NoAttention(f"the width of its hidden states ({hidden.name}) is not known")
    maker = hidden.producer()
    assert maker is not None
    shape = editor.constant(np.array([-1, width], np.int64), "hidden_shape")
    flat = editor.after(maker, "Reshape", [hidden, shape])
    if hidden.dtype not in (None, ir.DataType.FLOAT):
        flat = editor.after(flat.producer(), "Cast", [flat], to=int(ir.DataType.FLOAT))
    flat.name, flat.dtype = HIDDEN.name, ir.DataType.FLOAT
    flat.shape = ir.Shape(shape_of(HIDDEN, hidden_size=width))
    editor.graph.outputs.remove(output)
    editor.graph.outputs.insert(0, flat)


def _below(node: ir.Node) -> set[ir.Value]:
    """All values that are made of the output of ``node``."""
    found, waiting = set[ir.Value](), [node.outputs[0]]
    while waiting:
        value = waiting.pop()
        if value not in found:
            found.add(value)
            waiting += [output for use in value.uses() for output in use.node.outputs]
    return found


def _up(value: ir.Value, below: set[ir.Value]) -> ir.Value:
    """What ``value`` is made of, of the values ``below`` the last attention."""
    node = value.producer()
    assert node is not None
    found = next((given for given in node.inputs if given is not None and given in below), None)
    if found is None:
        raise NoAttention("no head was found behind its last attention")
    return found


def _before_head(output: ir.Value, below: set[ir.Value]) -> ir.Value:
    """What the product that makes the ``output`` takes, before it is quantised for that."""
    value = output
    while (node := value.producer()) is not None and node.op_type not in _PRODUCTS:
        value = _up(value, below)
    value = _up(value, below)
    while _is_quantising(value):
        value = _up(value, below)
    return value


def _is_quantising(value: ir.Value) -> bool:
    """Whether a node that makes 8-bit rows of a product's input made ``value``."""
    node = value.producer()
    if node is None:
        return False
    if node.op_type in ("QuantizeLinear", "Cast"):
        return True
    if node.op_type == "Div":
        return producer(node.inputs[1], "ReduceMax") is not None
    weight = constant_of(node.inputs[1]) if node.op_type == "Mul" else None
    return weight is not None and str(node.inputs[1].name).startswith("without_outliers")


def _fixed_query(node: ir.Node) -> ir.Value | None:
    """The queries of an attention node that always has as many, as those of images are."""
    query = node.inputs[0]
    fixed = query is not None and query.shape is not None and isinstance(query.shape[1], int)
    return query if fixed else None


def _last_states(output: ir.Value, below: set[ir.Value], query: ir.Value | None) -> ir.Value:
    """The last of what an encoder has for each token: what its head picks, pools or multiplies."""
    if output.name == TOKEN_EMBEDDINGS.name:
        return output
    value = _before_head(output, below) if output.name == LOGITS.name else output
    while not _is_per_token(value, query):
        value = _up(value, below)
    return value


def _is_per_token(value: ir.Value, query: ir.Value | None) -> bool:
    """Whether it is [rows, tokens, channels], of those of ``query`` where these are fixed. A head that pools may have
    one place for each row, too."""
    if value.shape is None or len(value.shape) != _PER_TOKEN or value.shape[1] == 1:
        return False
    if query is None or query.shape is None:
        return True
    return all(map(same_size, value.shape[:2], query.shape[:2]))
