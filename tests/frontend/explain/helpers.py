"""A front end over the demo models, or over one whose attention can be held, and references for what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from attendant.bundle import read_any_manifest
from attendant.core.attention import AttentionKind, AttentionModel, AttentionSubject
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.generation import TextPrompt
from attendant.demo import demo_bundle
from attendant.engine.client import EngineClient
from attendant.frontend.explain.calls import Subject
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.clients import engine_clients
from attendant.models.generators import GeneratorPart
from attendant.models.ledger import Account
from attendant.models.loaded import LoadedModel, load_model
from attendant.models.loader import LoadedBundles
from attendant.settings import EncoderSettings, EngineSettings, ExplainSettings, GpuSettings

DEMOS = demo_bundle().parent
CHAT = ChatPrompt((ChatMessage("user", "Where is my order 48213?"),))
LOVELY = Subject(TextPrompt("A truly lovely film."))
STATION = Subject(TextPrompt("Where is the station?"))

Test = Callable[[FrontEnd], Awaitable[None]]


@cache
def demo(name: str) -> LoadedModel:
    """A demo model by the name of its folder. Its engine serves one test after another."""
    path = DEMOS / name
    return load_model(
        path,
        read_any_manifest(path),
        EngineSettings(threads=1, spinning=False, max_num_seqs=4, max_queue=4),
        EncoderSettings(threads=1, spinning=False, max_queue=4),
        GpuSettings(),
        account=Account.alone(name),
        verify=False,
    )


def with_models(
    models: Sequence[LoadedModel],
    test: Test,
    *,
    metrics: Metrics | None = None,
    engines: Callable[[GeneratorPart], Sequence[EngineClient]] = engine_clients,
    **settings: Any,
) -> list[tuple[str, BaseException]]:
    """Run ``test`` against a started front end; returns the deaths of engines and batches."""
    deaths: list[tuple[str, BaseException]] = []

    async def main() -> None:
        front_end = FrontEnd(
            metrics or Metrics(),
            lambda name, error: deaths.append((name, error)),
            explain=ExplainSettings(**settings),
            engines=engines,
        )
        await front_end.start(LoadedBundles(tuple(models)))
        try:
            await asyncio.wait_for(test(front_end), 300)
        finally:
            await front_end.close()

    asyncio.run(main())
    return deaths


def with_demos(test: Test, *names: str, **settings: Any) -> None:
    """Run ``test`` with demo models."""
    assert with_models([demo(name) for name in names], test, **settings) == []


def attention_of(name: str) -> AttentionModel:
    """What computes a demo model's attention."""
    model = demo(name)
    part = model.generator if model.generator is not None else model.encoders[0]
    assert part is not None
    assert part.attention is not None
    return part.attention


def all_weights(name: str, kind: AttentionKind, subject: AttentionSubject) -> Any:
    """All of a subject's weights, put together of its runs: [layers, heads, queries, keys] float32."""
    parts = [part for run in attention_of(name).runs(subject) for part in run.parts if part.kind == kind]
    num_queries = max(part.first_query + part.weights.shape[1] for part in parts)
    num_keys = max(part.weights.shape[2] for part in parts)
    heads = parts[0].weights.shape[0]
    found = np.zeros((max(part.layer for part in parts) + 1, heads, num_queries, num_keys), np.float32)
    for part in parts:
        rows = slice(part.first_query, part.first_query + part.weights.shape[1])
        found[part.layer, :, rows, : part.weights.shape[2]] = part.weights
    return found


def all_hidden(name: str, subject: AttentionSubject) -> Any:
    """Last hidden states, [tokens, hidden]."""
    return np.concatenate([run.hidden for run in attention_of(name).runs(subject) if run.hidden is not None])


def ids_of(name: str, text: str, **options: Any) -> list[int]:
    """Tokens of a text by the demo model's own tokenizer."""
    from tokenizers import Tokenizer

    return list(Tokenizer.from_file(str(Path(DEMOS / name / "tokenizer.json"))).encode(text, **options).ids)
