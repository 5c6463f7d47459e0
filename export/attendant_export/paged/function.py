"""The body of the function that stands in for one PagedAttention node: its meaning in standard ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.tape import Tape

from attendant_export.graph.nodes import attribute

DOMAIN = "attendant.reference"
OPSET = 21
INPUTS = (
    *("query", "key", "value", "key_cache", "value_cache", "cumulative_sequence_length", "past_seqlens", "block_table"),
    *("cos_cache", "sin_cache", "slot_mapping", "head_sink", "q_norm_weight", "k_norm_weight", "k_scale", "v_scale"),
    "attention_metadata",
)
_MASKED = -3e38
_END = 2**31 - 1


@dataclass(frozen=True)
class PagedAttentionSpec:
    """What tells one PagedAttention node from another: attributes, and which optional inputs it has.

    ``cache``: element type of the caches; an 8-bit one is quantised. ``query``: element type of inputs and output.
    """

    num_heads: int
    kv_num_heads: int
    query: ir.DataType
    cache: ir.DataType
    scale: float | None = None
    window: int | None = None
    softcap: float | None = None
    causal: bool = True
    rotary: bool = False
    interleaved: bool = False
    packed: bool = False
    slots: bool = False
    sink: bool = False

    @classmethod
    def of(cls, node: ir.Node) -> PagedAttentionSpec:
        """The spec of a node.

        Raises:
            NotImplementedError: an attribute or input that the function does not know.
        """
        known = {
            *("num_heads", "kv_num_heads", "scale", "local_window_size", "softcap", "is_causal", "do_rotary"),
            *("rotary_interleaved", "k_quant_type", "v_quant_type"),
        }
        if unknown := set(node.attributes) - known:
            raise NotImplementedError(f"PagedAttention with {', '.join(sorted(unknown))}")
        given = {name for name, value in zip(INPUTS, node.inputs, strict=False) if value is not None}
        if unknown := given & {"q_norm_weight", "k_norm_weight"}:
            raise NotImplementedError(f"PagedAttention with {', '.join(sorted(unknown))}")
        query, cache = node.inputs[0], node.inputs[3]
        cos = node.inputs[8] if len(node.inputs) > 8 else None
        assert cache is not None
        assert cache.dtype is not None
        known_dtype = next((v.dtype for v in (query, cos, node.outputs[0]) if v is not None and v.dtype), cache.dtype)
        window = int(attribute(node, "local_window_size", -1))
        return cls(
            num_heads=int(attribute(node, "num_heads", 0)),
            kv_num_heads=int(attribute(node, "kv_num_heads", 0)),
            query=known_dtype,
            cache=cache.dtype,
            scale=attribute(node, "scale", None),
            window=window if window > 0 else None,
            softcap=attribute(node, "softcap", 0.0) or None,
            causal=bool(attribute(node, "is_causal", 1)),
            rotary=bool(attribute(node, "do_rotary", 0)),
            interleaved=bool(attribute(node, "rotary_interleaved", 0)),
            packed="key" not in given,
            slots="slot_mapping" in given,
            sink="head_sink" in given,
        )

    @property
    def quantised(self) -> bool:
        """Whether the cache holds 8-bit steps."""
        return self.cache in (ir.DataType.INT8, ir.DataType.FLOAT8E4M3FN)


def paged_attention(spec: PagedAttentionSpec, name: str) -> ir.Function:
    """The function of one spec; inputs, outputs and meaning as ONNX Runtime's PagedAttention.

    Sequences may have any number of tokens, also none; tokens behind the last boundary are computed as the last
    sequence's and mean nothing.
    """
    body = _Body(spec)
    output, key_cache, value_cache = body.build()
    graph = ir.Graph(body.inputs, [output, key_cache, value_cache], nodes=body.nodes, opset_imports={"": OPSET})
    return ir.Function(DOMAIN, name, graph=graph, attributes={})


class _Body:
    """Writes the nodes of the function. Names of sizes: T tokens, B sequences, L positions of a block table row,
    H heads, K key heads, G = H / K, D head size, S the most tokens of a sequence."""

    def __init__(self, spec: PagedAttentionSpec) -> None:
        self._spec = spec
        self._tape = Tape()
        self.inputs = [ir.Value(name=name) for name in INPUTS]
        self._given = dict(zip(INPUTS, self.inputs, strict=True))

    @property
    def nodes(self) -> Sequence[ir.Node]:
        nodes: Sequence[ir.Node] = self._tape.nodes
        return nodes

    def build(self) -> tuple[ir.Value, ir.Value, ir.Value]:
        spec = self._spec
        self._read_lengths()
        query, key, value = self._heads()
        if spec.rotary:
            query, key = self._rotate(query), self._rotate(key)
        outputs, contents = [], []
        for name, new, scale in (("key_cache", key, "k_scale"), ("value_cache", value, "v_scale")):
            written = self._write(self._given[name], new, self._given[scale])
            contents.append(self._gather(written, self._given[scale]))
            shape = self._op("Shape", self._given[name])
            outputs.append(self._cast(self._op("Reshape", written, shape), spec.cache))
        attended = self._attend(query, contents[0], contents[1])
        return self._cast(attended, spec.query), outputs[0], outputs[1]

    def _read_lengths(self) -> None:
        """Sequence, offset within it and absolute position of every token."""
        given, op, c = self._given, self._op, self._const
        self._past = self._int(given["past_seqlens"])  # [B]
        bounds = self._int(given["cumulative_sequence_length"])
        self._starts = op("Slice", bounds, c([0]), c([-1]), c([0]))
        self._ends = op("Slice", bounds, c([1]), c([_END]), c([0]))
        self._table = op("Max", self._int(given["block_table"]), c(0))  # [B, blocks]; unused entries are read, masked
        self._block_size = self._size(given["key_cache"], 1)
        self._head_size = self._size(given["key_cache"], 3)
        self._num_slots = op("Mul", self._size(given["key_cache"], 0), self._block_size)
        token = self._range(self._size(given["query"], 0))  # [T]
        later = op("GreaterOrEqual", self._column(token), op("Unsqueeze", self._ends, c([0])))
        sequence = op("ReduceSum", self._cast(later, ir.DataType.INT64), c([1]), keepdims=0)
        last = op("Sub", self._size(given["past_seqlens"], 0), c([1]))
        self._sequence = op("Min", sequence, last)
        self._offset = op("Sub", token, op("Gather", self._starts, self._sequence))
        self._position = op("Add", self._offset, op("Gather", self._past, self._sequence))

    def _heads(self) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Queries [T, H, D], keys and values [T, K, D], float32."""
        spec, given = self._spec, self._given
        heads, kv_heads = spec.num_heads, spec.kv_num_heads
        if not spec.packed:
            parts = [given["query"], given["key"], given["value"]]
        else:
            per_head = self._op("Reshape", given["query"], self._const([0, heads + 2 * kv_heads, -1]))
            sizes = self._const([heads, kv_heads, kv_heads])
            parts = list(self._tape.op_multi_out("Split", [per_head, sizes], {"axis": 1}, num_outputs=3))
        counts = (heads, kv_heads, kv_heads)
        wide = [self._cast(part, ir.DataType.FLOAT) for part in parts]
        query, key, value = (
            self._op("Reshape", part, self._const([0, n, -1])) for part, n in zip(wide, counts, strict=True)
        )
        return query, key, value

    def _rotate(self, x: ir.Value) -> ir.Value:
        """Rotary embedding (Su et al. 2021) of the leading channels of [T, heads, D]."""
        op, c = self._op, self._const
        tables = [self._cast(self._given[name], ir.DataType.FLOAT) for name in ("cos_cache", "sin_cache")]
        cos, sin = (op("Unsqueeze", op("Gather", table, self._position), c([1])) for table in tables)  # [T, 1, R / 2]
        half = self._size(self._given["cos_cache"], 1)
        rotated = op("Mul", half, c([2]))
        inner = op("Slice", x, c([0]), rotated, c([2]))
        rest = op("Slice", x, rotated, c([_END]), c([2]))
        if self._spec.interleaved:
            first, second = (op("Slice", inner, c([i]), c([_END]), c([2]), c([2])) for i in (0, 1))
        else:
            first, second = op("Slice", inner, c([0]), half, c([2])), op("Slice", inner, half, c([_END]), c([2]))
        one = op("Sub", op("Mul", first, cos), op("Mul", second, sin))
        two = op("Add", op("Mul", second, cos), op("Mul", first, sin))
        if self._spec.interleaved:
            pairs = op("Concat", op("Unsqueeze", one, c([3])), op("Unsqueeze", two, c([3])), axis=3)
            return op("Concat", op("Reshape", pairs, op("Shape", inner)), rest, axis=2)
        return op("Concat", one, two, rest, axis=2)

    def _write(self, cache: ir.Value, new: ir.Value, scale: ir.Value) -> ir.Value:
        """The cache as [slots, K, D] float32 of its own steps, with ``new`` [T, K, D] written to its slots."""
        spec, op, c = self._spec, self._op, self._const
        if spec.quantised:
            new = op("Div", new, self._steps(scale))
        if spec.cache == ir.DataType.INT8:
            new = op("Clip", op("Round", new), c(-128.0, np.float32), c(127.0, np.float32))
        elif spec.cache == ir.DataType.FLOAT8E4M3FN:
            new = op("Clip", new, c(-448.0, np.float32), c(448.0, np.float32))
        new = self._cast(self._cast(new, spec.cache), ir.DataType.FLOAT)
        row = op("Concat", c([-1, spec.kv_num_heads]), self._head_size, axis=0)
        flat = op("Reshape", self._cast(cache, ir.DataType.FLOAT), row)
        spare = op("Expand", c(0.0, np.float32), op("Concat", c([1, spec.kv_num_heads]), self._head_size, axis=0))
        written = op("ScatterND", op("Concat", flat, spare, axis=0), self._column(self._slots()), new)
        return op("Slice", written, c([0]), self._num_slots, c([0]))

    def _slots(self) -> ir.Value:
        """Where each token is written, [T]; tokens that are not written go to a spare row behind the cache."""
        op, c = self._op, self._const
        if self._spec.slots:
            slot = self._int(self._given["slot_mapping"])
        else:
            where = op("Concat", self._column(self._sequence), self._column(self._block()), axis=1)
            offset = op("Mod", self._position, self._block_size)
            slot = op("Add", op("Mul", op("GatherND", self._table, where), self._block_size), offset)
        return op("Where", op("Less", slot, c([0])), self._num_slots, slot)

    def _block(self) -> ir.Value:
        return self._op("Div", self._position, self._block_size)

    def _gather(self, written: ir.Value, scale: ir.Value) -> ir.Value:
        """What every sequence can read, [B, L, K, D] float32."""
        op, c = self._op, self._const
        first = op("Unsqueeze", op("Mul", self._table, self._block_size), c([2]))
        slots = op("Add", first, self._range(self._block_size))  # [B, blocks, block_size]
        self._length = op("Mul", self._size(self._given["block_table"], 1), self._block_size)
        slots = op("Reshape", slots, op("Concat", c([0]), self._length, axis=0))
        found = op("Gather", written, slots)
        return op("Mul", found, self._steps(scale)) if self._spec.quantised else found

    def _steps(self, scale: ir.Value) -> ir.Value:
        """The scale of a quantised cache, [1] or [K, 1, D], as it spreads over [..., K, D]."""
        return self._op("Reshape", scale, self._op("Concat", self._const([-1]), self._scale_width(scale), axis=0))

    def _scale_width(self, scale: ir.Value) -> ir.Value:
        return self._op("Slice", self._op("Shape", scale), self._const([-1]), self._const([_END]), self._const([0]))

    def _attend(self, query: ir.Value, key: ir.Value, value: ir.Value) -> ir.Value:
        """Attention of queries [T, H, D] over [B, L, K, D]; returns [T, H * D]."""
        spec, op, c = self._spec, self._op, self._const
        groups = spec.num_heads // spec.kv_num_heads
        lengths = op("Sub", self._ends, self._starts)
        most = op("Max", op("ReduceMax", lengths, keepdims=1), c([1]))  # [1], S
        last = op("Sub", self._size(self._given["query"], 0), c([1]))
        index = op("Min", op("Add", self._column(self._starts), self._range(most)), last)  # [B, S]
        padded = op("Gather", query, index)  # [B, S, H, D]
        split = op("Reshape", padded, op("Concat", c([0]), most, c([spec.kv_num_heads, groups, -1]), axis=0))
        padded = op("Transpose", split, perm=[0, 2, 3, 1, 4])  # [B, K, G, S, D]
        keys = op("Unsqueeze", op("Transpose", key, perm=[0, 2, 3, 1]), c([2]))  # [B, K, 1, D, L]
        values = op("Unsqueeze", op("Transpose", value, perm=[0, 2, 1, 3]), c([2]))  # [B, K, 1, L, D]
        scores = op("Mul", op("MatMul", padded, keys), self._scale())
        if spec.softcap:
            cap = c(spec.softcap, np.float32)
            scores = op("Mul", op("Tanh", op("Div", scores, cap)), cap)
        allowed = op("Unsqueeze", self._mask(lengths, most), c([1, 2]))
        scores = op("Where", allowed, scores, c(_MASKED, np.float32))
        if spec.sink:
            sink = op("Reshape", self._cast(self._given["head_sink"], ir.DataType.FLOAT), c([1, -1, groups, 1, 1]))
            column = op("Slice", scores, c([0]), c([1]), c([4]))
            scores = op("Concat", scores, op("Expand", sink, op("Shape", column)), axis=4)
        weights = op("Softmax", scores, axis=-1)
        if spec.sink:
            weights = op("Slice", weights, c([0]), self._length, c([4]))
        mixed = op("Transpose", op("MatMul", weights, values), perm=[0, 3, 1, 2, 4])  # [B, S, K, G, D]
        rows = op("Reshape", mixed, op("Concat", c([-1]), op("Mul", self._head_size, c([spec.num_heads])), axis=0))
        return op("Gather", rows, op("Add", op("Mul", self._sequence, most), self._offset))

    def _mask(self, lengths: ir.Value, most: ir.Value) -> ir.Value:
        """Which positions a query may read, [B, S, L] bool."""
        spec, op, c = self._spec, self._op, self._const
        positions = op("Reshape", self._range(self._length), c([1, 1, -1]))
        queries = op("Unsqueeze", op("Add", self._column(self._past), self._range(most)), c([2]))  # [B, S, 1]
        total = op("Unsqueeze", op("Add", self._past, lengths), c([1, 2]))
        allowed = op("Less", positions, total)
        if spec.causal:
            allowed = op("And", allowed, op("LessOrEqual", positions, queries))
        if spec.window:
            allowed = op("And", allowed, op("Greater", positions, op("Sub", queries, c(spec.window))))
        return allowed

    def _scale(self) -> ir.Value:
        if self._spec.scale:
            return self._const(self._spec.scale, np.float32)
        size = self._cast(self._op("Squeeze", self._head_size), ir.DataType.FLOAT)
        return self._op("Reciprocal", self._op("Sqrt", size))

    # -- shorthands

    def _op(self, op_type: str, *inputs: ir.Value, **attributes: int | list[int]) -> ir.Value:
        return self._tape.op(op_type, list(inputs), attributes or None)

    def _const(self, value: object, dtype: npt.DTypeLike = np.int64) -> ir.Value:
        return self._tape.op("Constant", [], {"value": ir.Tensor(np.array(value, dtype))})

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        return self._op("Cast", value, to=int(dtype))

    def _int(self, value: ir.Value) -> ir.Value:
        return self._cast(value, ir.DataType.INT64)

    def _size(self, value: ir.Value, axis: int) -> ir.Value:
        """[1] int64."""
        return self._op("Shape", value, start=axis, end=axis + 1)

    def _range(self, size: ir.Value) -> ir.Value:
        return self._op("Range", self._const(0), self._op("Squeeze", size), self._const(1))

    def _column(self, value: ir.Value) -> ir.Value:
        return self._op("Unsqueeze", value, self._const([1]))
