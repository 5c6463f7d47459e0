"""Which tokens may follow, as far as that depends on the tokens so far alone."""

from __future__ import annotations

import numpy as np

from attendant.core.plan import Tokens
from attendant.core.sampling import SamplingParams


def forbidden_next(
    params: SamplingParams, tokens: Tokens, num_prompt: int, stop_ids: frozenset[int]
) -> tuple[int, ...]:
    """Ids that may not follow ``tokens`` [n], of which ``num_prompt`` are the prompt's."""
    num_output = len(tokens) - num_prompt
    forbidden = params.suppressed
    if num_output < params.min_tokens:
        forbidden += tuple(stop_ids)
    if params.suppressed_first and num_output == len(params.opening):
        forbidden += params.suppressed_first
    if params.no_repeat_ngram_size:
        forbidden += ending_ngrams(tokens, params.no_repeat_ngram_size)
    if params.encoder_no_repeat_ngram_size:
        source = np.array(params.source_tokens, np.int64)
        forbidden += ngrams_begun(source, tokens, params.encoder_no_repeat_ngram_size)
    if params.banned:
        forbidden += tuple(token for token, _ in params.banned.completing(tokens))
    return forbidden


def allowed_next(params: SamplingParams, num_output: int, *, is_last: bool) -> tuple[int, ...]:
    """Ids of which one has to follow ``num_output`` generated tokens; none: any."""
    if num_output < len(params.opening):
        return params.opening[num_output]
    return () if params.forced_last is None or not is_last else (params.forced_last,)


def ending_ngrams(tokens: Tokens, size: int) -> tuple[int, ...]:
    """Ids that would complete an n-gram of ``size`` that ``tokens`` [n] hold already."""
    return ngrams_begun(tokens, tokens, size)


def ngrams_begun(source: Tokens, tokens: Tokens, size: int) -> tuple[int, ...]:
    """Ids that would complete an n-gram of ``size`` of ``source`` [m] after ``tokens`` [n]."""
    if len(source) < size or len(tokens) < size - 1:
        return ()
    grams = np.lib.stride_tricks.sliding_window_view(source, size)  # [m - size + 1, size]
    latest = tokens[len(tokens) - size + 1 :]
    same = (grams[:, :-1] == latest).all(axis=1)
    return tuple(np.unique(grams[same, -1]).tolist())
