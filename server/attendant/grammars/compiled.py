"""Grammars compiled for the words of a model, within limits: what cannot be used is refused here."""

from __future__ import annotations

import time
from dataclasses import dataclass

from llguidance import LLMatcher, LLParserLimits

from attendant.core.grammar import Grammar
from attendant.grammars.notation import check_size, notation, refuse, shortened
from attendant.grammars.words import GrammarWords


@dataclass(frozen=True, slots=True)
class GrammarLimits:
    """What one grammar may take.

    Attributes:
        max_bytes: of its text.
        max_mask_s: processor time to say once which tokens may follow, in seconds.
    """

    max_bytes: int = 131_072
    max_mask_s: float = 0.05


STACK_BYTES = 256 * 1024 * 1024
"""Stack of a thread that compiles: rules that lead one to another are followed by recursion, as many as a text has."""

MAX_LEXER_STATES = 20_000
"""Of an answer's words: at most some 2 kB each."""

MAX_SYMBOLS = 20_000
"""Of a grammar's rules; a schema has some ten for each property. Twice as many take more than twice the time."""


class CompiledGrammar:
    """A grammar and the words of a model that its texts are made of. Safe from any thread once made.

    To be made in a thread with a stack of ``STACK_BYTES``.

    Raises:
        InvalidRequest: it is too large, wrong, too complex, or has no text at all.
    """

    def __init__(self, grammar: Grammar, words: GrammarWords, limits: GrammarLimits) -> None:
        check_size(grammar, limits.max_bytes)
        self.grammar, self.words, self.limits = grammar, words, limits
        text = notation(grammar)
        bounds = LLParserLimits(max_lexer_states=MAX_LEXER_STATES, max_grammar_size=MAX_SYMBOLS, verbose_errors=False)
        self._begin = LLMatcher(words.ll, text, log_level=0, limits=bounds)
        self._check()

    def matcher(self) -> LLMatcher:
        """One at the begin of a text, for one answer."""
        return self._begin.deep_copy()

    def __reduce__(self) -> tuple[object, ...]:
        return CompiledGrammar, (self.grammar, self.words, self.limits)

    def _check(self) -> None:
        """A grammar without a text, and one whose first mask breaks a limit, show it at the first mask."""
        matcher = self._begin
        if matcher.is_error():
            refuse(self.grammar, matcher.get_error())
        begin_s = time.thread_time()
        bits = matcher.compute_bitmask()
        took_s = time.thread_time() - begin_s
        if matcher.is_error():
            refuse(
                self.grammar,
                f"no text begins as it says, or there is too much choice ({shortened(matcher.get_error())})",
            )
        if took_s > self.limits.max_mask_s:
            refuse(self.grammar, f"to say which tokens may come first took {took_s:.3f} s of {self.limits.max_mask_s}")
        if not any(bits):
            refuse(self.grammar, "the model's words make no text that it allows")
