"""Quantises a graph: float32 weights become weights of 8 or 4 bits, in place.

Left as they are: weights with a side below 32 (they save next to nothing), and the router of a mixture of experts,
whose small errors would send a token to another expert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from attendant_export.graph import Editor, array_of, nodes_of
from attendant_export.quantisation.activations import SAMPLED_ROWS, Activations, Feeds, Flow
from attendant_export.quantisation.blocks import BlockFormat, BlockWriter, Blocks
from attendant_export.quantisation.errors import RowFormat, Trial
from attendant_export.quantisation.folding import apply_edits, scaled
from attendant_export.quantisation.plan import Quantised, format_of
from attendant_export.quantisation.products import Group, is_token_embedding, product_groups
from attendant_export.quantisation.rotation import (
    Rotator,
    block_of,
    hadamard,
    rotated_gram,
    rotated_weight,
)
from attendant_export.quantisation.rounding import round_together
from attendant_export.quantisation.rows import RowQuantiser
from attendant_export.quantisation.smoothing import Remedy, find_remedy
from attendant_export.quantisation.tables import find_tied, look_up_blocks, look_up_columns, quantise_table

_FLOW_BYTES = 160 * 2**20  # of sample rows and the like that are held at a time
_NOTHING = Remedy(None, 1, 1.0)


def quantise(model: ir.Model, precision: Quantised, samples: Sequence[Feeds] = ()) -> tuple[str, ...]:
    """Quantises every constant weight that the rules above allow, in place.

    Args:
        samples: inputs of runs of the graph that are typical of its use; without any, weights are rounded to the
            nearest values, and nothing is scaled or rotated.

    Returns:
        What was done, a short sentence each, for the manifest.
    """
    return _Quantiser(model, precision, samples).run()


class _Quantiser:
    def __init__(self, model: ir.Model, precision: Quantised, samples: Sequence[Feeds]) -> None:
        self._editor = Editor(model.graph)
        self._precision = precision
        self._groups = product_groups(model.graph)
        self._rows = RowQuantiser(self._editor) if precision == "int8" else None
        self._blocks = BlockWriter(self._editor)
        self._rotator = Rotator(self._editor)
        self._tables = [node for node in nodes_of(model.graph, "Gather") if is_token_embedding(node)]
        self._done: Counter[str] = Counter()
        self._activations = None
        if samples and self._groups:
            self._activations = Activations(model, samples, [group.value for group in self._groups])

    def run(self) -> tuple[str, ...]:
        tied = self._find_tied()
        for batch in self._batches():
            flows: dict[ir.Value, Flow] = {}
            if self._activations is not None:
                flows = self._activations.of([group.value for group in batch], gram=self._needs_gram(batch))
            for group in batch:
                self._quantise_group(group, flows.get(group.value), tied.get(group.nodes[0]))
        for node in self._tables:
            quantise_table(self._editor, node)
        self._done[f"{'{}'} tables of embeddings in 8 bits"] += len(self._tables)
        self._editor.drop_unused()
        return tuple(sentence.format(count) for sentence, count in self._done.items() if count)

    def _find_tied(self) -> dict[ir.Node, ir.Node]:
        """By head, the look-up in the same weights, which is then no longer a table of its own."""
        tied: dict[ir.Node, ir.Node] = {}
        for group in self._groups:
            if group.role != "head" or isinstance(form := format_of(group, self._precision), BlockFormat) and form.bits != 8:
                continue
            if found := find_tied(self._tables, group.nodes[0]):
                tied[group.nodes[0]] = found
                self._tables.remove(found)
        return tied

    def _batches(self) -> Iterator[list[Group]]:
        """The groups, in order, so many at a time as what is known of them may take memory."""
        batch: list[Group] = []
        held = 0
        for group in self._groups:
            size = 4 * group.channels * (SAMPLED_ROWS + group.channels * self._needs_gram([group]))
            if batch and held + size > _FLOW_BYTES:
                yield batch
                batch, held = [], 0
            batch.append(group)
            held += size
        if batch:
            yield batch

    def _needs_gram(self, groups: Sequence[Group]) -> bool:
        forms = [format_of(group, self._precision) for group in groups]
        return any(isinstance(form, BlockFormat) and form.bits == 4 and form.zeros for form in forms)

    def _quantise_group(self, group: Group, flow: Flow | None, tied: ir.Node | None) -> None:
        form = format_of(group, self._precision)
        remedy = _NOTHING if flow is None else self._remedy(group, flow)
        gram = flow.gram if flow is not None else None
        if remedy.scale is not None:
            self._scale(group, remedy)
            gram = None if gram is None else gram / np.outer(remedy.scale, remedy.scale)
        if remedy.rotation > 1:
            self._rotate(group, remedy.rotation)
            gram = None if gram is None else rotated_gram(gram, remedy.rotation)
        for node in group.nodes:
            self._quantise_node(node, form, gram, remedy, tied)
            tied = None

    def _remedy(self, group: Group, flow: Flow) -> Remedy:
        form = format_of(group, self._precision)
        weights = [array_of(node.inputs[1]) for node in group.nodes if node.inputs[1] is not None]
        readers = len(group.nodes)
        foldable = scaled(group.value, np.ones(group.channels, np.float32), readers=readers) is not None
        rotation = block_of(group.channels) if isinstance(form, RowFormat) else 1
        return find_remedy(
            Trial(flow.rows, weights, form), flow.peaks, foldable=foldable, rotation=rotation if rotation > 4 else 1
        )

    def _scale(self, group: Group, remedy: Remedy) -> None:
        assert remedy.scale is not None
        edits = scaled(group.value, 1 / remedy.scale, readers=len(group.nodes))
        assert edits is not None
        apply_edits(self._editor, edits, "smoothed")
        for node in group.nodes:
            self._set_weight(node, array_of(node.inputs[1]) * remedy.scale[:, None], "smoothed")
        self._done["{} inputs of products smoothed"] += 1

    def _rotate(self, group: Group, block: int) -> None:
        value = group.nodes[0].inputs[0]
        assert value is not None
        turned = self._rotator.rotate(group.nodes[0], value, block)
        for node in group.nodes:
            self._set_weight(node, rotated_weight(array_of(node.inputs[1]), block), "rotated")
            node.replace_input_with(0, turned)
        self._done["{} inputs of products rotated"] += 1

    def _set_weight(self, node: ir.Node, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]], mark: str) -> None:
        name = f"{node.inputs[1].name}_{mark}" if node.inputs[1] is not None else mark
        node.replace_input_with(1, self._editor.constant(array.astype(np.float32), name))

    def _quantise_node(
        self, node: ir.Node, form: RowFormat | BlockFormat, gram: np.ndarray | None, remedy: Remedy, tied: ir.Node | None
    ) -> None:
        if isinstance(form, RowFormat):
            assert self._rows is not None
            values, scales = self._rows.quantise(node)
            self._done["{} products in int8, with a scale for each row"] += 1
            if tied is not None:
                look_up_columns(self._editor, tied, values, scales, remedy, self._rotator)
        else:
            weight = node.inputs[1]
            assert weight is not None
            blocks: Blocks | None = None
            if gram is not None and form.bits == 4 and form.zeros:
                blocks = round_together(array_of(weight), gram, form)
            values, scales = self._blocks.write(node, form, blocks)
            self._done[f"{'{}'} products of {form.bits} bits in blocks of {form.block}"] += 1
            if tied is not None:
                look_up_blocks(self._editor, tied, values, scales, form, remedy, self._rotator)
        if tied is not None:
            self._done["{} table of embeddings shared with the head"] += 1
