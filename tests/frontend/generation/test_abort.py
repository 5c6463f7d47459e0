"""A call that somebody else ends: what it has is its answer, wherever it is, and nothing of it stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from attendant.core.context import Abort, CallContext
from attendant.core.generation import BeamCall, Delta, Finish, GenerationCall
from attendant.core.request import FinishReason
from attendant.frontend.generation.service import GenerationService

from tests.frontend.generation.helpers import LONG, num_active, wait_until, with_service
from tests.synthetic import make_synthetic_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("abort") / "b", eos_bias=-1e4, context_length=8192)


async def finished(
    service: GenerationService, call: GenerationCall, abort: Abort
) -> tuple[dict[int, int], list[Finish]]:
    """Numbers of tokens by index, and the ends."""
    tokens: dict[int, int] = {}
    ends: list[Finish] = []
    async for part in service.generate(call, replace(CallContext.new(), abort=abort)):
        if isinstance(part, Delta):
            tokens[part.index] = tokens.get(part.index, 0) + len(part.token_ids)
        else:
            ends.append(part)
    return tokens, ends


def test_a_call_that_was_ended_before_it_came_has_no_tokens(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        abort = Abort()
        abort.ask()
        for call in (LONG, replace(LONG, n=3), replace(LONG, temperature=0.0, n=2, beam_search=BeamCall(2))):
            tokens, ends = await finished(service, call, abort)
            assert not tokens
            assert [(end.index, end.reason, end.usage.completion_tokens) for end in ends] == [
                (index, FinishReason.CANCELLED, 0) for index in range(call.n)
            ]
            assert num_active(service) == 0

    with_service(bundle, test)


def test_a_beam_search_ends_with_all_that_it_would_return(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        abort = Abort()
        call = replace(LONG, temperature=0.0, n=2, beam_search=BeamCall(2))
        running = asyncio.ensure_future(finished(service, call, abort))
        await wait_until(lambda: num_active(service) == 2)
        abort.ask()
        _, ends = await running
        assert sorted(end.index for end in ends) == [0, 1]
        assert {end.reason for end in ends} == {FinishReason.CANCELLED}

    with_service(bundle, test)


def test_asking_again_or_late_is_nothing(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        abort = Abort()
        tokens, ends = await finished(service, replace(LONG, max_tokens=5), abort)
        abort.ask()
        abort.ask()
        assert tokens == {0: 5}
        assert [end.reason for end in ends] == [FinishReason.LENGTH]

    with_service(bundle, test)
