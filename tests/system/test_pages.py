"""A real server of a bundle with pages, by reference functions, beside one with slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from attendant.bundle import read_manifest
from attendant.core.errors import AttendantError
from attendant.runtime.devices import CudaDevice
from attendant_proto.v1 import generation_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.bundles import cuda_bundle
from tests.system.server import HANGS_S, ServerProcess, attendant, eventually, request, serving, tokens_of
from tests.test_isolation import prompt_of
from tests.test_page_isolation import Alone

PAGED, SLOTS = "tiny-llama", "fast"
BLOCK_SIZE, NUM_BLOCKS = 8, 37  # one context of 256 and a little more
MAX_TOKENS = 60
CLEAR = 0.01  # log-probability between two tokens that rounding does not confuse

Prompt = tuple[int, ...]


@pytest.fixture(scope="module")
def paged_server(paged_bundle: Path, fast: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Six sequences of the paged bundle run together, but its blocks hold only two or three long ones."""
    gpu = ("--gpu.block-size", BLOCK_SIZE, "--gpu.num-blocks", NUM_BLOCKS)
    engine = ("--engine.max-num-seqs", 6, "--engine.max-num-batched-tokens", 40, "--engine.threads", 1)
    with serving(tmp_path_factory.mktemp("log") / "server.log", paged_bundle, fast, *gpu, *engine) as running:
        yield running


class Answers:
    """Greedy answers that the engine gives to prompts alone, by prompt; each token is clearly the likeliest."""

    def __init__(self, bundle: Path) -> None:
        self._alone = Alone(bundle)
        self._vocab = read_manifest(bundle).vocab_size
        self._key = (("ignore_eos", True), ("max_tokens", MAX_TOKENS))

    def prompts(self, count: int, shared: int, own: int, family: int = 0) -> list[Prompt]:
        """Prompts that have their first ``shared`` tokens in common."""
        candidates = (prompt_of(family, shared, own, self._vocab, salt) for salt in range(1, 50 * count))
        found: list[Prompt] = []
        while len(found) < count:
            prompt = next(candidates)
            if self._is_clear(prompt):
                found.append(prompt)
        return found

    def of(self, prompt: Prompt) -> list[int]:
        return self._alone.answer(prompt, self._key)[0][0]

    def _is_clear(self, prompt: Prompt) -> bool:
        reports = self._alone.answer(prompt, self._key)[1]
        return all(one.top[0][1] - one.top[1][1] > CLEAR for one in reports if one is not None)


@pytest.fixture(scope="module")
def answers(paged_bundle: Path) -> Answers:
    return Answers(paged_bundle)


def asked(prompt: Prompt, **fields: Any) -> pb.GenerateRequest:
    """A greedy request of MAX_TOKENS."""
    stopping = pb.Stopping(max_tokens=MAX_TOKENS, ignore_eos=True)
    return pb.GenerateRequest(model=PAGED, token_ids=pb.TokenIds(ids=prompt), stopping=stopping, **fields)


def stream(server: ServerProcess, message: pb.GenerateRequest) -> list[pb.GenerateResponse]:
    return list(server.generation.Generate(message, timeout=HANGS_S))


def test_streams_of_both_kinds_say_what_each_says_alone(paged_server: ServerProcess, answers: Answers) -> None:
    prompts = answers.prompts(8, 0, 20)
    other = request("hello", 40, model=SLOTS)
    wanted = tokens_of(stream(paged_server, other))
    with ThreadPoolExecutor(12) as pool:
        found = [pool.submit(stream, paged_server, asked(prompt)) for prompt in prompts]
        others = [pool.submit(stream, paged_server, other) for _ in range(4)]
    for prompt, call in zip(prompts, found, strict=True):
        responses = call.result()
        assert tokens_of(responses) == answers.of(prompt)
        assert responses[-1].finish.reason == pb.FINISH_REASON_LENGTH
        assert all(not response.HasField("finish") for response in responses[:-1])
        assert len(responses) > 1, "a stream, not one message"
    assert all(tokens_of(call.result()) == wanted for call in others)


def test_copies_of_one_prompt_each_get_its_answer(paged_server: ServerProcess, answers: Answers) -> None:
    (prompt,) = answers.prompts(1, 0, 21)
    responses = stream(paged_server, asked(prompt, n=2))
    for index in range(2):
        mine = [response for response in responses if response.index == index]
        assert tokens_of(mine) == answers.of(prompt)
        assert [response.HasField("finish") for response in mine].count(True) == 1
    assert {response.index for response in responses} == {0, 1}


def test_a_cancelled_stream_frees_its_blocks(paged_server: ServerProcess, answers: Answers) -> None:
    (prompt,) = answers.prompts(1, 0, 22)
    message = asked(prompt, n=2)
    message.stopping.max_tokens = 200

    def cancelled() -> float:
        return paged_server.metrics().get("request_success_total{finished_reason=cancelled}", 0.0)

    def is_cancelled_while_it_holds_blocks() -> bool:
        eventually(paged_server.is_idle)
        before = cancelled()
        call = paged_server.generation.Generate(message)
        next(call)
        used = paged_server.metrics()["kv_cache_usage_perc"]
        call.cancel()
        eventually(paged_server.is_idle)
        return used > 0.05 and cancelled() == before + 2

    eventually(is_cancelled_while_it_holds_blocks)  # on a busy machine it may end before it is asked after
    assert tokens_of(stream(paged_server, asked(prompt))) == answers.of(prompt)


