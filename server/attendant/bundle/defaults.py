"""The settings of a model that a request need not repeat."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from attendant.bundle.section import Section
from attendant.core.token_sequences import TokenSequences


class GenerationDefaults(Section):
    """Used where a request leaves a value out; from the model's generation_config.json. Temperature 0 is greedy.

    They mean what :class:`attendant.core.sampling.SamplingParams` says of them; ``num_beams`` above 1 is beam search,
    with ``length_penalty``, ``early_stopping`` and ``renormalize`` as :class:`attendant.core.beams.BeamParams` has
    them.

    Attributes:
        min_length, max_length: least and greatest number of tokens of prompt and answer together; ``min_tokens`` and
            ``max_tokens``, of the answer alone, go before them.
        stop_strings: that end an answer.
        bad_words: sequences of tokens that never occur, of one token or more.
        sequence_bias: sequences of tokens, and what is added to the logit of their last one.
        forced_first: what the answer to a prompt of one token begins with. forced_last: what one ends with that reaches
            its greatest length.
        length_decay: its start and factor.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    top_h: float = 0.0
    repetition_penalty: float = 1.0
    encoder_repetition_penalty: float = 1.0
    max_tokens: int | None = None
    min_tokens: int = 0
    max_length: int | None = None
    min_length: int = 0
    stop_strings: tuple[str, ...] = ()
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] = ()
    forced_first: int | None = None
    forced_last: int | None = None
    length_decay: tuple[int, float] | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: Literal["heuristic", "first", "never"] = "heuristic"
    renormalize: bool = False

    def replaced(self, **values: Any) -> GenerationDefaults:
        """The same with other ``values``, which are taken as they are."""
        own = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_construct(**(own | values))

    @cached_property
    def banned(self) -> TokenSequences:
        """Those of ``bad_words`` that have several tokens, ready to be looked up."""
        return TokenSequences((word, 0.0) for word in self.bad_words if len(word) > 1)

    @cached_property
    def suppressed(self) -> tuple[int, ...]:
        """``suppress_tokens`` and the ``bad_words`` of one token."""
        return tuple(sorted({*self.suppress_tokens, *(word[0] for word in self.bad_words if len(word) == 1)}))

    @cached_property
    def biases(self) -> TokenSequences:
        """``sequence_bias``, ready to be looked up."""
        return TokenSequences(self.sequence_bias)
