"""Writes the products of a graph whose weights a checkpoint has in blocks, in just these blocks.

A block with a minimum, value * scale + minimum, becomes (value - middle) * scale, which ONNX Runtime multiplies in
integers, and what is left, minimum + middle * scale, by which the sum of the block's channels is multiplied: exact, and
a 32nd of the work. Zero points that are no whole numbers would do the same, 50 times slower.

Weights that are given cannot be smoothed, so channels of activations that are far larger than their neighbours are kept
apart: they are multiplied in float32, and are zeros where blocks are rounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from attendant_export.graph.nodes import Editor, array_of, nodes_of
from attendant_export.progress import Step
from attendant_export.quantisation.activations import Feeds
from attendant_export.quantisation.blocks import BlockFormat, BlockWriter, pack
from attendant_export.quantisation.outliers import Ints, OutlierWriter, outliers_of
from attendant_export.quantisation.plan import Quantised, format_of
from attendant_export.quantisation.products import Group, is_token_embedding, product_groups
from attendant_export.quantisation.rotation import Rotator
from attendant_export.quantisation.scales import write_scales
from attendant_export.quantisation.smoothing import Remedy
from attendant_export.quantisation.stored import Floats, Stored, StoredBlocks
from attendant_export.quantisation.tables import find_tied, look_up_blocks

_NOTHING = Remedy(None, 1, 1.0)
_USUAL_BLOCK = 32


def write_as_stored(
    model: ir.Model, precision: Quantised, stored: Stored, samples: Sequence[Feeds], step: Step
) -> tuple[str, ...]:
    """Replaces what is found of ``stored`` in a graph, in place, where ``precision`` has as many bits for it.

    Args:
        samples: inputs of typical runs of the graph; without any, no channel is kept apart.

    Returns:
        What was done, a short sentence each.
    """
    groups = product_groups(model.graph)
    apart = outliers_of(model, groups, samples, _USUAL_BLOCK, step) if samples and groups else {}
    return _Writer(model, precision, stored, apart).run(groups, step)


class _Writer:
    def __init__(self, model: ir.Model, precision: Quantised, stored: Stored, apart: Mapping[ir.Value, Ints]) -> None:
        self._editor = Editor(model.graph)
        self._precision = precision
        self._stored = stored
        self._apart = apart
        self._blocks = BlockWriter(self._editor)
        self._rotator = Rotator(self._editor)
        self._outliers = OutlierWriter(self._editor)
        self._sums: dict[tuple[ir.Value, int], ir.Value] = {}
        self._joined: dict[tuple[ir.Value, ...], ir.Value] = {}
        self._done: Counter[str] = Counter()

    def run(self, groups: Sequence[Group], step: Step) -> tuple[str, ...]:
        tables = [node for node in nodes_of(self._editor.graph, "Gather") if is_token_embedding(node)]
        for number, group in enumerate(groups):
            step(f"blocks of the checkpoint: product {number + 1} of {len(groups)}")
            form = format_of(group, self._precision)
            keeps_all = self._precision == self._stored.precision
            most = form.bits if isinstance(form, BlockFormat) and not keeps_all else 8
            for node in group.nodes:
                weight = node.inputs[1]
                assert weight is not None
                found = self._stored.find(array_of(weight)) if weight.dtype == ir.DataType.FLOAT else None
                if found is None or found.bits > most:
                    continue
                tied = find_tied(tables, node) if group.role == "head" and _can_be_looked_up(found) else None
                self._write(node, found, tied)
                self._editor.drop_constant(weight)
                tables = [table for table in tables if table is not tied]
        self._editor.drop_unused()
        return tuple(sentence.format(count) for sentence, count in self._done.items())

    def _write(self, node: ir.Node, found: StoredBlocks, tied: ir.Node | None) -> None:
        x, weight = node.inputs
        assert x is not None
        assert weight is not None
        form = BlockFormat(8 if found.bits == 8 else 4, found.block, zeros=found.zeros is not None)
        self._done[
            f"{{}} products with the blocks of the checkpoint, {found.bits} bits in blocks of {found.block}"
        ] += 1
        channels, beside = self._apart.get(x), list[tuple[ir.Value, ir.Value]]()
        if channels is not None:
            rest, outliers = self._outliers.part(x, channels)
            node.replace_input_with(0, rest)
            rows = np.ascontiguousarray(array_of(weight)[channels])
            beside.append((outliers, self._editor.constant(rows, f"{weight.name}_outliers")))
            self._done["{} products with outlier channels apart, in float32"] += 1
            x = rest
        both = None
        if channels is not None or found.minimum is not None:
            node, both = self._product_of_two(node)
        blocks = pack(found.values, found.scales, found.zeros, form)
        values, scales = self._blocks.write(node, form, blocks)
        if both is not None:
            if found.minimum is not None:
                sums = self._sums_of(x, found.scales.shape[1], found.block)
                beside.append((sums, self._left(both, found, found.minimum, scales)))
            both.replace_input_with(1, self._product(both, beside))
        if tied is not None:
            look_up_blocks(self._editor, tied, values, scales, form, _NOTHING, self._rotator)
            self._done["{} table of embeddings shared with the head"] += 1

    def _product_of_two(self, node: ir.Node) -> tuple[ir.Node, ir.Node]:
        """A product, and the node that adds another one to it; until it is known what that is, the product itself."""
        output = node.outputs[0]
        product = self._editor.before(node, "MatMul", node.inputs)
        product.shape, product.type = output.shape, output.type
        added = self._editor.replace(node, "Add", [product, product])
        maker = product.producer()
        assert maker is not None
        return maker, added

    def _product(self, node: ir.Node, parts: Sequence[tuple[ir.Value, ir.Value]]) -> ir.Value:
        """The sum of the products of ``parts``, [..., k] and [k, N] each, as one product before ``node``."""
        rows, columns = zip(*parts, strict=True)
        if len(parts) == 1:
            return self._editor.before(node, "MatMul", [*rows, *columns])
        if rows not in self._joined:
            last = rows[-1].producer()
            assert last is not None
            self._joined[rows] = self._editor.after(last, "Concat", rows, axis=-1)
        together = self._editor.before(node, "Concat", columns, axis=0)  # a constant once the graph is opened
        return self._editor.before(node, "MatMul", [self._joined[rows], together])

    def _left(self, node: ir.Node, found: StoredBlocks, minimum: Floats, scales: ir.Value) -> ir.Value:
        """minimum + middle * scale, [blocks, N]: a constant once the graph is opened."""
        add = self._editor.before
        wide = write_scales(self._editor, minimum, "block_minimum")
        middles = found.middles if len(set(found.middles)) > 1 else found.middles[:1]
        middle = self._editor.constant(middles[:, None], "block_middle")
        rest = add(node, "Add", [wide, add(node, "Mul", [scales, middle])])
        return add(node, "Transpose", [rest], perm=[1, 0])

    def _sums_of(self, x: ir.Value, count: int, block: int) -> ir.Value:
        """The sum of each block of channels, [..., blocks]; one for all products that read ``x``."""
        key = (x, block)
        if key not in self._sums:
            assert x.shape is not None
            axes = len(x.shape) - 1
            maker = x.producer()
            assert maker is not None, "products read what nodes make"
            shape = self._editor.constant(np.array([*[0] * axes, count, block], np.int64), "block_shape")
            parts = self._editor.after(maker, "Reshape", [x, shape])
            last = self._editor.constant(np.array([axes + 1], np.int64), "block_axis")
            reshape = parts.producer()
            assert reshape is not None
            self._sums[key] = self._editor.after(reshape, "ReduceSum", [parts, last], keepdims=0)
        return self._sums[key]


def _can_be_looked_up(found: StoredBlocks) -> bool:
    """Whether rows of it can serve as embeddings, too."""
    return found.bits == 8 and found.minimum is None and found.zeros is None
