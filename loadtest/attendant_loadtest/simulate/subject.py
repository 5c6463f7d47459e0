"""What is simulated: an engine's limits and memory, and what its steps cost. Measured once, kept as JSON."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from attendant.core.pace import Pace
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import SMALLEST_BUDGET, AnyCuts, ChunkRule, FixedCuts, FreeCuts
from attendant.engine.facts import EngineFacts
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pool import KVPool
from attendant.engine.slot_pool import SlotPool

FORMAT = 1
"""Of the file: raised when an older one can be read no more."""


DRAWN = 1024
"""Values that are drawn at a time."""


class BadSubject(ValueError):
    """A file that is no subject, or a change that gives none; the message says which and what is allowed."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a scheduler may do; the words are those of :class:`attendant.engine.step_rules.StepRules`.

    Attributes:
        pages: the KV cache is in pages; otherwise in slots.
        max_queue: requests that may wait; one more is refused.
        prefix_cache: what was computed is found again.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    context_length: int
    kv_tokens: int
    page_tokens: int
    pages: bool
    prompts_apart: bool
    run_cost: int | None
    cut_every: int
    spare_seqs: int
    max_queue: int
    prefix_cache: bool = True

    @classmethod
    def of(cls, facts: EngineFacts, max_queue: int) -> Shape:
        """That of an engine."""
        rules = facts.rules
        return cls(
            max_num_seqs=rules.max_num_seqs,
            max_num_batched_tokens=rules.max_num_batched_tokens,
            context_length=facts.context_length,
            kv_tokens=rules.kv_tokens,
            page_tokens=rules.page_tokens,
            pages=not rules.recomputes_in_rows,
            prompts_apart=rules.prompts_apart,
            run_cost=rules.run_cost,
            cut_every=rules.cut_every,
            spare_seqs=rules.spare_seqs,
            max_queue=max_queue,
        )

    @property
    def rule(self) -> ChunkRule:
        """Where prompts are cut."""
        if self.pages:
            return AnyCuts()
        return FixedCuts(self.cut_every) if self.cut_every else FreeCuts()

    def limits(self) -> SchedulerLimits:
        """Those of the scheduler. No token ends an answer."""
        return SchedulerLimits(
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            context_length=self.context_length,
            rule=self.rule,
            prompts_apart=self.prompts_apart,
            run_cost=self.run_cost,
            spare_seqs=self.spare_seqs,
        )

    def pool(self) -> KVPool:
        """KV memory as the engine has it, empty."""
        rows, page = self.max_num_seqs + self.spare_seqs, self.page_tokens
        if self.pages:
            blocks = 1 + self.kv_tokens // page
            return BlockPool(rows, blocks, page, self.context_length, prefix_cache=self.prefix_cache)
        length = -(-self.context_length // page) * page
        return SlotPool(
            max(rows, 2), length, self.kv_tokens, page_tokens=page, rule=self.rule, prefix_cache=self.prefix_cache
        )

    def with_budget(self, tokens: int) -> Shape:
        """The same with so many tokens of a step at most (``engine.max_num_batched_tokens``).

        Raises:
            BadSubject: that leaves no room for prompts.
        """
        least = self.max_num_seqs + SMALLEST_BUDGET
        if tokens < least:
            raise BadSubject(
                f"a budget of {tokens} tokens; allowed with {self.max_num_seqs} sequences: {least} or more"
            )
        return replace(self, max_num_batched_tokens=tokens)


class Wire(NamedTuple):
    """How much later than the server a caller has its first token, counted from when the call was due.

    Attributes:
        most: calls that are open then, at most. They are what the wire is slow by: their tokens are on it, too.
        seconds: values that were seen, each as often as the others.
    """

    most: int
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Costs:
    """What steps and calls take.

    Attributes:
        pace: of steps, in seconds: with all that comes between two of them.
        spread: how many times as long as that single steps take: values that were seen, each as often as the others.
        wires: for more and more open calls. Whoever is beyond the last has the last.
    """

    pace: Pace
    spread: tuple[float, ...] = (1.0,)
    wires: tuple[Wire, ...] = (Wire(1, (0.0,)),)

    def told(self) -> str:
        """A line about it."""
        pace, wires = self.pace, [np.median(wire.seconds) * 1e3 for wire in self.wires]
        return (
            f"a step {pace.step * 1e3:.2f} ms, with prompts {pace.prompts * 1e3:.2f} ms more, a token of them "
            f"{pace.prompt_token * 1e6:.1f} us, a row {pace.row * 1e6:.1f} us; the wire {wires[0]:.1f} ms"
            + (f" to {wires[-1]:.1f} ms" if len(wires) > 1 else "")
        )


class Draw:
    """One of some values, by chance. The same seed draws the same."""

    def __init__(self, values: Sequence[float], rng: np.random.Generator) -> None:
        self._values = np.asarray(values, np.float64)
        self._rng = rng
        self._left: list[float] = []

    def next(self) -> float:
        """The next."""
        if len(self._values) == 1:
            return float(self._values[0])
        if not self._left:
            self._left = self._values[self._rng.integers(0, len(self._values), DRAWN)].tolist()
        return self._left.pop()


class DrawWire:
    """How late a caller hears of a first token."""

    def __init__(self, wires: Sequence[Wire], rng: np.random.Generator) -> None:
        self._most = [wire.most for wire in wires[:-1]]
        self._draws = [Draw(wire.seconds, rng) for wire in wires]

    def next(self, num_open: int) -> float:
        """With so many open calls, in seconds."""
        return self._draws[bisect_left(self._most, num_open)].next()


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine to simulate. ``model``: its name; ``measured``: on what and how, in words or figures."""

    model: str
    shape: Shape
    costs: Costs
    measured: dict[str, Any] = field(default_factory=dict)

    def slower(self, times: float) -> Subject:
        """The same on a machine that takes so many times as long, for everything."""
        wires = tuple(Wire(most, tuple(value * times for value in seconds)) for most, seconds in self.costs.wires)
        return replace(self, costs=replace(self.costs, pace=self.costs.pace.times(times), wires=wires))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Subject:
        """Read one that was saved.

        Raises:
            BadSubject: it is none, or of another format.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadSubject(f"{path}: {error}") from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise BadSubject(f"{path} is no calibration of format {FORMAT}; attendant simulate --calibrate makes one")
        try:
            costs = found["costs"]
            wires = tuple(Wire(most, tuple(seconds)) for most, seconds in costs["wires"])
            priced = Costs(Pace(**costs["pace"]), tuple(costs["spread"]), wires)
            return cls(found["model"], Shape(**found["shape"]), priced, found["measured"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadSubject(f"{path} is no calibration: {error!r}") from None
