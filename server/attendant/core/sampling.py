"""How the next token of a request is chosen and when the request ends: the parameters and their limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from attendant.core.errors import InvalidRequest
from attendant.core.token_sequences import TokenSequences

MAX_LOGPROBS = 64
MAX_SEED = 2**64 - 1
_NONE = TokenSequences()


@dataclass(frozen=True, slots=True)
class TimestampRule:
    """Which tokens a transcript with timestamps may go on with (Radford et al. 2022, section 2.3 and 4.5).

    Timestamps come in pairs but for the first and the last, never go back, and one is chosen where together they are
    more probable than any other token.

    Attributes:
        first: the token of second 0; all after it are timestamps.
        no_timestamps: never occurs.
        eos: ends the answer.
        max_initial: how many timestamps after ``first`` the answer may begin with at most, or None.
    """

    first: int
    no_timestamps: int
    eos: int
    max_initial: int | None = None


@dataclass(frozen=True, slots=True)
class LengthDecay:
    """Makes an end more probable the longer the answer: after ``start`` generated tokens, the logit x of each of
    ``eos`` grows by abs(x) * (factor ** n - 1) for the n-th token after them. A factor below 1 makes it less
    probable."""

    start: int
    factor: float
    eos: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Parameters of one generated sequence. Construction does not validate: call :meth:`validate` at the door.

    They act in this order, which is that of Hugging Face's ``generate``: ``logit_bias``, ``sequence_bias``,
    ``encoder_repetition_penalty``, repetition, presence and frequency penalty, ``length_decay``, what may not occur,
    temperature, ``top_h``, ``top_k``, ``top_p`` (over what is left), ``min_p``, ``typical_p``, ``epsilon_cutoff``,
    ``eta_cutoff``.

    Attributes:
        max_tokens: most tokens to generate, >= 1.
        min_tokens: end-of-sequence and stop tokens cannot be chosen before this many tokens are generated.
        stop_token_ids: token ids that end the sequence, besides the model's own end-of-sequence ids.
        ignore_eos: the model's own end-of-sequence ids do not end the sequence.
        temperature: 0 is greedy; logits are divided by it otherwise.
        top_k: sample among the k most probable tokens; 0 is all.
        top_p: smallest set of most probable tokens whose probability reaches top_p (nucleus); 1 is all.
        min_p: drop tokens less probable than min_p times the most probable one; 0 is none.
        repetition_penalty: divides positive and multiplies negative logits of tokens already in the prompt or the
            output (Keskar et al. 2019); 1 is off.
        presence_penalty: subtracted once from the logit of each token already generated; 0 is off.
        frequency_penalty: subtracted per occurrence from the logit of each token already generated; 0 is off.
        typical_p: of the tokens that are left, those whose information is nearest to its mean, until their probability
            reaches typical_p (Meister et al. 2022); 1 is all.
        epsilon_cutoff: drop tokens less probable than this; eta_cutoff: than the smaller one of this and of its root
            times exp(-entropy) (Hewitt et al. 2022). 0 is none.
        top_h: the most probable tokens, of the first 100, whose share in their entropy is at most this; 0 is all.
        logit_bias: added to the logits of these token ids.
        sequence_bias: added to the logit of a sequence's last token where the others stand before it.
        seed: the same seed, prompt and parameters give the same tokens, whatever else is being served.
        logprobs: None for none; n >= 0 for the chosen token's log-probability and the n most probable tokens'.
        no_repeat_ngram_size: no sequence of so many tokens occurs twice in prompt and output (of an encoder-decoder, in
            the answer); 0 is off.
        encoder_no_repeat_ngram_size: no sequence of so many tokens of ``source_tokens`` occurs in the answer; 0 is off.
        encoder_repetition_penalty: makes tokens of ``source_tokens`` more probable, above 1, or less; 1 is off.
        source_tokens: what the encoder reads or, of a model without one, the prompt; where one of both needs it.
        banned: sequences of several tokens that never occur; their numbers mean nothing.
        length_decay: see :class:`LengthDecay`.
        renormalize: a beam's log-probabilities are made to sum up to 1 again after the rules.
        opening: the i-th generated token is the most probable of ``opening[i]``; one without choice costs a beam no
            probability.
        suppressed: tokens that are never chosen. suppressed_first: that do not follow the opening.
        forced_last: the token that is chosen last where ``max_tokens`` or the context length end the sequence.
        timestamps: the rule of a transcript with timestamps; it begins after the opening.
        asked_logprobs: with ``logprobs``, tokens whose log-probabilities are reported at the first generated token.
        edits: follows from the others: some logits are changed before the choice.
        filters: follows from the others: top_k, top_p, min_p and the like leave some tokens out.
        narrows: follows from the others: a filter is among them that weighs all tokens that are left.
        needs_all: follows from the others: the choice takes the logits of all tokens, not of the largest alone.
    """

    max_tokens: int
    min_tokens: int = 0
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int = 0
    logprobs: int | None = None
    no_repeat_ngram_size: int = 0
    opening: tuple[tuple[int, ...], ...] = ()
    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()
    forced_last: int | None = None
    timestamps: TimestampRule | None = None
    asked_logprobs: tuple[int, ...] = ()
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    top_h: float = 0.0
    sequence_bias: TokenSequences = _NONE
    banned: TokenSequences = _NONE
    encoder_no_repeat_ngram_size: int = 0
    encoder_repetition_penalty: float = 1.0
    source_tokens: tuple[int, ...] = ()
    length_decay: LengthDecay | None = None
    renormalize: bool = False
    edits: bool = field(init=False, compare=False, repr=False)
    filters: bool = field(init=False, compare=False, repr=False)
    narrows: bool = field(init=False, compare=False, repr=False)
    needs_all: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        penalties = self.repetition_penalty != 1 or self.presence_penalty or self.frequency_penalty
        rare = self.sequence_bias or self.encoder_repetition_penalty != 1 or self.length_decay is not None
        narrows = bool(self.typical_p < 1 or self.epsilon_cutoff or self.eta_cutoff)
        flags = {
            "edits": penalties or self.logit_bias or rare,
            "filters": self.top_k or self.top_p < 1 or self.min_p or self.top_h or narrows,
            "narrows": narrows,
            "needs_all": rare or narrows or self.top_h,
        }
        for name, flag in flags.items():
            object.__setattr__(self, name, bool(flag))

    def validate(self, vocab_size: int) -> None:
        """Check every field against its range.

        Raises:
            InvalidRequest: naming the field, its value and the allowed range.
        """
        _check_int("max_tokens", self.max_tokens, 1)
        _check_int("min_tokens", self.min_tokens, 0, self.max_tokens)
        _check_float("temperature", self.temperature, 0.0, 100.0)
        _check_int("top_k", self.top_k, 0)
        _check_float("top_p", self.top_p, 0.0, 1.0, low_open=True)
        _check_float("min_p", self.min_p, 0.0, 1.0)
        _check_float("repetition_penalty", self.repetition_penalty, 0.0, 100.0, low_open=True)
        _check_float("presence_penalty", self.presence_penalty, -100.0, 100.0)
        _check_float("frequency_penalty", self.frequency_penalty, -100.0, 100.0)
        _check_int("seed", self.seed, 0, MAX_SEED)
        _check_int("no_repeat_ngram_size", self.no_repeat_ngram_size, 0)
        _check_float("typical_p", self.typical_p, 0.0, 1.0, low_open=True)
        _check_float("epsilon_cutoff", self.epsilon_cutoff, 0.0, 1.0)
        _check_float("eta_cutoff", self.eta_cutoff, 0.0, 1.0)
        _check_float("top_h", self.top_h, 0.0, 1.0)
        _check_int("encoder_no_repeat_ngram_size", self.encoder_no_repeat_ngram_size, 0)
        _check_float("encoder_repetition_penalty", self.encoder_repetition_penalty, 0.0, 100.0, low_open=True)
        for tokens, bias in self.sequence_bias.entries:
            for token in tokens:
                _check_int("sequence_bias", token, 0, vocab_size - 1)
            _check_float("sequence_bias", bias, -1e9, 1e9)
        if self.length_decay is not None:
            _check_float("length_decay.factor", self.length_decay.factor, 0.0, 100.0, low_open=True)
        if self.logprobs is not None:
            _check_int("logprobs", self.logprobs, 0, min(MAX_LOGPROBS, vocab_size))
        for token in self.stop_token_ids:
            _check_int("stop_token_ids", token, 0, vocab_size - 1)
        for token, bias in self.logit_bias.items():
            _check_int("logit_bias", token, 0, vocab_size - 1)
            _check_float(f"logit_bias[{token}]", bias, -1e9, 1e9)


def _check_int(name: str, value: int, low: int, high: int | None = None) -> None:
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"{low} to {high}"
        raise InvalidRequest(name, f"is {value}; allowed: {allowed}")


def _check_float(name: str, value: float, low: float, high: float, *, low_open: bool = False) -> None:
    if not math.isfinite(value) or not low <= value <= high or (low_open and value == low):
        allowed = f"greater than {low:g}, at most {high:g}" if low_open else f"{low:g} to {high:g}"
        raise InvalidRequest(name, f"is {value:g}; allowed: {allowed}")
