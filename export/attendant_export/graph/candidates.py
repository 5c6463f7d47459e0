"""Appends the choice of candidates to a decoder graph, so that logits can stay on the device.

Out come the largest logits, two sums and one drawn token per row, which settle nearly every choice on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from attendant.bundle.graph_io import CANDIDATES, LOGITS, PICKING, SAMPLING, CandidateOutputs, Port, by_name, ports_of

from attendant_export.graph.nodes import Editor, value_of

MAX_CANDIDATES = 64
_DRAW_BLOCK = 256  # tokens whose weights are summed before the draw looks inside
# Near sqrt(vocabulary / candidates), where both levels of the search are equally short. No more: CUDA's Split hands up
# to 32 outputs to its kernel, and copies a table of more from host memory, which a CUDA graph cannot hold.
_PEAK_BLOCK = 32
_FLOOR = np.float32(-3e38)  # above the lowest finite number, with which CUDA's TopK fills up what it sorts


def add_candidates(model: ir.Model) -> None:
    """Adds inputs and outputs to a graph with the output ``logits`` [num_logits, V], in place; ``logits`` stays.

    They are :data:`attendant.bundle.graph_io.SAMPLING` and ``CANDIDATES``, with the smaller of 64 and V candidates.
    Of the inverse temperature, it has to be positive and finite. Which of equal logits come first, or come at all, is
    the execution provider's choice; none is below -3e38. ``log_sum`` is not finite where the largest logit is not, or
    one is NaN.

    To be called after every other pass: quantisation takes a product that feeds a TopK for a router. Every node has a
    CUDA kernel of ONNX Runtime that a CUDA graph can hold: GatherND copies its sizes from pageable memory and cannot be
    replayed, and ArgMax leaves open which of equal values it takes. None needs cuDNN.
    """
    graph = model.graph
    logits = next(value for value in graph.outputs if value.name == LOGITS.name)
    _append_candidates(graph, logits)


def candidates_model(vocab_size: int, dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Model:
    """The added part alone, over an input ``logits`` [num_logits, vocab_size] of float32, float16 or bfloat16."""
    logits = value_of(PICKING.logits, dtype, vocab_size=vocab_size)
    graph = ir.Graph([logits], [], nodes=[], opset_imports={"": 21}, name="candidates")
    _append_candidates(graph, logits)
    return ir.Model(graph, ir_version=10)


def _append_candidates(graph: ir.Graph, logits: ir.Value) -> None:
    assert logits.shape is not None
    vocab_size = logits.shape[1]
    assert isinstance(vocab_size, int), "the vocabulary's size is static"
    tail = _Tail(graph)
    inverse_temperature = tail.column(tail.add_input(SAMPLING.inverse_temperature))
    uniform = tail.column(tail.add_input(SAMPLING.uniform))
    values = logits if logits.dtype == ir.DataType.FLOAT else tail.op("Cast", [logits], to=int(ir.DataType.FLOAT))
    padding = -vocab_size % _DRAW_BLOCK
    padded_size = vocab_size + padding
    padded = tail.op("Pad", [values, tail.ints(0, 0, 0, padding), tail.float(-np.inf)]) if padding else values
    num_top = min(MAX_CANDIDATES, vocab_size)
    if padded_size > 2 * _PEAK_BLOCK * num_top:
        top_logits, top_ids = _top_of_blocks(tail, padded, padded_size, num_top)
    else:
        top_logits, top_ids = tail.top(values, num_top)
    peak = tail.op("Gather", [top_logits, tail.ints(0)], axis=1)  # [rows, 1]
    below = tail.op("Sub", [padded, peak])  # [rows, padded_size]
    sums = tail.block_sums(tail.op("Exp", [below]), padded_size)
    total = tail.op("ReduceSum", [sums, tail.ints(1)], keepdims=1)
    log_sum = tail.op("Add", [peak, tail.op("Log", [total])])
    weights = tail.op("Exp", [tail.op("Mul", [below, inverse_temperature])])
    drawn, scaled_total = _draw(tail, weights, padded_size, uniform)
    scaled_peak = tail.op("Mul", [peak, inverse_temperature])
    scaled_log_sum = tail.op("Add", [scaled_peak, tail.op("Log", [scaled_total])])
    drawn_logit = tail.op("GatherElements", [padded, drawn], axis=1)
    outputs: CandidateOutputs[ir.Value] = CandidateOutputs(
        top_logits=top_logits,
        top_ids=top_ids,
        log_sum=tail.row(log_sum),
        scaled_log_sum=tail.row(scaled_log_sum),
        drawn_logit=tail.row(drawn_logit),
        drawn=tail.row(drawn),
    )
    for port, value in zip(ports_of(CANDIDATES), by_name(outputs).values(), strict=True):
        tail.add_output(port, value, num_candidates=num_top)


def _top_of_blocks(tail: _Tail, padded: ir.Value, size: int, num_top: int) -> tuple[ir.Value, ir.Value]:
    """The ``num_top`` largest values and their ids: they all lie in as many blocks, those with the largest peaks."""
    _, best = tail.top(tail.peaks(padded, size), num_top)  # [rows, num_top, 1]
    ids = tail.op("Reshape", [tail.inside_blocks(best, _PEAK_BLOCK), tail.ints(0, num_top * _PEAK_BLOCK)])
    top_logits, places = tail.top(tail.op("GatherElements", [padded, ids], axis=1), num_top)
    return top_logits, tail.op("GatherElements", [ids, places], axis=1)


def _draw(tail: _Tail, weights: ir.Value, size: int, uniform: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The drawn token [rows, 1] int64 and the sum of all weights [rows, 1].

    Counting the running sums that do not exceed the target finds the first one that does. A count stops at the first
    sum that reaches the total, too: where rounding leaves no sum above the target, the last token with weight is drawn.
    """
    num_blocks = size // _DRAW_BLOCK
    running = tail.op("CumSum", [tail.block_sums(weights, size), tail.constant(np.array(1, np.int64))])
    total = tail.op("Gather", [running, tail.ints(num_blocks - 1)], axis=1)
    target = tail.op("Mul", [uniform, total])
    block, passed = tail.count_passed(running, target, total)
    before = tail.largest(tail.op("Mul", [running, passed]))
    ids = tail.inside_blocks(block, _DRAW_BLOCK)  # [rows, _DRAW_BLOCK]
    inside = tail.op(
        "CumSum", [tail.op("GatherElements", [weights, ids], axis=1), tail.constant(np.array(1, np.int64))]
    )
    inside_total = tail.op("Gather", [inside, tail.ints(_DRAW_BLOCK - 1)], axis=1)
    place, _ = tail.count_passed(inside, tail.op("Sub", [target, before]), inside_total)
    return tail.op("GatherElements", [ids, place], axis=1), total


