"""Drives an engine without a server: opens it, submits requests, steps, keeps what comes out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attendant.bundle import read_manifest
from attendant.core.events import EngineEvent, FailedEvent, FinishedEvent, StepStats, TokenEvent, TokenLogprob
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings, GpuSettings


@dataclass(slots=True)
class Answer:
    """What became of a request. ``logprobs``: of each token, if asked for. ``prompt``: its tokens, by number."""

    prompt: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    done: bool = False


class Driver:
    """An engine and the answers of its requests.

    Attributes:
        notes: what loading said.
        answers: by request.
    """

    def __init__(self, bundle: Path, settings: EngineSettings, gpu: GpuSettings) -> None:
        self.notes: list[str] = []
        started = time.perf_counter()
        model = load_generator(
            bundle, read_manifest(bundle), settings, gpu=gpu, verify=False, progress=self.notes.append
        )
        self.engine: Engine = model.engines[0]
        self.engine.prepare()
        self.load_s = time.perf_counter() - started
        self.manifest = model.manifest
        self.answers: dict[str, Answer] = {}
        self._ids = itertools.count()

    def submit(self, prompt: Sequence[int], params: SamplingParams) -> str:
        """Submit a request; returns its id."""
        request_id = f"request-{next(self._ids)}"
        self.answers[request_id] = Answer(len(prompt))
        self.engine.submit(Request(request_id, tuple(map(int, prompt)), params, time.monotonic_ns()))
        return request_id

    def step(self) -> StepStats:
        """Advance every request by one step.

        Raises:
            AttendantError: a request failed.
        """
        report = self.engine.step()
        self.take(report.events)
        return report.stats

    def take(self, events: Iterable[EngineEvent]) -> None:
        """Keep what a step reports.

        Raises:
            AttendantError: a request failed.
        """
        for event in events:
            answer = self.answers[event.request_id]
            if isinstance(event, TokenEvent):
                answer.tokens.append(event.token_id)
                if event.logprob is not None:
                    answer.logprobs.append(event.logprob)
            elif isinstance(event, FinishedEvent):
                answer.done = True
            elif isinstance(event, FailedEvent):
                raise event.error.__cause__ or event.error

    def drain(self) -> list[StepStats]:
        """Step until nothing is left to do."""
        stats = []
        while self.engine.has_work:
            stats.append(self.step())
        return stats

    def cancel_all(self) -> None:
        """End every request that goes on, and forget all."""
        for request_id, answer in self.answers.items():
            if not answer.done:
                self.engine.cancel(request_id)
        self.drain()
        self.take(self.engine.step().events)
        self.answers.clear()

    def lengths(self) -> int:
        """Tokens of the prompts and answers of all requests that go on, together."""
        return sum(answer.prompt + len(answer.tokens) for answer in self.answers.values() if not answer.done)


def greedy(max_tokens: int, logprobs: int | None = None) -> SamplingParams:
    """The most probable token each time, exactly ``max_tokens`` of them."""
    return SamplingParams(max_tokens=max_tokens, ignore_eos=True, logprobs=logprobs)
