"""Encoder-decoders with caches in pages: the bundles for NVIDIA GPUs through their reference functions on a CPU.

Their weights are float16's, and so are the model's that they are compared with; the computation rounds to float16, too,
which may decide between answers of nearly the same score.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest
import torch
from attendant.bundle import read_manifest
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.core.source import Source
from attendant.engine.block_pool import BlockPool
from attendant.engine.engine import Engine
from attendant.frontend.generation.service import GenerationService
from attendant.models.generators import GeneratorPart, load_generator
from attendant.runtime.page_runner import PageRunner
from attendant.settings import EngineSettings, GpuSettings
from attendant_export.recipe import Recipe

from tests.engine.helpers import Collected
from tests.export.seq2seq_measure import Subject
from tests.frontend.generation.helpers import with_model
from tests.test_seq2seq import (
    BEAMS,
    SETTINGS,
    answers,
    call_of,
    check_a_prompt_longer_than_its_source,
    check_a_source_beyond_the_limit_is_refused,
    generated,
)

FAMILIES = ("marian", "bart", "whisper")
TOLERANCE = 5e-3  # of log-probabilities, from those of float32; measured: 1.3e-3 at most
ALONE = 1e-3  # from those alone; measured: 5e-7 at most


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("bundles") / request.param
    return Subject(request.param, folder, recipe=Recipe("cuda", "fp16"))


def load(subject: Subject, gpu: GpuSettings | None = None, **changes: Any) -> GeneratorPart:
    settings = EngineSettings(**{**SETTINGS, "spinning": False, **changes})
    return load_generator(subject.folder, subject.manifest, settings, gpu=gpu, verify=False)


def test_answers_equal_those_of_generate(subject: Subject) -> None:
    """All sources, greedy and with beams, at once: more than can run together."""
    rows = len(subject.rows)
    asked = [((number + more) % rows, case) for number, case in enumerate(BEAMS) for more in (0, 1)]

    async def test(service: GenerationService) -> None:
        found = await asyncio.gather(*(answers(service, call_of(subject, *one)) for one in asked))
        for one, hypotheses in zip(asked, found, strict=True):
            wanted = generated(subject, *one)
            assert len(hypotheses) == len(wanted)
            assert hypotheses[0] == wanted[0], one

    model = load(subject)
    assert with_model(model, test) == []
    engine = model.engines[0]
    engine.check()
    assert isinstance(engine._runner, PageRunner)
    assert engine._runner._captured, "decode steps ran in shapes that were bound once"


def test_scarce_memory_changes_nothing(subject: Subject) -> None:
    """With blocks for little more than one search, everything is preempted and computed again."""
    asked = [(index % len(subject.rows), BEAMS[index % len(BEAMS)]) for index in range(12)]

    async def test(service: GenerationService) -> None:
        found = await asyncio.gather(*(answers(service, call_of(subject, *one)) for one in asked))
        for one, hypotheses in zip(asked, found, strict=True):
            alone = await answers(service, call_of(subject, *one))
            assert hypotheses[0] == alone[0] == generated(subject, *one)[0], one

    model = load(subject, GpuSettings(block_size=4, num_blocks=18), max_context_length=24)
    assert with_model(model, test) == []
    scheduler = model.engines[0]._scheduler
    assert isinstance(scheduler.pool, BlockPool)
    assert scheduler.num_preemptions > 0
    model.engines[0].check()


def test_log_probabilities_do_not_depend_on_others(subject: Subject) -> None:
    """Greedy answers in a batch that each joins a step after the one before it, alone, and by the torch model."""
    rows, prompt = range(len(subject.rows)), tuple(subject.prompt)
    together, tokens = Reports(), Collected()
    engine = load(subject, max_num_batched_tokens=80).engines[0]
    for index in rows:
        engine.submit(greedy(subject, index, prompt))
        take(engine, together, tokens)
    while engine.has_work:
        take(engine, together, tokens)
    for index in rows:
        alone, one = Reports(), Collected()
        engine.submit(greedy(subject, index, prompt))
        while engine.has_work:
            take(engine, alone, one)
        id_ = f"{index}"
        assert one.tokens[id_] == tokens.tokens[id_]
        assert len(one.tokens[id_]) == 12
        np.testing.assert_allclose(together[id_], alone[id_], atol=ALONE)
        np.testing.assert_allclose(together[id_], logprobs(subject, index, prompt, one.tokens[id_]), atol=TOLERANCE)


class Reports(dict[str, list[float]]):
    """Log-probabilities of the chosen tokens, by request."""


def greedy(subject: Subject, index: int, prompt: tuple[int, ...]) -> Request:
    row = subject.rows[index]
    if subject.manifest.speech is None:
        source = Source({"input_ids": row}, len(row))
    else:
        assert subject.manifest.encoder_input is not None
        source = Source({"input_features": row}, subject.manifest.encoder_input.max_length)
    params = SamplingParams(max_tokens=12, logprobs=0, ignore_eos=True)
    return Request(f"{index}", prompt, params, time.monotonic_ns(), source=source)


def take(engine: Engine, reports: Reports, collected: Collected) -> None:
    events = engine.step().events
    engine.check()
    for event in events:
        if (report := getattr(event, "logprob", None)) is not None:
            reports.setdefault(event.request_id, []).append(report.logprob)
    collected.take(events)


def logprobs(subject: Subject, index: int, prompt: tuple[int, ...], answer: list[int]) -> list[float]:
    """Of an answer's tokens, by the torch model in float32."""
    row = torch.from_numpy(subject.rows[index])[None]
    given = {"attention_mask": torch.ones_like(row)} if subject.manifest.speech is None else {}
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        logits = subject.model(row, decoder_input_ids=ids, **given).logits[0, len(prompt) - 1 : -1]
    found: list[float] = logits.log_softmax(-1)[torch.arange(len(answer)), answer].tolist()
    return found


