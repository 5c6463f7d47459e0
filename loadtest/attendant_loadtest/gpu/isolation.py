"""Check 2: does a request get the tokens that it gets alone?"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from attendant.settings import EngineSettings, GpuSettings

from attendant_loadtest.gpu.driver import Answer, Driver, greedy
from attendant_loadtest.gpu.kit import Ints, SmallModel
from attendant_loadtest.gpu.parity import FACTOR
from attendant_loadtest.gpu.shapes import Sizes

_FAMILIES = 6  # of prompts that begin alike
_ARRIVALS = (0, 0, 1, 2, 5)  # requests that arrive before a step


def check_isolation(kit: Path, model: SmallModel, sizes: Sizes) -> dict[str, Any]:
    """Run the same greedy requests alone and together; returns the figures of the results file.

    A token may differ where the two most probable ones were about as likely: rounding depends on the batch. ``ok``: no
    margin between them was larger than what rounding explains.
    """
    bundle = kit / model.bundle
    alone = _open(bundle, sizes, max_num_seqs=1, prefix_cache=False)
    requests = make_requests(sizes, alone.manifest.vocab_size)
    singly = [_alone(alone, prompt, length) for prompt, length in requests]
    together = _open(bundle, sizes, max_num_seqs=sizes.isolated_seqs, num_blocks=sizes.isolated_blocks)
    batched, figures = _together(together, requests)
    differing = [found for pair in zip(singly, batched, strict=True) if (found := difference(*pair)) is not None]
    margin = max((found["margin"] for found in differing), default=0.0)
    compared = sum(len(answer.tokens) for answer in singly) - sum(found["not_compared"] for found in differing)
    allowed = 2 * FACTOR * model.own_error
    return {
        "architecture": model.name,
        "dtype": model.dtype,
        "ok": margin <= allowed and figures["mixed_steps"] > 0 and figures["shared_prompt_tokens"] > 0,
        "requests": len(requests),
        "differing_requests": len(differing),
        "tokens_compared": compared,
        "share_of_tokens": len(differing) / compared,
        "largest_margin": margin,
        "allowed_margin": allowed,
        "differences": differing,
        **figures,
    }


def make_requests(sizes: Sizes, vocabulary: int) -> list[tuple[Ints, int]]:
    """Prompts of random lengths, which families share the beginning of, and how many tokens are wanted."""
    generator = np.random.default_rng(1)
    beginnings = generator.integers(3, vocabulary, (_FAMILIES, sizes.shared))
    found = []
    for _ in range(sizes.requests):
        shared = generator.integers(0, sizes.shared, endpoint=True)
        own = generator.integers(3, vocabulary, generator.integers(1, sizes.own, endpoint=True))
        prompt = np.concatenate([beginnings[generator.integers(_FAMILIES), :shared], own])
        found.append((prompt, int(generator.integers(1, sizes.answer, endpoint=True))))
    return found


def difference(alone: Answer, together: Answer) -> dict[str, Any] | None:
    """Where two answers to one request part, and how near the two best tokens were there; None if they do not.

    Behind that place they answer different texts and are not compared.
    """
    for place, (one, other) in enumerate(zip(alone.tokens, together.tokens, strict=True)):
        if one != other:
            (_, first), (_, second) = alone.logprobs[place].top
            return {"place": place, "margin": first - second, "not_compared": len(alone.tokens) - place - 1}
    return None


def _open(
    bundle: Path, sizes: Sizes, *, max_num_seqs: int, num_blocks: int | None = None, prefix_cache: bool = True
) -> Driver:
    context = sizes.shared + sizes.own + sizes.answer
    engine = EngineSettings(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_seqs + sizes.shared,
        max_context_length=context,
        prefix_cache=prefix_cache,
        threads=sizes.threads,
        spinning=False,
    )
    return Driver(bundle, engine, GpuSettings(num_blocks=num_blocks or 2 + context // 16))


def _alone(driver: Driver, prompt: Ints, length: int) -> Answer:
    request_id = driver.submit(prompt.tolist(), greedy(length, logprobs=2))
    driver.drain()
    return driver.answers.pop(request_id)


def _together(driver: Driver, requests: list[tuple[Ints, int]]) -> tuple[list[Answer], dict[str, Any]]:
    arrivals, waiting, ids, stats = itertools.cycle(_ARRIVALS), iter(requests), [], []
    while True:
        for prompt, length in itertools.islice(waiting, next(arrivals)):
            ids.append(driver.submit(prompt.tolist(), greedy(length, logprobs=2)))
        if driver.engine.has_work:
            stats.append(driver.step())
        elif len(ids) == len(requests):
            break
    figures = {
        "steps": len(stats),
        "mixed_steps": sum(bool(step.num_prefill_tokens and step.num_decode_tokens) for step in stats),
        "largest_batch": max(step.num_running for step in stats),
        "preemptions": sum(step.num_preemptions for step in stats),
        "shared_prompt_tokens": sum(step.prefix_hits for step in stats),
    }
    return [driver.answers[request_id] for request_id in ids], figures
