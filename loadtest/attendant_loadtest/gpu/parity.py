"""Check 1: the engine's log-probabilities against torch's, while prefill and decode mix and blocks are shared."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendant.settings import EngineSettings, GpuSettings

from attendant_loadtest.gpu.driver import Driver, greedy
from attendant_loadtest.gpu.errors import Errors
from attendant_loadtest.gpu.kit import Reference, SmallModel, load_references
from attendant_loadtest.gpu.shapes import Sizes

FACTOR = 4.0
"""An engine may be as many times as far off as torch is in the same type, and ``LEAST`` of the logits' spread anyhow.

Both round every product and sum, in different orders. A wrong mask, block or rotation is off by about the spread.
"""

LEAST = 0.002

_STAGGER = 2  # steps between two arrivals


def check_parity(kit: Path, model: SmallModel, sizes: Sizes) -> dict[str, Any]:
    """Compare every position of every reference; returns the figures of the results file."""
    driver = Driver(kit / model.bundle, *_settings(sizes))
    comparison = _Comparison(driver, load_references(kit / model.references))
    comparison.run()
    errors, allowed = comparison.errors, comparison.allowed(model)
    error = errors.p90 if model.routed else errors.largest
    return {
        "architecture": model.name,
        "dtype": model.dtype,
        "ok": error <= allowed and comparison.mixed_steps > 0 and comparison.shared_tokens > 0,
        "positions": errors.positions,
        "max_abs_error": errors.largest,
        "p90_abs_error": errors.p90,
        "spread": errors.spread,
        "max_error_of_spread": errors.largest / errors.spread,
        "torch_max_abs_error": model.own_error,
        "torch_p90_abs_error": model.own_error_p90,
        "allowed": allowed,
        "judged_by": "p90_abs_error" if model.routed else "max_abs_error",
        "other_tokens": comparison.other_tokens,
        "largest_margin_of_other_tokens": comparison.largest_margin,
        "mixed_steps": comparison.mixed_steps,
        "shared_prompt_tokens": comparison.shared_tokens,
        "load_s": driver.load_s,
        "notes": driver.notes,
    }


def _settings(sizes: Sizes) -> tuple[EngineSettings, GpuSettings]:
    """A token budget that cuts long prompts into chunks, and memory for a few contexts."""
    engine = EngineSettings(
        max_num_seqs=sizes.parity_seqs,
        max_num_batched_tokens=sizes.parity_seqs + 92,
        max_context_length=sizes.context,
        threads=sizes.threads,
        spinning=False,
    )
    return engine, GpuSettings(num_blocks=1 + 4 * sizes.parity_seqs * sizes.context // 256)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request: the prompt of ``reference`` and its first ``known`` tokens."""

    reference: Reference
    known: int


class _Comparison:
    """Asks for every position of every reference.

    Where the engine takes another token than torch did, the rest is asked for again, after torch's token.
    """

    def __init__(self, driver: Driver, references: Sequence[Reference]) -> None:
        self.errors = Errors()
        self.other_tokens = self.mixed_steps = self.shared_tokens = 0
        self.largest_margin = 0.0
        self._driver = driver
        self._waiting = [_Asked(reference, 0) for reference in references]
        self._asked: dict[str, _Asked] = {}

    def run(self) -> None:
        """Compares everything."""
        driver = self._driver
        for step in itertools.count():
            if self._waiting and (step % _STAGGER == 0 or not driver.engine.has_work):
                self._submit(self._waiting.pop(0))
            stats = driver.step()
            self.mixed_steps += bool(stats.num_prefill_tokens and stats.num_decode_tokens)
            self.shared_tokens += stats.prefix_hits
            for request_id in [id_ for id_ in self._asked if driver.answers[id_].done]:
                self._compare(request_id)
            if not self._waiting and not self._asked:
                return

    def allowed(self, model: SmallModel) -> float:
        """The largest error that is rounding."""
        own = model.own_error_p90 if model.routed else model.own_error
        return max(FACTOR * own, LEAST * self.errors.spread)

    def _submit(self, asked: _Asked) -> None:
        reference = asked.reference
        prompt = [*reference.prompt, *reference.tokens[: asked.known]]
        params = greedy(len(reference.tokens) - asked.known, logprobs=Errors.TOP)
        self._asked[self._driver.submit(prompt, params)] = asked

    def _compare(self, request_id: str) -> None:
        asked, answer = self._asked.pop(request_id), self._driver.answers.pop(request_id)
        reference = asked.reference
        for place, (token, report) in enumerate(zip(answer.tokens, answer.logprobs, strict=True), asked.known):
            wanted, logits = int(reference.tokens[place]), reference.logits[place]
            self.errors.add(dict(report.top), logits)
            if token != wanted:
                self.other_tokens += 1
                self.largest_margin = max(self.largest_margin, float(logits[wanted] - logits[token]))
                if place + 1 < len(reference.tokens):
                    self._waiting.append(_Asked(reference, place + 1))
                return
