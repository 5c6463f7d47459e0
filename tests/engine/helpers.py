"""Short ways to make requests and to drive an engine by hand."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from attendant.core.events import EngineEvent, FailedEvent, TokenEvent
from attendant.core.plan import (
    Chunk,
    Continuations,
    Copy,
    CopyBlock,
    Move,
    SampleOrder,
    SetBlocks,
    StepOutput,
    StepPlan,
    Trim,
)
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine


def request(
    id_: str, prompt: SequenceOf[int], max_tokens: int = 8, deadline_ns: int | None = None, **params: Any
) -> Request:
    return Request(
        id_, tuple(prompt), SamplingParams(max_tokens=max_tokens, **params), time.monotonic_ns(), deadline_ns
    )


@dataclass
class Collected:
    """Events by request, with the rule that nothing follows a terminal event."""

    tokens: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, Any] = field(default_factory=dict)

    def take(self, events: SequenceOf[EngineEvent]) -> None:
        for event in events:
            assert event.request_id not in self.ends, f"an event after the end: {event}"
            if isinstance(event, TokenEvent):
                self.tokens[event.request_id].append(event.token_id)
            else:
                self.ends[event.request_id] = event

    def answer(self, id_: str) -> tuple[list[int], str, int | None]:
        """Tokens, reason, stop token."""
        end = self.ends[id_]
        if isinstance(end, FailedEvent):
            return self.tokens[id_], type(end.error).__name__, None
        return self.tokens[id_], end.reason.value, end.stop_token_id


def drain(engine: Engine, collected: Collected | None = None, max_steps: int = 10_000) -> Collected:
    """Step until nothing is left."""
    collected = collected or Collected()
    for _ in range(max_steps):
        collected.take(engine.step().events)
        if not engine.has_work:
            return collected
    raise AssertionError(f"work is left after {max_steps} steps")


class RecordingRunner:
    """A model in plain Python whose next token is a hash of every token it has *stored*, slot by slot.

    It keeps its own picture of the KV memory and follows moves, so a wrong slot, position, copy or order changes
    the answer. Trimmed positions are poisoned. Where answers must be exact, it looks how each token was computed.
    """

    def __init__(self, num_slots: int, max_length: int, vocab: int = 97, *, exact: bool = True) -> None:
        self.exact = exact
        self.memory = np.full((num_slots, max_length), -1, np.int64)
        self.in_chunk = np.zeros((num_slots, max_length), bool)  # computed in a chunk, not in a decode row
        self.vocab = vocab
        self.plans: list[StepPlan] = []
        self.fail_on: set[str] = set()

    def move(self, moves: SequenceOf[Move]) -> None:
        for move in moves:
            match move:
                case Copy(source, target, length, start):
                    self.memory[target, start:length] = self.memory[source, start:length]
                    self.in_chunk[target, start:length] = self.in_chunk[source, start:length]
                case Trim(slot, start):
                    self.memory[slot, start:] = -1

    def run(self, plan: StepPlan) -> StepOutput:
        self.plans.append(plan)
        rows = sorted([c.slot for c in plan.decodes] + [f.slot for f in plan.fillers])
        assert rows == list(range(len(rows))), "the decode rows are contiguous from 0"
        for filler in plan.fillers:
            self.memory[filler.slot, filler.position] = -2
        output = StepOutput({}, {}, {}, 0)
        for chunk in (*plan.decodes, *plan.prefills):
            where = slice(chunk.start, chunk.start + len(chunk.tokens))
            self.memory[chunk.slot, where] = chunk.tokens
            self.in_chunk[chunk.slot, where] = len(chunk.tokens) > 1
            if chunk.request_id in self.fail_on:
                raise RuntimeError("the model raised")
            if chunk.sample:
                seen = self.memory[chunk.slot, : chunk.start + len(chunk.tokens)]
                assert seen.tolist() == chunk.sample.tokens.tolist(), "the KV memory is not the sequence"
                how, num_prompt = self.in_chunk[chunk.slot, : len(seen)], chunk.sample.num_prompt
                if self.exact:
                    assert how[:num_prompt].all() or num_prompt == 1, "a prompt is computed in chunks of two and more"
                    assert not how[num_prompt:].any(), "generated tokens are computed in decode rows"
                answer(output, chunk, seen.tolist(), self.vocab)
        return output

    def next_token(self, tokens: list[int], forbidden: tuple[int, ...] = ()) -> int:
        return next_token(tokens, forbidden, self.vocab)


class BlockRunner:
    """The same model over pages: it reads and writes through its own block table, which moves tell it.

    What a row's blocks hold from the first position to compute on is poisoned before the run.
    """

    def __init__(self, num_slots: int, num_blocks: int, block_size: int, vocab: int = 97) -> None:
        self.memory = np.full((num_blocks, block_size), -1, np.int64)
        self.tables: list[list[int]] = [[] for _ in range(num_slots)]
        self.block_size = block_size
        self.vocab = vocab
        self.plans: list[StepPlan] = []
        self.moves: list[Move] = []
        self.fail_on: set[str] = set()

    def move(self, moves: SequenceOf[Move]) -> None:
        self.moves += moves
        for move in moves:
            match move:
                case SetBlocks(slot, first, blocks):
                    assert 0 not in blocks
                    assert first <= len(self.tables[slot])
                    self.tables[slot][first:] = blocks
                case CopyBlock(source, target):
                    assert source != target
                    assert 0 not in (source, target)
                    self.memory[target] = self.memory[source]
                case _:
                    raise AssertionError(f"no move of pages: {move}")

    def run(self, plan: StepPlan) -> StepOutput:
        self.plans.append(plan)
        chunks = (*plan.decodes, *plan.prefills)
        assert not plan.fillers
        assert all(len(chunk.tokens) == 1 for chunk in plan.decodes)
        assert len({chunk.slot for chunk in chunks}) == len(chunks)
        self._check_writes(chunks)
        for chunk in chunks:
            for i, block in enumerate(self.tables[chunk.slot]):
                self.memory[block, max(chunk.start - i * self.block_size, 0) :] = -1
        for chunk in chunks:
            for position, token in enumerate(chunk.tokens, chunk.start):
                self.memory[self.tables[chunk.slot][position // self.block_size], position % self.block_size] = token
        if any(chunk.request_id in self.fail_on for chunk in chunks):
            raise RuntimeError("the model raised")
        output = StepOutput({}, {}, {}, 0)
        for chunk in chunks:
            if chunk.sample:
                answer(output, chunk, self._seen(chunk), self.vocab)
        return output

    def _check_writes(self, chunks: SequenceOf[Chunk]) -> None:
        """What one row writes, or could, no other row of the step has."""
        for chunk in chunks:
            written = set(self.tables[chunk.slot][chunk.start // self.block_size :])
            for other in chunks:
                assert other is chunk or not written & set(self.tables[other.slot])

    def _seen(self, chunk: Chunk) -> list[int]:
        end = chunk.start + len(chunk.tokens)
        seen: list[int] = self.memory[self.tables[chunk.slot]].reshape(-1)[:end].tolist()
        assert seen == chunk.sample.tokens.tolist(), "the KV memory is not the sequence"
        return seen


def answer(output: StepOutput, chunk: Chunk, seen: list[int], vocab: int) -> None:
    """Add what the model says after ``seen``: a token, or of a beam its continuations."""
    assert chunk.sample is not None
    if number := chunk.sample.num_candidates:
        output.continuations[chunk.request_id] = continuations(seen, number, vocab)
    else:
        output.tokens[chunk.request_id] = next_token(seen, forbidden_by(chunk.sample), vocab)


def continuations(tokens: list[int], number: int, vocab: int = 97) -> Continuations:
    """The same model's most probable tokens: a hash again, some of them equally probable."""
    chance = random.Random(hash(tuple(tokens)))
    best = sorted((chance.randrange(1, 40) / 8, token) for token in chance.sample(range(vocab), number))
    return Continuations(tuple([token for _, token in best]), tuple([-loss for loss, _ in best]))


def forbidden_by(order: SampleOrder) -> tuple[int, ...]:
    mask = order.told().mask
    return () if mask is None else mask.forbidden


def next_token(tokens: list[int], forbidden: tuple[int, ...] = (), vocab: int = 97) -> int:
    """The model: a hash of all it sees."""
    token = hash(tuple(tokens)) % vocab
    while token in forbidden:
        token = (token + 1) % vocab
    return token


def expected(
    prompt: SequenceOf[int], max_tokens: int, eos: tuple[int, ...] = (), *, context: int
) -> tuple[list[int], str]:
    """The answer to a prompt that is served alone: tokens and reason."""
    tokens = list(prompt)
    output: list[int] = []
    while True:
        token = next_token(tokens)
        if token in eos:
            return output, "stop"
        tokens.append(token)
        output.append(token)
        if len(output) == max_tokens or len(tokens) == context:
            return output, "length"
