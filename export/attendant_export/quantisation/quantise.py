"""Quantises a graph: float32 weights become weights of 8 or 4 bits, in place.

Left as they are: weights with a side below 32 (they save next to nothing), and the router of a mixture of experts,
whose small errors would send a token to another expert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from attendant.bundle.graph_io import SLOT_SOURCES

from attendant_export.graph.nodes import Editor, array_of, nodes_of
from attendant_export.memory import give_back, in_batches, weight_bytes
from attendant_export.progress import Step, no_step
from attendant_export.quantisation.activations import SAMPLED_BYTES, SAMPLED_ROWS, Activations, Feeds
from attendant_export.quantisation.as_stored import write_as_stored
from attendant_export.quantisation.blocks import BlockFormat, Blocks, BlockWriter
from attendant_export.quantisation.errors import Format, RowFormat, Trial
from attendant_export.quantisation.folding import apply_edits, scaled
from attendant_export.quantisation.plan import EIGHT_BITS, FOUR_BITS, MORE_BITS, Quantised, format_of
from attendant_export.quantisation.products import Group, is_token_embedding, product_groups
from attendant_export.quantisation.rotation import Rotator, block_of, rotated_gram, rotated_weight
from attendant_export.quantisation.rounding import round_together
from attendant_export.quantisation.rows import RowQuantiser
from attendant_export.quantisation.sensitivity import MOST_TRIALS, damage, is_prompt, shortened, worth_more_bits
from attendant_export.quantisation.smoothing import ROTATION_GAIN, ROTATION_GAIN_OF_READERS, Remedy, find_remedy
from attendant_export.quantisation.stored import Stored
from attendant_export.quantisation.tables import find_tied, look_up_blocks, look_up_columns, quantise_table

Floats = npt.NDArray[np.float32]

_GRAM_BYTES = 128 * 2**20  # of correlations that are held at a time
_LEAST_ROTATION = 8
_NOTHING = Remedy(None, 1, 1.0)


def quantise(
    model: ir.Model,
    precision: Quantised,
    samples: Sequence[Feeds] = (),
    step: Step = no_step,
    stored: Stored | None = None,
) -> tuple[str, ...]:
    """Quantises every constant weight that the rules above allow, in place.

    Args:
        samples: inputs of runs of the graph that are typical of its use; without any, weights are rounded to the
            nearest values, and nothing is scaled or rotated.
        step: told which product is at work.
        stored: weights that are in blocks already: products that have them take them as they are, and of activations
            what is far larger than the rest in float32.

    Returns:
        What was done, a short sentence each, for the manifest.
    """
    done = write_as_stored(model, precision, stored, samples, step) if stored is not None else ()
    return (*done, *_Quantiser(model, precision, samples, step).run())


class _Quantiser:
    def __init__(self, model: ir.Model, precision: Quantised, samples: Sequence[Feeds], step: Step) -> None:
        self._step = step
        self._editor = Editor(model.graph)
        self._size = weight_bytes(model.graph)
        self._precision = precision
        self._groups = product_groups(model.graph)
        self._rows = RowQuantiser(self._editor) if precision == "int8" else None
        self._blocks = BlockWriter(self._editor)
        self._rotator = Rotator(self._editor)
        self._tables = [node for node in nodes_of(model.graph, "Gather") if is_token_embedding(node)]
        self._done: Counter[str] = Counter()
        only_continues = bool(samples) and is_prompt(samples[0]) and SLOT_SOURCES.source_seqlens.name not in samples[0]
        self._gain = ROTATION_GAIN if only_continues else ROTATION_GAIN_OF_READERS
        self._more_bits = self._find_more_bits(model, samples)
        self._activations = None
        if samples and self._groups:
            self._activations = Activations(model, samples, [group.value for group in self._groups], step)

    def run(self) -> tuple[str, ...]:
        tied = self._find_tied()
        remedies = self._remedies(self._activations) if self._activations is not None else {}
        # Before anything is quantised: a scale may be folded into another group's weights.
        for group, remedy in remedies.items():
            self._apply(group, remedy)
        if not any(map(self._rounds_together, self._groups)):
            self._activations = None  # and what it made of weights to run on
        give_back(self._size)
        done = 0
        for batch in self._batches(gram=True):
            grams = self._grams(batch)
            for group in batch:
                done += 1
                self._step(f"rounding of product {done} of {len(self._groups)}")
                remedy = remedies.get(group, _NOTHING)
                gram = grams.pop(group, None)
                gram = None if gram is None else _transformed(gram, remedy)
                form = self._format(group)
                for node in group.nodes:
                    self._quantise(node, form, gram, remedy, tied.pop(node, None))
            give_back(self._size)
        for node in self._tables:
            quantise_table(self._editor, node)
        self._done["{} tables of embeddings in 8 bits"] += len(self._tables)
        self._editor.drop_unused()
        return tuple(sentence.format(count) for sentence, count in self._done.items() if count)

    def _format(self, group: Group) -> Format:
        return format_of(group, self._precision, self._more_bits)

    def _find_more_bits(self, model: ir.Model, samples: Sequence[Feeds]) -> set[Group]:
        """What has 8 bits where most have 4: what is hurt most, or without a trial, what most often is."""
        share = MORE_BITS.get(self._precision)
        some = [group for group in self._groups if format_of(group, self._precision) is FOUR_BITS]
        if share is None or not some:
            return set()
        if not samples or not is_prompt(samples[0]) or len(some) > MOST_TRIALS:
            return {group for group in some if group.role == "inner" and self._precision == "int4"}
        self._step("trial of 4 bits, product by product")
        damages = damage(model, some, shortened(samples[0]), FOUR_BITS)
        size = sum(group.num_weights for group in some)
        budget = int(size * FOUR_BITS.bits_a_weight / 8 * share)
        chosen = worth_more_bits(some, damages, budget, EIGHT_BITS.bits_a_weight - FOUR_BITS.bits_a_weight)
        self._done["{} inputs of products found worth 8 bits"] += len(chosen)
        return chosen

    def _remedies(self, activations: Activations) -> dict[Group, Remedy]:
        found: dict[Group, Remedy] = {}
        for batch in self._batches(gram=False):
            flows = activations.of([group.value for group in batch])
            for group in batch:
                self._step(f"smoothing of product {len(found) + 1} of {len(self._groups)}")
                found[group] = self._remedy(group, flows[group.value].rows, flows[group.value].peaks)
            del flows
            give_back(self._size)
        return found

    def _find_tied(self) -> dict[ir.Node, ir.Node]:
        """By head, the look-up in the same weights, which is then no longer a table of its own."""
        tied: dict[ir.Node, ir.Node] = {}
        for group in self._groups:
            form = self._format(group)
            if group.role != "head" or (isinstance(form, BlockFormat) and form.bits != 8):
                continue
            if found := find_tied(self._tables, group.nodes[0]):
                tied[group.nodes[0]] = found
                self._tables.remove(found)
        return tied

    def _batches(self, *, gram: bool) -> Iterator[list[Group]]:
        """The groups, in order, so many at a time as what is known of them may take memory."""

        def size(group: Group) -> int:
            return 4 * group.channels * (group.channels * self._rounds_together(group) if gram else SAMPLED_ROWS)

        return in_batches(self._groups, size, _GRAM_BYTES if gram else SAMPLED_BYTES)

    def _rounds_together(self, group: Group) -> bool:
        form = self._format(group)
        return isinstance(form, BlockFormat) and form.bits == 4 and form.zeros

    def _grams(self, groups: Sequence[Group]) -> dict[Group, Floats]:
        wanted = [group for group in groups if self._rounds_together(group)]
        if self._activations is None or not wanted:
            return {}
        flows = self._activations.of([group.value for group in wanted], gram=True)
        return {group: gram for group in wanted if (gram := flows[group.value].gram) is not None}

    def _remedy(self, group: Group, rows: Floats, peaks: Floats) -> Remedy:
        if any(len(_weight_of(node).uses()) > 1 for node in group.nodes):
            return _NOTHING  # one weight of several layers stays one
        if not len(rows):
            return _NOTHING  # an expert that no token of the samples came to
        form = self._format(group)
        weights = [array_of(_weight_of(node)) for node in group.nodes]
        ones: Floats = np.ones(group.channels, np.float32)
        foldable = scaled(group.value, ones, readers=len(group.nodes)) is not None
        rotation = block_of(group.channels) if isinstance(form, RowFormat) else 1
        if rotation < _LEAST_ROTATION:
            rotation = 1
        bits = form.bits if isinstance(form, BlockFormat) else 8
        return find_remedy(
            Trial(rows, weights, form), peaks, foldable=foldable, rotation=rotation, bits=bits, gain=self._gain
        )

    def _apply(self, group: Group, remedy: Remedy) -> None:
        if remedy.scale is not None:
            edits = scaled(group.value, np.float32(1) / remedy.scale, readers=len(group.nodes))
            assert edits is not None
            apply_edits(self._editor, edits, "smoothed")
            factor = remedy.scale[:, None]
            for node in group.nodes:
                self._set_weight(node, lambda array: array * factor, "smoothed")
            self._done["{} inputs of products smoothed"] += 1
        if remedy.rotation > 1:
            turned = self._rotator.rotate(group.nodes[0], group.value, remedy.rotation)
            for node in group.nodes:
                self._set_weight(node, partial(rotated_weight, block=remedy.rotation), "rotated")
                node.replace_input_with(0, turned)
            self._done["{} inputs of products rotated"] += 1

    def _set_weight(self, node: ir.Node, compute: Callable[[Floats], Floats], mark: str) -> None:
        old = _weight_of(node)
        node.replace_input_with(1, self._editor.computed(old, compute, f"{old.name}_{mark}"))
        self._editor.drop_constant(old)

    def _quantise(
        self,
        node: ir.Node,
        form: RowFormat | BlockFormat,
        gram: Floats | None,
        remedy: Remedy,
        tied: ir.Node | None,
    ) -> None:
        weight = _weight_of(node)
        if isinstance(form, RowFormat):
            assert self._rows is not None
            values, scales = self._rows.quantise(node)
            self._done["{} products in int8, with a scale for each row"] += 1
            if tied is not None:
                look_up_columns(self._editor, tied, values, scales, remedy, self._rotator)
        else:
            blocks: Blocks | None = None if gram is None else round_together(array_of(weight), gram, form)
            values, scales = self._blocks.write(node, form, blocks)
            self._done[f"{'{}'} products of {form.bits} bits in blocks of {form.block}"] += 1
            if tied is not None:
                look_up_blocks(self._editor, tied, values, scales, form, remedy, self._rotator)
        self._editor.drop_constant(weight)
        if tied is not None:
            self._done["{} table of embeddings shared with the head"] += 1


def _weight_of(node: ir.Node) -> ir.Value:
    weight = node.inputs[1]
    assert weight is not None
    return weight


def _transformed(gram: Floats, remedy: Remedy) -> Floats:
    """The gram of rows after the remedy."""
    if remedy.scale is not None:
        gram = (gram / np.outer(remedy.scale, remedy.scale)).astype(np.float32)
    return rotated_gram(gram, remedy.rotation) if remedy.rotation > 1 else gram
