"""The token rules that a request's parameters ask for. Each sees all it needs in the tokens so far."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attendant.core.plan import Tokens
from attendant.core.sampling import SamplingParams, TimestampRule
from attendant.core.token_rules import TokenMask, TokenRule

Says = Callable[[Tokens], TokenMask | None]


@dataclass(frozen=True, slots=True)
class OfTokens:
    """A :class:`~attendant.core.token_rules.TokenRule` without a state of its own: ``says`` gives its masks."""

    says: Says

    def mask(self, tokens: Tokens) -> TokenMask | None:
        return self.says(tokens)

    def accept(self, token: int) -> None:
        pass

    def fork(self) -> TokenRule:
        return self

    def is_complete(self) -> bool:
        return False


def rules_of(
    params: SamplingParams, num_prompt: int, max_tokens: int, stop_ids: frozenset[int]
) -> tuple[TokenRule, ...]:
    """The rules of a sequence with a prompt of ``num_prompt`` tokens and at most ``max_tokens`` in all.

    How an answer begins comes before how it ends, and both before what is forbidden.
    """
    says: list[Says] = []
    if params.opening:
        says.append(_opening(params.opening, num_prompt))
    if params.forced_last is not None:
        says.append(_last(params.forced_last, max_tokens))
    if params.suppressed:
        says.append(_suppressed(params.suppressed))
    if params.min_tokens:
        says.append(_until(num_prompt + params.min_tokens, tuple(stop_ids)))
    if params.suppressed_first:
        says.append(_at(num_prompt + len(params.opening), params.suppressed_first))
    if size := params.no_repeat_ngram_size:
        says.append(lambda tokens: _forbids(ngrams_begun(tokens, tokens, size)))
    if params.encoder_no_repeat_ngram_size:
        says.append(_ngrams_of(np.array(params.source_tokens, np.int64), params.encoder_no_repeat_ngram_size))
    if banned := params.banned:
        says.append(lambda tokens: _forbids(tuple([token for token, _ in banned.completing(tokens)])))
    if params.timestamps is not None:
        says.append(_timestamps(params.timestamps, num_prompt + len(params.opening)))
    return tuple([OfTokens(one) for one in says])


def ngrams_begun(text: Tokens, tokens: Tokens, size: int) -> tuple[int, ...]:
    """Ids that would complete an n-gram of ``size`` of ``text`` [m] after ``tokens`` [n]."""
    if len(text) < size or len(tokens) < size - 1:
        return ()
    grams = np.lib.stride_tricks.sliding_window_view(text, size)  # [m - size + 1, size]
    latest = tokens[len(tokens) - size + 1 :]
    same = (grams[:, :-1] == latest).all(axis=1)
    return tuple(np.unique(grams[same, -1]).tolist())


def timestamp_mask(rule: TimestampRule, answer: Tokens) -> TokenMask:
    """What may follow ``answer`` [n]; see :class:`~attendant.core.sampling.TimestampRule` for the rule."""
    first, spans = rule.first, []
    if len(answer) == 0:
        spans.append((0, first))
        if rule.max_initial is not None:
            spans.append((first + rule.max_initial + 1, sys.maxsize))
        return TokenMask((rule.no_timestamps,), tuple(spans))
    is_timestamp = answer >= first
    ends_with_one = bool(is_timestamp[-1])
    ends_with_pair = ends_with_one and (len(answer) < 2 or bool(is_timestamp[-2]))
    if ends_with_pair:
        spans.append((first, sys.maxsize))
    elif ends_with_one:
        spans.append((0, rule.eos))
    if is_timestamp.any():
        latest = int(answer[is_timestamp][-1])
        # the second of a pair may be the first again, a new one lies behind
        spans.append((first, latest + (not ends_with_one or ends_with_pair)))
    return TokenMask((rule.no_timestamps,), tuple(spans), preferred=first)


def _forbids(ids: tuple[int, ...]) -> TokenMask | None:
    return TokenMask(ids) if ids else None


def _opening(opening: tuple[tuple[int, ...], ...], num_prompt: int) -> Says:
    masks = [TokenMask(forced=ids) for ids in opening]
    return lambda tokens: masks[len(tokens) - num_prompt] if len(tokens) - num_prompt < len(masks) else None


def _last(token: int, max_tokens: int) -> Says:
    mask = TokenMask(forced=(token,))
    return lambda tokens: mask if len(tokens) + 1 == max_tokens else None


def _suppressed(ids: tuple[int, ...]) -> Says:
    mask = TokenMask(ids)
    return lambda tokens: mask


def _until(length: int, ids: tuple[int, ...]) -> Says:
    mask = _forbids(ids)
    return lambda tokens: mask if len(tokens) < length else None


def _at(length: int, ids: tuple[int, ...]) -> Says:
    mask = TokenMask(ids)
    return lambda tokens: mask if len(tokens) == length else None


def _ngrams_of(text: Tokens, size: int) -> Says:
    return lambda tokens: _forbids(ngrams_begun(text, tokens, size))


def _timestamps(rule: TimestampRule, begin: int) -> Says:
    """The rule, which begins with the answer's token number ``begin`` in the sequence."""
    return lambda tokens: timestamp_mask(rule, tokens[begin:])