class _Tail:
    """Appends nodes to the end of a graph; equal constants are made once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._editor = Editor(graph)
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._count = 0

    def constant(self, array: Any) -> ir.Value:
        array = np.asarray(array)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._editor.constant(array, "candidates_constant")
        return self._constants[key]

    def ints(self, *values: int) -> ir.Value:
        """Axes, sizes or indices: [len(values)] int64."""
        return self.constant(np.array(values, np.int64))

    def float(self, value: float | np.floating[Any]) -> ir.Value:
        return self.constant(np.array(value, np.float32))

    def op(self, op_type: str, inputs: Sequence[ir.Value], **attributes: Any) -> ir.Value:
        return self._add(op_type, inputs, 1, attributes)[0]

    def top(self, values: ir.Value, num_top: int) -> tuple[ir.Value, ir.Value]:
        """The largest values along axis 1 and their indices, largest first.

        NaN and -inf become ``_FLOOR``: CUDA's TopK may rank its fillers above them, and these have no valid index.
        """
        usable = self.op("GreaterOrEqual", [values, self.float(_FLOOR)])  # false for NaN
        values = self.op("Where", [usable, values, self.float(_FLOOR)])
        largest, indices = self._add("TopK", [values, self.ints(num_top)], 2, {"axis": 1})
        return largest, indices

    def peaks(self, values: ir.Value, size: int) -> ir.Value:
        """The largest value of each block of a row, of NaN anything: [rows, size] -> [rows, size / _PEAK_BLOCK, 1].

        TopK of each block took 522 us on an H200, for 64 rows of 128,256. MaxPool and ReduceMax need cuDNN.
        """
        blocks = self.op("Reshape", [values, self.ints(0, size // _PEAK_BLOCK, _PEAK_BLOCK)])
        return self.op("Max", self._add("Split", [blocks], _PEAK_BLOCK, {"axis": 2, "num_outputs": _PEAK_BLOCK}))

    def largest(self, values: ir.Value) -> ir.Value:
        """The largest value of each row, of NaN anything: [rows, n] -> [rows, 1]."""
        return self._add("TopK", [values, self.ints(1)], 2, {"axis": 1})[0]

    def column(self, value: ir.Value) -> ir.Value:
        """[rows] -> [rows, 1]"""
        return self.op("Unsqueeze", [value, self.ints(1)])

    def block_sums(self, weights: ir.Value, size: int) -> ir.Value:
        """[rows, size] -> [rows, size / _DRAW_BLOCK]"""
        blocks = self.op("Reshape", [weights, self.ints(0, size // _DRAW_BLOCK, _DRAW_BLOCK)])
        return self.op("ReduceSum", [blocks, self.ints(2)], keepdims=0)

    def inside_blocks(self, blocks: ir.Value, block_size: int) -> ir.Value:
        """The ids inside blocks: [..., 1] int64 -> [..., block_size] int64"""
        starts = self.op("Mul", [blocks, self.constant(np.array(block_size, np.int64))])
        return self.op("Add", [starts, self.constant(np.arange(block_size, dtype=np.int64))])

    def count_passed(self, running: ir.Value, target: ir.Value, total: ir.Value) -> tuple[ir.Value, ir.Value]:
        """How many running sums neither exceed the target nor reach the total: [rows, 1] int64; and which: [rows, n]
        float32 of 0 and 1."""
        passed = self.op("And", [self.op("LessOrEqual", [running, target]), self.op("Less", [running, total])])
        passed = self.op("Cast", [passed], to=int(ir.DataType.FLOAT))
        count = self.op("ReduceSum", [passed, self.ints(1)], keepdims=1)
        return self.op("Cast", [count], to=int(ir.DataType.INT64)), passed

    def row(self, column: ir.Value) -> ir.Value:
        """[rows, 1] -> [rows]"""
        return self.op("Squeeze", [column, self.ints(1)])

    def add_input(self, port: Port) -> ir.Value:
        value = value_of(port)
        self._graph.inputs.append(value)
        return value

    def add_output(self, port: Port, value: ir.Value, **sizes: int) -> None:
        declared = value_of(port, **sizes)
        value.name, value.type, value.shape = declared.name, declared.type, declared.shape
        self._graph.outputs.append(value)

    def _add(
        self, op_type: str, inputs: Sequence[ir.Value], num_outputs: int, attributes: dict[str, Any]
    ) -> Sequence[ir.Value]:
        self._count += 1
        name = f"candidates_{self._count}_{op_type.lower()}"
        node = ir.node(op_type, inputs, attributes or None, num_outputs=num_outputs, name=name)
        for index, output in enumerate(node.outputs):
            output.name = f"{name}_{index}"
        self._graph.append(node)
        outputs: Sequence[ir.Value] = node.outputs
        return outputs
