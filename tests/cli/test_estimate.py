"""``attendant estimate``: what would become of a question, told without asking it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from attendant.cli import main
from attendant.core.context import CallContext
from attendant.core.estimate import Estimate
from attendant.core.generation import GenerationCall

from tests.rpc.fake import FINISH, FakeService, run, serving

LATE = Estimate(True, 1.5, 2.25, False, "model 'm' is busy", 0.75, 3, 400)
FREE = Estimate(True, 0.25, 0.5, True, "", 0.0, 0, 0)
NEW = Estimate(False, 0.0, 0.0, True, "", 0.0, 0, 0)


class Estimating(FakeService):
    """Says the same of every call."""

    def __init__(self, told: Estimate) -> None:
        super().__init__(FINISH)
        self.told = told

    async def estimate(self, call: GenerationCall, context: CallContext) -> Estimate:
        self.contexts.append(context)
        return self.told


def asked(service: Estimating, *words: str) -> int:
    code: list[int] = []

    async def test() -> None:
        async with serving(service) as (address, _):
            code.append(await asyncio.to_thread(main, ["estimate", "hello", *words, "--server", address]))

    run(test)
    return code[0]


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        (
            LATE,
            [
                "first token in 1.50 s, end in 2.25 s",
                "ahead: 3 requests, 400 tokens of their prompts",
                "it would be refused: model 'm' is busy; come again in 0.8 s",
            ],
        ),
        (
            FREE,
            [
                "first token in 0.25 s, end in 0.50 s",
                "ahead: 0 requests, 0 tokens of their prompts",
                "it would be let in",
            ],
        ),
        (
            NEW,
            [
                "how long it takes is not known yet",
                "ahead: 0 requests, 0 tokens of their prompts",
                "it would be let in",
            ],
        ),
    ],
)
def test_it_tells_when_and_whether(told: Estimate, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(Estimating(told)) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_a_deadline_and_a_target_go_along(capsys: pytest.CaptureFixture[str]) -> None:
    service = Estimating(LATE)
    assert asked(service, "--timeout", "300", "--first-token", "0.5", "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["known"], told["admitted"], told["end_s"], told["tokens_ahead"]) == (True, False, 2.25, 400)
    (context,) = service.contexts
    assert context.deadline_ns is not None
    assert context.first_token_by_ns is not None
    assert context.first_token_by_ns - context.arrival_ns == 500_000_000
    assert not service.calls, "nothing was begun"


def test_a_prompt_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "\udcff"]) == 2
    assert "not valid UTF-8" in capsys.readouterr().err
