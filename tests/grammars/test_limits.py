"""Hostile grammars are refused with a reason, or cost no more than their limits; none takes the process with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from attendant.core.errors import InvalidRequest
from attendant.core.grammar import Grammar
from attendant.grammars.compiled import STACK_BYTES, CompiledGrammar, GrammarLimits
from attendant.grammars.rule import GrammarRule
from attendant.tasks.job_threads import JobThreads

from tests.grammars.hostile import HARMLESS, REFUSED
from tests.grammars.test_rule import EOS, NOTHING, words

LIMITS = GrammarLimits(max_mask_s=30.0)  # time says nothing on a busy machine


@pytest.fixture(scope="module")
def in_thread() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    threads = JobThreads(1, "grammar", STACK_BYTES)
    yield lambda job: threads.submit(job).result(300)
    threads.close()


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_why(name: str, in_thread: Callable[[Callable[[], Any]], Any]) -> None:
    grammar = REFUSED[name]
    with pytest.raises(InvalidRequest) as caught:
        in_thread(lambda: CompiledGrammar(grammar, words(), LIMITS))
    assert caught.value.field == f"grammar.{grammar.kind}"
    assert 10 < len(caught.value.reason) < 900
    assert "non-verbose" not in caught.value.reason


@pytest.mark.parametrize("name", HARMLESS)
def test_it_is_served_as_far_as_it_goes(name: str, in_thread: Callable[[Callable[[], Any]], Any]) -> None:
    """Masks are found in a thread with a stack as all have it."""
    rule = GrammarRule(in_thread(lambda: CompiledGrammar(HARMLESS[name], words(), LIMITS)), (EOS,))
    rng = np.random.default_rng(0)
    for _ in range(30):
        mask = rule.mask(NOTHING)
        assert mask is not None
        if mask.failure is not None:
            assert isinstance(mask.failure, InvalidRequest)
            assert "too complex" in str(mask.failure)
            return
        assert mask.allowed is not None
        token = int(rng.choice(np.flatnonzero(np.unpackbits(mask.allowed, bitorder="little"))))
        if token == EOS:
            return
        rule.accept(token)


def test_first_masks_that_take_too_long_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="may come first took"):
        CompiledGrammar(Grammar("json_object"), words(), GrammarLimits(max_mask_s=1e-9))
