"""Graph passes over positions: cos and sin become tables, and rotation moves into the attention node.

ONNX Runtime computes Cos and Sin in vectors with a scalar rest, so that an element's last bit depends on where it lies
in the tensor, hence on the batch. A table row depends on nothing but its position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from attendant.bundle.graph_io import SLOTS

from attendant_export.graph.nodes import Editor, attribute, constant_of, nodes_of, producer, same_shape
from attendant_export.session import open_session

_MOST_TABLE_BYTES = 256 * 2**20
_PACKED = 3
_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def tabulate_positions(editor: Editor, context_length: int) -> None:
    """Turns what the graph computes from position_ids alone into tables with a row per position.

    Rotary caches of the tokens at hand become caches of the whole context, indexed by position_ids; other Cos and Sin
    become a Gather from a table. Tables that would take more than 256 MB are left computed.
    """
    positions = next((value for value in editor.graph.inputs if value.name == SLOTS.position_ids.name), None)
    if positions is None:
        return
    tables = _Tables(editor, positions, context_length)
    for node in nodes_of(editor.graph, "RotaryEmbedding"):
        x, _, cos, sin = node.inputs[:4]
        found = [tables.of(cos, rank=2), tables.of(sin, rank=2)]
        if all(table is not None for table in found):
            _set_inputs(node, [x, positions, *found])
    editor.drop_unused()
    for node in nodes_of(editor.graph, "Cos", "Sin"):
        table = tables.of(node.outputs[0], rank=None)
        if table is not None:
            editor.replace(node, "Gather", [table, positions], axis=0)
    editor.drop_unused()


class _Tables:
    """Tables of values that depend on position_ids only, made by running the part of the graph that computes them."""

    def __init__(self, editor: Editor, positions: ir.Value, context_length: int) -> None:
        self._editor = editor
        self._positions = positions
        self._length = context_length
        self._made: dict[ir.Value, ir.Value | None] = {}

    def of(self, value: ir.Value | None, rank: int | None) -> ir.Value | None:
        """The table [context_length, ...] behind ``value``, or None if there is none.

        ``rank``: of ``value`` where it has one row per token; None where it is [batch, sequence, ...].
        """
        if value is None:
            return None
        if value not in self._made:
            array = self._rows(value, per_token=rank is not None)
            self._made[value] = None if array is None else self._editor.constant(array, f"{value.name}_table")
        return self._made[value]

    def _rows(self, value: ir.Value | None, per_token: bool) -> npt.NDArray[Any] | None:
        if value is None:
            return None
        width = int(value.shape[-1]) if value.shape is not None and isinstance(value.shape[-1], int) else 0
        if not width or width * self._length * 4 > _MOST_TABLE_BYTES:
            return None
        if not self._depends_on_positions_only(value):
            return None
        cast = producer(value, "Cast")
        if cast is not None and value.dtype in _HALVES:  # numpy rounds as the graph would
            wide = self._rows(cast.inputs[0], per_token)
            return None if wide is None else wide.astype(value.dtype.numpy())
        run = _evaluator(self._editor.graph, self._positions, value)
        every = np.arange(self._length, dtype=np.int64)
        table = run(every[None])
        table = table if per_token else table[0] if len(table) == 1 else None
        if table is None or len(table) != self._length:
            return None
        # Proof that a row depends on its own position: any other arrangement of positions gives the same rows.
        rows = 1 if self._positions.shape is not None and self._positions.shape[0] == 1 else 2
        sample = np.random.default_rng(0).choice(every, size=(rows, min(7, self._length)))
        again = run(sample).reshape(-1, *table.shape[1:])
        return table if np.allclose(again, table[sample.reshape(-1)], rtol=0, atol=1e-5) else None

    def _depends_on_positions_only(self, value: ir.Value) -> bool:
        front, seen = [value], {value}
        while front:
            current = front.pop()
            if current.is_graph_input() and current is not self._positions:
                return False
            node = current.producer()
            inputs = [i for i in node.inputs if i is not None] if node is not None else []
            front += [i for i in inputs if i not in seen]
            seen.update(inputs)
        return self._positions in seen


def _evaluator(graph: ir.Graph, positions: ir.Value, value: ir.Value):  # type: ignore[no-untyped-def]
    """A function of position_ids [batch, sequence] int64 that computes ``value`` with ONNX Runtime."""
    part = ir.convenience.extract(graph, [positions], [value])
    model = ir.Model(part, ir_version=10)
    part.opset_imports.update(graph.opset_imports)
    session = open_session(ir.to_proto(model).SerializeToString())
    return lambda ids: session.run(None, {positions.name: ids})[0]


@dataclass(frozen=True)
class _Place:
    """Where an attention node has its past keys, and the tables of its rotation."""

    past: int
    tables: int


_PLACES = {"GroupQueryAttention": _Place(past=3, tables=7), "PagedAttention": _Place(past=3, tables=8)}


def rotate_in_attention(editor: Editor) -> None:
    """The attention node rotates its queries and keys itself where both come from rotations over one pair of tables.

    It takes the positions from the lengths, as the tables are indexed by position_ids = valid length before + offset.
    """
    for node in nodes_of(editor.graph, *_PLACES):
        place = _PLACES[node.op_type]
        query, key = (_rotation(value) for value in node.inputs[:2])
        if query is None or key is None or not _agree(query, key, node.inputs[place.past]):
            continue
        inputs = list(node.inputs) + [None] * (place.tables + 2 - len(node.inputs))
        for index, rotation in enumerate((query, key)):
            flattened = producer(inputs[index], "Reshape")
            if flattened is not None:
                flattened.replace_input_with(0, rotation.inputs[0])
            else:
                inputs[index] = rotation.inputs[0]
        inputs[place.tables], inputs[place.tables + 1] = query.inputs[2], query.inputs[3]
        _set_inputs(node, inputs)
        node.attributes["do_rotary"] = ir.AttrInt64("do_rotary", 1)
        node.attributes["rotary_interleaved"] = ir.AttrInt64("rotary_interleaved", attribute(query, "interleaved", 0))
    editor.drop_unused()


def pack_attention_inputs(editor: Editor) -> None:
    """An attention node takes queries, keys and values in one tensor where they are split from one."""
    for node in nodes_of(editor.graph, *_PLACES):
        parts = list(node.inputs[:_PACKED])
        flattened = [producer(part, "Reshape") for part in parts]
        if all(reshape is not None and len(reshape.outputs[0].uses()) == 1 for reshape in flattened):
            parts = [reshape.inputs[0] for reshape in flattened if reshape is not None]
        split = producer(parts[0], "Split")
        if split is None or list(split.outputs) != parts or any(len(output.uses()) != 1 for output in split.outputs):
            continue
        packed = split.inputs[0]
        if packed is None or packed.shape is None or attribute(split, "axis", 0) not in (-1, len(packed.shape) - 1):
            continue
        if node.op_type == "PagedAttention":  # takes [num_tokens, width]
            width = editor.constant(np.array([-1, int(packed.shape[-1])], np.int64), "packed_width")
            packed = editor.before(node, "Reshape", [packed, width])
        _set_inputs(node, [packed, None, None, *node.inputs[_PACKED:]])
    editor.drop_unused()


def _rotation(value: ir.Value | None) -> ir.Node | None:
    """The rotation that makes ``value``, with nothing but a flattening in between."""
    flattened = producer(value, "Reshape")
    if flattened is not None and len(flattened.outputs[0].uses()) == 1:
        value = flattened.inputs[0]
    return producer(value, "RotaryEmbedding")


def _agree(query: ir.Node, key: ir.Node, past: ir.Value | None) -> bool:
    """Whether two rotations are the ones that the attention node can do."""
    if list(query.inputs[1:]) != list(key.inputs[1:]):
        return False
    if str(getattr(query.inputs[1], "name", "")) != SLOTS.position_ids.name:
        return False
    if attribute(query, "interleaved", 0) != attribute(key, "interleaved", 0) or attribute(query, "scale", 1.0) != 1.0:
        return False
    table = constant_of(query.inputs[2])
    if table is None or past is None or past.shape is None:
        return False
    # The kernel's rule: at most half a head, counted in blocks of 16 channels.
    if table.shape[1] > int(past.shape[3]) // 16 * 8:
        return False
    flat = [rotation.inputs[0] for rotation in (query, key)]
    whole = all(value is not None and value.shape is not None and len(value.shape) == 3 for value in flat)
    return whole and all(same_shape(node.inputs[0], node.outputs[0]) for node in (query, key))


def _set_inputs(node: ir.Node, inputs: list[ir.Value | None]) -> None:
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
