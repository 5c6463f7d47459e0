"""The generation service over a real engine and ONNX Runtime, without a wire."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import TOKENIZER_FILE
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.context import CallContext
from attendant.core.errors import (
    AttendantError,
    DeadlineExceeded,
    Draining,
    EngineDead,
    InvalidRequest,
    ModelNotFound,
    QueueFull,
    StepFailed,
)
from attendant.core.generation import Delta, GenerationCall, TextPrompt, TokenPrompt
from attendant.core.request import FinishReason
from attendant.frontend.generation.service import GenerationService
from tokenizers import Tokenizer

from tests.frontend.generation.helpers import (
    LONG,
    call,
    collect,
    drain,
    first_part,
    hubs,
    num_active,
    wait_until,
    with_service,
)
from tests.synthetic import make_synthetic_bundle

POISON = 3  # never generated


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(
        tmp_path_factory.mktemp("b") / "m", eos_bias=-50, context_length=2048, poison_token=POISON
    )


def test_several_sequences_differ_and_share_the_prompt(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        texts, ends = await collect(service, call("x" * 50, 12, n=3, temperature=1.5, seed=7))
        assert len(set(texts.values())) == 3
        assert [ends[i].usage.completion_tokens for i in range(3)] == [12, 12, 12]
        assert ends[0].usage.cached_tokens == 0
        assert ends[1].usage.cached_tokens == ends[2].usage.cached_tokens == 48
        again, _ = await collect(service, call("x" * 50, 12, n=3, temperature=1.5, seed=7))
        assert again == texts
        alone, _ = await collect(service, call("x" * 50, 12, temperature=1.5, seed=7))
        assert alone[0] == texts[0]

    with_service(bundle, test)


def test_a_stop_string_ends_the_text_before_it(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        whole, _ = await collect(service, call(max_tokens=60))
        stop = whole[0][20:23]
        assert stop
        cut = whole[0].index(stop)
        texts, ends = await collect(service, call(max_tokens=60, stop=("never", stop)))
        assert texts.get(0, "") == whole[0][:cut]
        assert (ends[0].reason, ends[0].stop_string) == (FinishReason.STOP, stop)
        assert ends[0].usage.completion_tokens < 60

    with_service(bundle, test)


@pytest.mark.parametrize("whole", [False, True])
def test_special_tokens_stop_an_answer_and_can_be_shown(bundle: Path, whole: bool) -> None:
    async def test(service: GenerationService) -> None:
        written: dict[str, Any] = {
            "max_tokens": 4,
            "ignore_eos": True,
            "logit_bias": {3: 1e8},
            "whole": whole,
        }  # <|system|>
        for stop in ("<|system|>", "tem|>", "<|system|><|system|>"):
            texts, ends = await collect(service, call(**written, stop=(stop,)))
            assert (texts.get(0, ""), ends[0].stop_string) == ("", stop)
            assert ends[0].usage.completion_tokens == 1 + ("><" in stop)
        texts, _ = await collect(service, call(**written))
        assert texts.get(0, "") == ""
        texts, _ = await collect(service, call(**written, keep_special_tokens=True))
        assert texts[0] == "<|system|>" * 4
        texts, ends = await collect(service, call(**written, keep_special_tokens=True, stop=("m|><|s",)))
        assert (texts[0], ends[0].stop_string) == ("<|syste", "m|><|s")

    with_service(bundle, test)


def test_logprobs_come_with_their_tokens(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        ids: list[int] = []
        logprobs: list[Any] = []
        async for part in service.generate(call(logprobs=2)):
            if isinstance(part, Delta):
                ids += part.token_ids
                logprobs += part.logprobs
        assert [entry.token_id for entry in logprobs] == ids
        assert all(entry.top[0][1] >= entry.logprob and len(entry.top) == 2 for entry in logprobs)

    with_service(bundle, test)


def test_closing_the_iterator_ends_the_work(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        await first_part(service, LONG)
        await wait_until(lambda: num_active(service) == 0)

    with_service(bundle, test)


def test_cancelling_the_task_ends_queued_and_running_work(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(6)]
        await wait_until(lambda: num_active(service) == 6)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until(lambda: num_active(service) == 0)

    with_service(bundle, test)


def test_a_full_queue_refuses_at_once_and_says_when_to_retry(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(8)]
        await wait_until(lambda: num_active(service) == 8)
        with pytest.raises(QueueFull) as caught:
            await collect(service, call())
        assert caught.value.retry_after_s > 0
        assert caught.value.limit == 8
        for task in tasks:
            task.cancel()

    with_service(bundle, test)


@pytest.mark.parametrize("num_running", [0, 4], ids=["running", "waiting"])
def test_a_passed_deadline_fails_and_frees(bundle: Path, num_running: int) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(num_running)]
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await collect(service, call(max_tokens=2000), CallContext.new(timeout_s=0.02))
        for task in tasks:
            task.cancel()

    with_service(bundle, test)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (call("x" * 2048), InvalidRequest, "text has 2048 tokens; allowed: at most 2047"),
        (call(""), InvalidRequest, "text has no tokens"),
        (GenerationCall("", TokenPrompt((5, 9999))), InvalidRequest, "token_ids has 9999 at position 1; allowed: 0 to"),
        (GenerationCall("nobody", TextPrompt("x")), ModelNotFound, "'nobody'.*'synthetic'"),
        (call(top_p=1.5), InvalidRequest, "^top_p is 1.5; allowed: greater than 0, at most 1"),
        (call(temperature=float("nan")), InvalidRequest, "^temperature is nan"),
        (call(max_tokens=0), InvalidRequest, "^max_tokens is 0; allowed: at least 1"),
        (call(min_tokens=9), InvalidRequest, "^min_tokens is 9; allowed: 0 to 8"),
        (call(stop=("",)), InvalidRequest, "^stop has a string of 0 characters"),
        (call(n=200), InvalidRequest, "n is 200; allowed: 1 to 8"),
        (call(logit_bias={10**6: 1.0}), InvalidRequest, "^logit_bias is 1000000"),
        (GenerationCall("", ChatPrompt(())), InvalidRequest, "^messages is empty"),
    ],
)
def test_what_can_never_work_is_refused_at_the_door(
    bundle: Path, wrong: GenerationCall, error: type[AttendantError], says: str
) -> None:
    async def test(service: GenerationService) -> None:
        with pytest.raises(error, match=says):
            await collect(service, wrong)
        assert num_active(service) == 0

    with_service(bundle, test)


@pytest.mark.parametrize("prompt", [TextPrompt("x" * 50_000_000), ChatPrompt((ChatMessage("user", "y" * 50_000_000),))])
def test_megabytes_are_refused_after_a_page(bundle: Path, prompt: TextPrompt | ChatPrompt) -> None:
    """Their tokens would take gigabytes, and minutes."""

    async def test(service: GenerationService) -> None:
        says = r"has more than \d+ tokens \(500000\d\d characters\); allowed: at most 2047"
        for work in (service.tokenize("", prompt, as_prompt=True), collect(service, GenerationCall("", prompt))):
            with pytest.raises(InvalidRequest, match=says) as caught:
                await work
            assert int(caught.value.reason.split()[3]) < 50_000

    with_service(bundle, test)


def test_tokens_that_the_model_has_no_row_for_are_refused_wherever_they_come_from(tmp_path: Path) -> None:
    bundle = make_synthetic_bundle(tmp_path / "m")
    tokenizer = Tokenizer.from_file(str(bundle / TOKENIZER_FILE))
    size = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(["<image>"])
    tokenizer.save(str(bundle / TOKENIZER_FILE))

    async def test(service: GenerationService) -> None:
        named = rf"has {size} \('<image>'\), which the model does not know, at position {{}}; allowed: 0 to {size - 1}"
        for prompt, field, at in (
            (TextPrompt("ab<image>"), "text", 2),
            (ChatPrompt((ChatMessage("user", "<image>"),)), "chat", 1),
            (TokenPrompt((7, size)), "token_ids", 1),
        ):
            with pytest.raises(InvalidRequest, match=f"^{field} {named.format(at)}"):
                await collect(service, GenerationCall("", prompt, max_tokens=2))
        for field, wrong in (
            ("stop_token_ids", {"stop_token_ids": (size,)}),
            ("logit_bias", {"logit_bias": {size: 1.0}}),
        ):
            with pytest.raises(InvalidRequest, match=f"^{field} is {size}; allowed: 0 to {size - 1}"):
                await collect(service, call(**wrong))

    with_service(bundle, test)


def test_a_failed_step_fails_its_requests_and_the_engine_lives(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        bad = GenerationCall("", TokenPrompt((POISON, 6, 9)), max_tokens=4)
        with pytest.raises(StepFailed):
            await collect(service, bad)
        _, ends = await collect(service, call())
        assert ends[0].reason is FinishReason.LENGTH

    assert with_service(bundle, test) == []


def test_chat_uses_the_template(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        messages = (ChatMessage("user", "hi"),)
        tokenized = await service.tokenize("", ChatPrompt(messages))
        assert tokenized.tokens[0] == "<|user|>"
        assert tokenized.tokens[-1] == "<|assistant|>"
        _, ends = await collect(service, GenerationCall("", ChatPrompt(messages), max_tokens=3))
        assert ends[0].usage.prompt_tokens == len(tokenized.token_ids)

    with_service(bundle, test)


def test_draining_finishes_what_runs_and_refuses_the_rest(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        running = asyncio.create_task(collect(service, call(max_tokens=1500)))
        await wait_until(lambda: num_active(service) == 1)
        draining = asyncio.create_task(drain(service, 300))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await collect(service, call())
        _, ends = await running
        assert ends[0].usage.completion_tokens == 1500
        await draining

    with_service(bundle, test)


def test_what_outlives_the_drain_limit_fails(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        running = asyncio.create_task(collect(service, LONG))
        await wait_until(lambda: num_active(service) == 1)
        await drain(service, 0.02)
        with pytest.raises(Draining, match=r"within 0\.02 s"):
            await running

    with_service(bundle, test)


def test_a_dead_engine_fails_every_stream_and_is_reported(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attendant.engine.scheduler import Scheduler

    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(6)]
        await wait_until(lambda: num_active(service) == 6)
        monkeypatch.setattr(Scheduler, "schedule", lambda self, now: 1 / 0)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, EngineDead)
        assert not hubs(service)[0].ready
        with pytest.raises(EngineDead):
            await collect(service, call())

    deaths = with_service(bundle, test)
    assert [(name, type(error)) for name, error in deaths] == [("synthetic", ZeroDivisionError)]


def test_a_whole_answer_comes_in_one_piece(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        wanted = call(max_tokens=12, n=2, logprobs=1, seed=3, temperature=1.0)
        texts, _ = await collect(service, wanted)
        parts = [part async for part in service.generate(replace(wanted, whole=True))]
        deltas = [part for part in parts if isinstance(part, Delta)]
        assert {delta.index: delta.text for delta in deltas} == texts
        assert [len(delta.token_ids) for delta in deltas] == [len(delta.logprobs) for delta in deltas]
        assert len(deltas) == 2
        assert len(parts) == 4
        stopped = [part async for part in service.generate(replace(wanted, whole=True, n=1, stop=(texts[0][3:5],)))]
        assert isinstance(stopped[0], Delta)
        assert stopped[0].text == texts[0][: texts[0].index(texts[0][3:5])]

    assert with_service(bundle, test) == []
