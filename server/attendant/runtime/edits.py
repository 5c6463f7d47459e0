"""Biases and penalties: what changes logits before anything is chosen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attendant.core.plan import SampleOrder

Row = npt.NDArray[np.float32]  # [vocab]

_LARGEST = float(np.finfo(np.float32).max)


def apply_edits(values: Row, order: SampleOrder) -> None:
    """Applies the biases and penalties of an order to ``values`` [vocab], in place."""
    params = order.params
    for token, bias in params.logit_bias.items():
        values[token] += bias
    if params.sequence_bias:
        for token, bias in (*params.sequence_bias.single.items(), *params.sequence_bias.completing(order.tokens)):
            values[token] += bias
    if params.encoder_repetition_penalty != 1:
        _penalise(values, np.array(params.source_tokens, np.int64), 1 / params.encoder_repetition_penalty)
    if params.repetition_penalty != 1:
        _penalise(values, order.tokens, params.repetition_penalty)
    if params.presence_penalty or params.frequency_penalty:
        tokens, counts = np.unique(order.tokens[order.num_prompt :], return_counts=True)
        values[tokens] -= params.presence_penalty + params.frequency_penalty * counts.astype(np.float32)
    if params.length_decay is not None:
        decay, beyond = params.length_decay, len(order.tokens) - order.num_prompt - params.length_decay.start
        if beyond > 0:
            ends = list(decay.eos)
            with np.errstate(all="ignore"):
                grown = values[ends] + np.abs(values[ends]) * np.float32(np.float64(decay.factor) ** beyond - 1)
            values[ends] = np.nan_to_num(grown, nan=-np.inf, posinf=_LARGEST, neginf=-np.inf)


def _penalise(values: Row, tokens: npt.NDArray[np.int64], penalty: float) -> None:
    """Divides the positive ones of the logits of ``tokens`` by ``penalty``, multiplies the negative ones, in place."""
    old = values[tokens]
    values[tokens] = np.where(old > 0, old / penalty, old * penalty)