def test_a_prompt_that_begins_like_an_earlier_one_is_partly_cached(
    paged_server: ServerProcess, answers: Answers
) -> None:
    shared = 6 * BLOCK_SIZE
    first, second = answers.prompts(2, shared, 9, family=3)
    stream(paged_server, asked(first))
    eventually(paged_server.is_idle)
    before = paged_server.metrics()["prefix_cache_hits_total"]
    responses = stream(paged_server, asked(second))
    assert tokens_of(responses) == answers.of(second)
    assert responses[-1].finish.usage.cached_tokens == shared
    eventually(lambda: paged_server.metrics()["prefix_cache_hits_total"] == before + shared)


def test_sequences_that_lose_their_blocks_give_the_same_answers(paged_server: ServerProcess, answers: Answers) -> None:
    before = paged_server.metrics()["num_preemptions_total"]
    prompts = answers.prompts(6, 0, 40)
    assert 6 * (40 + MAX_TOKENS) > 2 * (NUM_BLOCKS - 1) * BLOCK_SIZE

    def are_right_and_were_preempted() -> bool:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda prompt: tokens_of(stream(paged_server, asked(prompt))), prompts))
        assert found == [answers.of(prompt) for prompt in prompts]
        return paged_server.metrics()["num_preemptions_total"] > before

    eventually(are_right_and_were_preempted)  # on a busy machine they may come one after another


def test_a_prompt_beyond_the_context_is_refused(paged_server: ServerProcess) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stream(paged_server, asked((5,) * 256))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "255" in caught.value.details()
    bad = error_details_pb2.BadRequest()
    assert rpc_status.from_call(caught.value).details[0].Unpack(bad)  # type: ignore[arg-type]
    assert bad.field_violations[0].field == "token_ids"
    assert len(tokens_of(stream(paged_server, asked((5,) * 190)))) == MAX_TOKENS


def test_settings_of_the_command_line_reach_the_cache(paged_server: ServerProcess, paged_bundle: Path) -> None:
    assert f"{PAGED}: ready" in paged_server.log()
    assert f"KV cache {(NUM_BLOCKS - 1) * BLOCK_SIZE} tokens" in paged_server.log()
    done = attendant("serve", paged_bundle, "--gpu.num-blocks", 9, "--grpc.port", 0, "--http.port", 0)
    assert done.returncode == 2
    assert "gpu.num_blocks" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["slots", "gpus"])
def test_a_gpu_that_cannot_be_used_is_a_clear_error(kind: str, fast: Path, paged_bundle: Path) -> None:
    words, said = ((fast, "--gpu.devices", 0), "gpu.devices")
    if kind == "gpus":
        try:
            CudaDevice(0)
        except AttendantError as error:
            words, said = ((cuda_bundle(paged_bundle),), str(error))  # type: ignore[assignment]
        else:
            pytest.skip("this machine has a GPU")
    done = attendant("serve", *words, "--grpc.port", 0, "--http.port", 0)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def ending(server: ServerProcess, message: pb.GenerateRequest) -> tuple[Counter[int], str]:
    """How often each sequence of a call finished, and the status of the call."""
    finishes: Counter[int] = Counter()
    try:
        for response in server.generation.Generate(message, timeout=HANGS_S):
            assert not finishes[response.index], "nothing comes after the end"
            finishes[response.index] += response.HasField("finish")
    except grpc.RpcError as error:
        return finishes, str(error.code().name)
    return finishes, "OK"


@pytest.mark.parametrize("patience_s", [3600, 0])
def test_sigterm_under_load_ends_every_sequence_once(
    paged_bundle: Path, answers: Answers, tmp_path: Path, patience_s: int
) -> None:
    flags = ("--engine.max-num-seqs", 4, "--engine.threads", 1, "--drain-timeout-s", patience_s)
    messages = [asked(prompt, n=2) for prompt in answers.prompts(6, 0, 20) * 3]
    for message in messages:  # seconds of work, so that the signal comes in the midst of it
        message.stopping.max_tokens = 200
    with serving(tmp_path / "log", paged_bundle, *flags) as server, ThreadPoolExecutor(18) as pool:
        calls = [pool.submit(ending, server, message) for message in messages]
        eventually(lambda: server.metrics()["num_requests_running"] == 4 and server.arrived() == 36)
        server.terminate()
        endings = [call.result(HANGS_S) for call in calls]
        assert server.wait() == 0
    if patience_s:
        assert endings == [(Counter({0: 1, 1: 1}), "OK")] * 18
    else:
        # the status is the end of what had not finished
        assert all((finishes.total() == 2) == (status == "OK") for finishes, status in endings)
        assert {status for _, status in endings} <= {"OK", "UNAVAILABLE"}
        assert "UNAVAILABLE" in {status for _, status in endings}
        assert all(count == 1 for finishes, _ in endings for count in (+finishes).values())
    assert "Traceback" not in server.log()