def test_a_prompt_longer_than_its_source(subject: Subject) -> None:
    """Each token looks at the source for itself, so that no run has too many of them."""
    if subject.manifest.speech is None:
        check_a_prompt_longer_than_its_source(subject)


def test_a_source_beyond_the_limit_is_refused(subject: Subject) -> None:
    if subject.manifest.speech is None:
        check_a_source_beyond_the_limit_is_refused(subject)


def test_what_was_computed_for_one_source_serves_no_other(subject: Subject) -> None:
    """The same long prompt, twice for one source and then for another: nothing of it is found in a prefix cache."""
    prompt = (*subject.prompt, *range(20, 60))
    engine = load(subject).engines[0]
    for index in (0, 0, 1):
        reports, collected = Reports(), Collected()
        engine.submit(greedy(subject, index, prompt))
        while engine.has_work:
            take(engine, reports, collected)
        wanted = logprobs(subject, index, prompt, collected.tokens[f"{index}"])
        np.testing.assert_allclose(reports[f"{index}"], wanted, atol=TOLERANCE)
    assert engine._scheduler.pool.prefix_stats.hits == 0


def test_the_manifest_tells_of_pages(subject: Subject) -> None:
    manifest = read_manifest(subject.folder.with_name(f"{subject.folder.name}-cuda"))
    assert (manifest.target, manifest.precision, manifest.cache_layout) == ("cuda", "fp16", "pages")
    encoder, decoder = (
        {spec.name: spec for spec in manifest.graphs[name].inputs + manifest.graphs[name].outputs}
        for name in ("encoder", "decoder")
    )
    assert encoder["cross_key_1"].shape == ("num_tokens", 4, 16)
    assert {encoder["cross_value_0"].dtype, manifest.cross_layers[0].dtype} == {"float16"}
    for name in ("cross_key_0", "present_cross_value_1"):
        assert decoder[name].shape == ("num_source_blocks", "block_size", 4, 16)
    assert decoder["source_block_table"].shape == ("num_tokens", "max_source_blocks")
    assert set(manifest.graphs) == {"encoder", "decoder", "copy_blocks", "pick_rows"}
    assert manifest.parity.cosine > 0.9999
