"""Finds the products that 4 bits hurt most, by trial: each alone in 4 bits, and how far the logits move.

In trained models they are few. Of SmolLM2's 30 last products of MLPs, six make four fifths of the damage, and one of
the 30 first products a third: those that make, or read, the few enormous channels of some tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
import torch
from attendant.bundle.graph_io import LOGITS, SLOTS, SlotInputs, by_name, grouped

from attendant_export.graph.nodes import array_of
from attendant_export.quantisation.activations import Array, Feeds, open_in_memory
from attendant_export.quantisation.blocks import BlockFormat
from attendant_export.quantisation.errors import rounded
from attendant_export.quantisation.products import Group

Floats = npt.NDArray[np.float32]

MOST_TRIALS = 300
TRIAL_TOKENS = 48
"""Of the first run. More would tell little more of which products matter."""


def is_prompt(feeds: Feeds) -> bool:
    """Whether they are of a run of a decoder, which gives logits of next tokens."""
    return {SLOTS.input_ids.name, SLOTS.position_ids.name, SLOTS.logits_index.name} <= set(feeds)


def shortened(feeds: Feeds, tokens: int = TRIAL_TOKENS) -> Feeds:
    """The run of a decoder over only the first ``tokens`` of its prompt."""
    whole: SlotInputs[Array] = grouped(SlotInputs, feeds)
    length = min(tokens, whole.input_ids.shape[1])
    cut: SlotInputs[Array] = SlotInputs(
        input_ids=whole.input_ids[:, :length],
        position_ids=whole.position_ids[:, :length],
        seqlens_k=np.array([length - 1], np.int32),
        total_sequence_length=np.array([length], np.int32),
        logits_index=np.arange(length),
    )
    return {**feeds, **by_name(cut)}


def damage(model: ir.Model, groups: Sequence[Group], feeds: Feeds, form: BlockFormat) -> list[float]:
    """The mean divergence of the next tokens, group by group, when its products alone have their weights in ``form``.

    Args:
        feeds: of one run of a decoder.

    Returns:
        KL(model || model with that group quantised), nats a token.
    """
    weights = {node.inputs[1]: None for group in groups for node in group.nodes if node.inputs[1] is not None}
    session, _others = open_in_memory(model, taken=list(weights))
    takes = {spec.name for spec in session.get_inputs()}
    binding = session.io_binding()
    for name, array in feeds.items():
        if name in takes:
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
    held = {str(value.name): ort.OrtValue.ortvalue_from_numpy(_plain(value)) for value in weights}
    for name, weight in held.items():
        binding.bind_ortvalue_input(name, weight)
    outputs = [spec.name for spec in session.get_outputs()]
    for name in outputs:
        binding.bind_output(name)

    def log_probabilities() -> torch.Tensor:
        session.run_with_iobinding(binding)
        return torch.from_numpy(binding.get_outputs()[outputs.index(LOGITS.name)].numpy()).log_softmax(-1)

    reference = log_probabilities()
    chances, found = reference.exp(), []
    for group in groups:
        names = [str(node.inputs[1].name) for node in group.nodes if node.inputs[1] is not None]
        for node, name in zip(group.nodes, names, strict=True):
            worse = rounded(torch.from_numpy(_plain(node.inputs[1])), form).numpy()
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(worse))
        found.append(float((chances * (reference - log_probabilities())).sum(-1).double().mean()))
        for name in names:
            binding.bind_ortvalue_input(name, held[name])
    return found


def worth_more_bits(groups: Sequence[Group], damages: Sequence[float], budget: int, extra_bits: float) -> set[Group]:
    """Those that gain most for their bytes, within ``budget`` bytes; ``extra_bits``: the price of each weight."""
    sizes = [group.num_weights * extra_bits / 8 for group in groups]
    order = sorted(range(len(groups)), key=lambda index: -damages[index] / sizes[index])
    chosen: set[Group] = set()
    for index in order:
        if sizes[index] <= budget and damages[index] > 0:
            chosen.add(groups[index])
            budget -= int(sizes[index])
    return chosen


def _plain(value: ir.Value | None) -> Floats:
    assert value is not None
    array: Floats = np.ascontiguousarray(array_of(value), np.float32)
    return array
