"""One sequence to generate, as the engine receives it, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from attendant.core.beams import BeamParams
from attendant.core.sampling import SamplingParams
from attendant.core.source import Source
from attendant.core.token_rules import TokenRule


class FinishReason(StrEnum):
    """Why a sequence ended without an error."""

    STOP = "stop"  # end-of-sequence token, stop token or stop string
    LENGTH = "length"  # max_tokens or the context length was reached
    CANCELLED = "cancelled"  # the caller asked to stop


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to generate.

    Attributes:
        id: unique among the requests an engine holds.
        prompt: token ids, at least one; of an encoder-decoder, those that its answer continues.
        params: already validated against the model.
        arrival_ns: ``time.monotonic_ns()`` when the server received the call, tokenising included.
        deadline_ns: ``time.monotonic_ns()`` value after which the answer is of no use, or None.
        source: what an encoder-decoder reads.
        cache_salt: what keys and values depend on besides tokens (an adapter, say), or who may see by its speed that
            they are there (a tenant). Requests of different salts never share what is cached of their prompts. With a
            source, sequences share nothing: :class:`attendant.engine.source_memory.SourceMemory` says why.
        rules: of what may follow, besides those that ``params`` ask for. They can be pickled, as all that crosses, and
            are forked before they are used.
        beams: beam search in place of sampling.
        hypotheses: with beam search, the ids that its results have as sequences of their own, the best first: as many
            as ``beams.num_return_sequences``, the first is ``id``.
        priority: of its call: the higher, the sooner.
        tenant: whom it is charged to.
        first_token_by_ns: when its first token is of no use any more, monotonic, or None.
        sure_tokens: tokens that its answer has for certain, unless it is given up.
        ends_hopeless: once these cannot come by the deadline, it ends.
        noted: somebody wants to know which runs computed its prompt.
        received: tokens that its answer has already, as if it had lost its memory after them.
    """

    id: str
    prompt: tuple[int, ...]
    params: SamplingParams
    arrival_ns: int
    deadline_ns: int | None = None
    source: Source | None = None
    beams: BeamParams | None = None
    hypotheses: tuple[str, ...] = ()
    cache_salt: bytes = b""
    rules: tuple[TokenRule, ...] = ()
    priority: int = 0
    tenant: str = ""
    first_token_by_ns: int | None = None
    sure_tokens: int = 1
    ends_hopeless: bool = False
    noted: bool = False
    received: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one sequence. ``cached_tokens`` of the prompt were taken from an earlier request's KV cache."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class PromptRun:
    """A step that computed a part of a prompt, or of a source: when it began and ended, monotonic.

    ``start`` is the first position of ``num_tokens``; -1 for a source's.
    """

    begin_ns: int
    end_ns: int
    start: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class StepTime:
    """What a part of an answer took, where several models made it, or a route led to one.

    Attributes:
        name: of the step, the member, or the route.
        model: that worked: its name, perhaps with a version.
        began_ns: from the call's arrival on. took_ns: of a step that ran for several inputs, all of them together.
    """

    name: str
    model: str
    began_ns: int
    took_ns: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one sequence went, in nanoseconds; 0 for a stage that was not reached.

    queue: arrival to first scheduled. prefill: first scheduled to first token. decode: first to last token.
    first_token: arrival to first token (time to first token). total: arrival to end. runs: those that computed its
    prompt, of a request that is noted, the first of them if they were very many. tokenize: of queue, making tokens of
    the prompt. steps: of a call on a route, what it led to. num_preemptions: how often it lost its memory to others.
    """

    queue_ns: int = 0
    prefill_ns: int = 0
    decode_ns: int = 0
    first_token_ns: int = 0
    total_ns: int = 0
    runs: tuple[PromptRun, ...] = ()
    tokenize_ns: int = 0
    steps: tuple[StepTime, ...] = ()
    num_preemptions: int = 0
