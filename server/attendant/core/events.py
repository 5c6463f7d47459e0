"""What the engine tells the world: tokens, ends, failures, and the figures of a step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from attendant.core.errors import AttendantError
from attendant.core.pace import NO_PACE, Pace
from attendant.core.request import FinishReason, Timings, Usage


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Log-probabilities at one position, of the model's distribution before any bias, penalty or filter.

    ``top`` holds (token id, natural log-probability) of the most probable tokens, most probable first; ``asked`` the
    log-probabilities of the tokens that the request asked about, at its first token.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    asked: tuple[float, ...] = ()


class TokenEvent(NamedTuple):
    """One generated token of a request."""

    request_id: str
    token_id: int
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class FinishedEvent:
    """Terminal: the request ended without an error. ``stop_token_id`` is the token that ended it, if one did."""

    request_id: str
    reason: FinishReason
    usage: Usage
    timings: Timings
    stop_token_id: int | None = None


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """Terminal: the request ended with an error (deadline, failed step, shutdown, dead engine)."""

    request_id: str
    error: AttendantError
    usage: Usage
    timings: Timings


EngineEvent = TokenEvent | FinishedEvent | FailedEvent


class TenantService(NamedTuple):
    """What a tenant had of a step: tokens of prompts that were begun, less cached ones, and tokens generated."""

    tenant: str
    num_input: int
    num_output: int


@dataclass(frozen=True, slots=True)
class StepStats:
    """Figures of one engine step.

    Attributes:
        num_running: requests that hold KV memory after the step.
        num_waiting: requests in the queue after the step.
        num_fed_tokens: positions that memories beside the KV cache were fed in the step (of sources).
        num_prefill_tokens: prompt (or recomputed) tokens run in the step.
        num_decode_tokens: sequences that advanced by one token in the decode batch.
        num_preemptions: requests that lost their KV memory to others in the step.
        prefix_queries: prompt tokens looked up in the prefix cache in the step.
        prefix_hits: of those, tokens found.
        kv_used_tokens, kv_capacity_tokens: KV memory held by running requests, and its budget, in tokens.
        step_ns: duration of the whole step.
        run_ns: of that, time inside the model run and sampling.
        served: what tenants had of the step.
        evenness: Jain's index of what those tenants had who waited for the last ten seconds, whenever it is found anew.
    """

    num_running: int = 0
    num_waiting: int = 0
    num_prefill_tokens: int = 0
    num_decode_tokens: int = 0
    num_preemptions: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    kv_used_tokens: int = 0
    kv_capacity_tokens: int = 0
    step_ns: int = 0
    run_ns: int = 0
    num_fed_tokens: int = 0
    served: tuple[TenantService, ...] = ()
    evenness: float | None = None

    def with_state_of(self, engines: Collection[StepStats]) -> StepStats:
        """The figures of this step, and the state that ``engines`` are in after their latest steps, added up."""
        return replace(
            self,
            num_running=sum(stats.num_running for stats in engines),
            num_waiting=sum(stats.num_waiting for stats in engines),
            kv_used_tokens=sum(stats.kv_used_tokens for stats in engines),
            kv_capacity_tokens=sum(stats.kv_capacity_tokens for stats in engines),
        )


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step tells the world. ``at_ns``: when its tokens were there, monotonic. ``pace``: what the engine has
    learnt of the duration of its steps."""

    events: tuple[EngineEvent, ...]
    stats: StepStats
    at_ns: int
    pace: Pace = NO_PACE
