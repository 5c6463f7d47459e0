"""Clients that leave, wait, come again and stay on while a server drains: the work of whoever is gone ends."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.synthetic import make_slow_bundle
from tests.system.server import HANGS_S, LONG, PATIENT, ServerProcess, eventually, serving

DYING = Path(__file__).parents[1] / "system" / "dying_server.py"
CANCELLED = "request_success_total{finished_reason=cancelled}"
REFUSED = "request_failure_total{error=queue_full}"
MESSAGES: Any = [{"role": "user", "content": "hello"}]
ENDLESS: Any = {"model": "slow", "messages": MESSAGES, "max_tokens": LONG}


def is_freed(server: ServerProcess, before: float) -> bool:
    """Whether one more was cancelled, and nothing runs."""
    return server.metrics().get(CANCELLED, 0.0) == before + 1 and server.is_idle()


def test_a_stream_that_is_closed_frees_its_work(server: ServerProcess, client: openai.OpenAI) -> None:
    before = server.metrics().get(CANCELLED, 0.0)
    with client.chat.completions.create(**ENDLESS, stream=True) as stream:
        for count, _ in enumerate(stream):
            if count == 3:
                break
    eventually(lambda: is_freed(server, before))


def test_a_task_that_is_cancelled_frees_its_work(server: ServerProcess) -> None:
    before = server.metrics().get(CANCELLED, 0.0)

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as client:
            arrived = server.arrived()
            asking = asyncio.ensure_future(client.chat.completions.create(**ENDLESS))
            while await asyncio.to_thread(server.arrived) == arrived:
                await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(asyncio.wait_for(main(), HANGS_S))
    eventually(lambda: is_freed(server, before))


def test_a_client_whose_patience_ends_frees_its_work(server: ServerProcess, client: openai.OpenAI) -> None:
    before, arrived, patience_s = server.metrics().get(CANCELLED, 0.0), server.arrived(), 0.25
    while server.arrived() == arrived:  # on a busy machine it ends before the call has come
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=patience_s).chat.completions.create(**ENDLESS)
        patience_s *= 2
    eventually(lambda: server.metrics().get(CANCELLED, 0.0) > before and server.is_idle())


def test_anthropics_stream_that_is_closed_frees_its_work(server: ServerProcess, claude: anthropic.Anthropic) -> None:
    before = server.metrics().get(CANCELLED, 0.0)
    with claude.messages.stream(model="slow", messages=MESSAGES, max_tokens=LONG) as stream:
        for count, _ in enumerate(stream):
            if count == 4:
                break
    eventually(lambda: is_freed(server, before))


def test_a_full_queue_says_when_to_come_again_and_clients_do(tmp_path: Path) -> None:
    """One runs, one waits, and a third is refused until there is room; OpenAI's client comes again by itself."""
    bundle = make_slow_bundle(tmp_path / "slow")
    flags = ("--engine.max-num-seqs", 1, "--engine.max-queue", 1, "--engine.threads", 1, "--no-engine.spinning")
    with serving(tmp_path / "log", bundle, *flags) as server, ThreadPoolExecutor(2) as pool:
        client = openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0, timeout=HANGS_S)
        held = client.chat.completions.create(**ENDLESS, stream=True)
        next(iter(held))
        waits = pool.submit(lambda: client.chat.completions.create(**ENDLESS | {"max_tokens": 4}))
        eventually(lambda: server.metrics()["num_requests_waiting"] == 1)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**ENDLESS)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert caught.value.code == "rate_limit_exceeded"
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**ENDLESS, stream=True)
        claude = anthropic.Anthropic(base_url=server.http, api_key="none", max_retries=0)
        with pytest.raises(anthropic.RateLimitError):
            claude.messages.create(model="slow", messages=MESSAGES, max_tokens=4)
        patient = client.with_options(max_retries=20)
        again = pool.submit(lambda: patient.chat.completions.create(**ENDLESS | {"max_tokens": 4}))
        refused = server.metrics()[REFUSED]
        eventually(lambda: server.metrics()[REFUSED] > refused)
        held.close()
        assert waits.result(HANGS_S).choices[0].finish_reason == "length"
        assert again.result(HANGS_S).choices[0].finish_reason == "length"


def test_a_server_that_drains_ends_what_it_has_and_refuses_what_comes(tmp_path: Path) -> None:
    bundle = make_slow_bundle(tmp_path / "slow")
    flags = ("--engine.max-num-seqs", 2, "--engine.threads", 1, "--no-engine.spinning", *PATIENT)
    with serving(tmp_path / "log", bundle, *flags) as server, ThreadPoolExecutor(1) as pool:
        client = openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0, timeout=HANGS_S)
        held = client.chat.completions.create(**ENDLESS, stream=True)
        next(iter(held))
        whole = pool.submit(lambda: client.chat.completions.create(**ENDLESS | {"max_tokens": 400}))
        eventually(lambda: server.arrived() == 2)
        server.terminate()
        with httpx.Client(base_url=server.http, timeout=HANGS_S) as plain:
            eventually(lambda: server.healthz() == 503)
            for path, said in (
                ("/v1/chat/completions", ENDLESS),
                ("/v1/messages", {"model": "slow", "messages": MESSAGES, "max_tokens": 4}),
            ):
                refused = plain.post(path, json=said)
                assert refused.status_code in (503, 529), path
                assert refused.json()["error"]["message"]
        assert whole.result(HANGS_S).choices[0].finish_reason == "length"
        next(iter(held))
        held.close()
        assert server.wait() == 0
    assert "Traceback" not in server.log()


def test_the_death_of_an_engine_is_told_to_everybody(tmp_path: Path) -> None:
    """A client in the middle of a stream gets an exception, not an end that looks like one; so does one that waits."""
    bundle, script = make_slow_bundle(tmp_path / "slow"), (str(DYING),)
    with serving(tmp_path / "log", bundle, command=script) as server, ThreadPoolExecutor(2) as pool:
        client = openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0, timeout=HANGS_S)
        claude = anthropic.Anthropic(base_url=server.http, api_key="none", max_retries=0, timeout=HANGS_S)
        stream = client.chat.completions.create(**ENDLESS, stream=True)
        messages = claude.messages.create(model="slow", messages=MESSAGES, max_tokens=LONG, stream=True)
        next(iter(stream))
        next(iter(messages))
        whole = pool.submit(lambda: client.chat.completions.create(**ENDLESS))
        eventually(lambda: server.metrics()["num_requests_running"] == 3)
        server.terminate(signal.SIGUSR1)
        with pytest.raises(openai.APIError):
            list(stream)
        with pytest.raises(anthropic.APIError):
            list(messages)
        with pytest.raises(openai.InternalServerError) as caught:
            whole.result(HANGS_S)
        assert caught.value.status_code == 503
        eventually(lambda: server.healthz("/health") == 200)
        assert client.chat.completions.create(**{**ENDLESS, "max_tokens": 4}).choices, "it was started anew"
