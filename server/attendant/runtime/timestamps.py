"""The rule of transcripts with timestamps, applied to logits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attendant.core.plan import Tokens
from attendant.core.sampling import TimestampRule


def apply_timestamp_rule(values: npt.NDArray[np.float32], rule: TimestampRule, answer: Tokens) -> None:
    """Takes the tokens that may not follow ``answer`` [n] out of ``values`` [vocab], in place.

    See :class:`~attendant.core.sampling.TimestampRule` for the rule.
    """
    values[rule.no_timestamps] = -np.inf
    if len(answer) == 0:
        values[: rule.first] = -np.inf
        if rule.max_initial is not None:
            values[rule.first + rule.max_initial + 1 :] = -np.inf
        return
    is_timestamp = answer >= rule.first
    ends_with_one = bool(is_timestamp[-1])
    ends_with_pair = ends_with_one and (len(answer) < 2 or bool(is_timestamp[-2]))
    if ends_with_pair:
        values[rule.first :] = -np.inf
    elif ends_with_one:
        values[: rule.eos] = -np.inf
    if is_timestamp.any():
        latest = int(answer[is_timestamp][-1])
        # the second of a pair may be the first again, a new one lies behind
        values[rule.first : latest + (not ends_with_one or ends_with_pair)] = -np.inf
    timestamps, text = values[rule.first :], values[: rule.first]
    peak = timestamps.max(initial=-np.inf)
    if peak > -np.inf:
        total = peak + np.log(np.exp(timestamps - peak).sum(dtype=np.float64))
        if total > text.max():
            text[:] = -np.inf
