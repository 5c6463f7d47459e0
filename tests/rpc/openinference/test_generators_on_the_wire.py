"""Generators in the Open Inference Protocol as clients meet them: as attendant.v1 answers, and all that goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from attendant_proto.openinference import inference_pb2 as pb
from attendant_proto.v1 import generation_pb2, generation_pb2_grpc

from tests.frontend.generation.helpers import load, num_active, wait_until
from tests.rpc.openinference.helpers import Server, refused, request, serving, tensor, tensors
from tests.synthetic import make_slow_bundle, make_synthetic_bundle

LONG = 8000
POISON = 1


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a few hundred tokens a second, and only ends at max_tokens; a prompt that begins with POISON makes its run
    raise."""
    return make_slow_bundle(tmp_path_factory.mktemp("bundles") / "slow", poison_token=POISON)


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("bundles") / "fast", name="fast", eos_bias=-1e4)


def with_generator(bundle: Path, test: Callable[[Server], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        async with serving(load(bundle, **settings)) as server:
            await asyncio.wait_for(test(server), 300)
            await wait_until(lambda: num_active(server.front_end.generation) == 0)

    asyncio.run(main())


def ask(
    prompt: str | list[int], call_id: str = "", model: str = "slow", stream: bool | None = True, **sampling: Any
) -> pb.ModelInferRequest:
    inputs = [tensor("sampling_parameters", [json.dumps({"temperature": 0, **sampling})], "BYTES")]
    if isinstance(prompt, str):
        inputs.append(tensor("text_input", [prompt], "BYTES"))
    else:
        inputs.append(tensor("input_ids", np.array(prompt, np.int64), "INT64"))
    if stream is not None:
        inputs.append(tensor("stream", np.array([stream]), "BOOL"))
    inputs.append(tensor("return_token_ids", np.array([True]), "BOOL"))
    inputs.append(tensor("return_logprobs", np.array([True]), "BOOL"))
    return request(model, *inputs, call_id=call_id)


@asynccontextmanager
async def stream(server: Server, *requests: pb.ModelInferRequest) -> AsyncIterator[Any]:
    """A stream that stays open until it is left; requests may be written later, too."""
    call = server.stub.ModelStreamInfer()
    for each in requests:
        await call.write(each)
    try:
        yield call
    finally:
        call.cancel()


async def all_of(server: Server, requests: Iterable[pb.ModelInferRequest]) -> dict[str, list[pb.ModelInferResponse]]:
    """Responses of a stream by request."""

    async def sent() -> AsyncIterator[pb.ModelInferRequest]:
        for each in requests:
            yield each

    found: dict[str, list[pb.ModelInferResponse]] = {}
    async for response in server.stub.ModelStreamInfer(sent()):
        assert not response.error_message
        found.setdefault(response.infer_response.id, []).append(response.infer_response)
    return found


def test_answers_are_those_of_attendant_v1_alone_and_among_sixteen(fast: Path) -> None:
    settings: list[dict[str, Any]] = [{"temperature": float(i % 2), "seed": i, "max_tokens": 20 + i} for i in range(16)]
    prompts = [f"prompt {i} " * (i + 1) for i in range(16)]

    async def test(server: Server) -> None:
        generate = generation_pb2_grpc.GenerationStub(server.channel).Generate
        expected = {}
        for i, (prompt, said) in enumerate(zip(prompts, settings, strict=True)):
            message = generation_pb2.GenerateRequest(text=prompt, logprobs=2)
            message.sampling.temperature, message.sampling.seed = said["temperature"], said["seed"]
            message.stopping.max_tokens = said["max_tokens"]
            parts = [part async for part in generate(message)]
            expected[str(i)] = (
                "".join(part.text for part in parts),
                [token for part in parts for token in part.token_ids],
                [(each.token_id, each.logprob) for part in parts for each in part.logprobs],
            )

        def seen(responses: list[pb.ModelInferResponse]) -> tuple[str, list[int], list[tuple[int, float]]]:
            told = [tensors(each) for each in responses]
            logprobs = [token for each in told for token in json.loads(each["logprobs"][0])]
            chosen = [next(iter(each.items())) for each in logprobs]
            return (
                "".join(each["text_output"][0].decode() for each in told),
                [token for each in told for token in each["token_ids"].tolist()],
                [(int(token), float(np.float32(said["logprob"]))) for token, said in chosen],
            )

        asked = [
            ask(prompt, str(i), "fast", **said, logprobs=2)
            for i, (prompt, said) in enumerate(zip(prompts, settings, strict=True))
        ]
        together = await all_of(server, asked)
        assert {name: seen(responses) for name, responses in together.items()} == expected
        for each in asked[:3]:
            assert seen((await all_of(server, [each]))[each.id]) == expected[each.id]
        for i, (prompt, said) in enumerate(zip(prompts, settings, strict=True)):
            whole = await server.stub.ModelInfer(ask(prompt, str(i), "fast", stream=None, **said, logprobs=2))
            text, tokens, logprobs = expected[str(i)]
            assert seen([whole]) == (prompt + text, tokens, logprobs)

    with_generator(fast, test, max_num_seqs=16, max_queue=16)


def test_the_last_response_says_so_and_an_empty_one_comes_where_asked_for(fast: Path) -> None:
    async def test(server: Server) -> None:
        plain, empty = ask("a", "1", "fast", max_tokens=3), ask("a", "2", "fast", max_tokens=3)
        empty.parameters["triton_enable_empty_final_response"].bool_param = True
        found = await all_of(server, [plain, empty])
        for call_id, extra in (("1", 0), ("2", 1)):
            finals = [each.parameters["triton_final_response"].bool_param for each in found[call_id]]
            assert finals == [False] * (len(finals) - 1) + [True]
            assert [len(each.outputs) for each in found[call_id]][-1] == (0 if extra else 3)

    with_generator(fast, test)


def test_a_stream_over_model_infer_is_unimplemented(fast: Path) -> None:
    async def test(server: Server) -> None:
        code, words = await refused(server.stub.ModelInfer(ask("a", model="fast")))
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert "ModelStreamInfer" in words
        whole = await server.stub.ModelInfer(ask("a", model="fast", stream=False, max_tokens=2))
        assert len(tensors(whole)["token_ids"]) == 2

    with_generator(fast, test)


@pytest.mark.parametrize("how", ["stream", "whole"])
def test_a_client_that_goes_frees_what_runs_and_what_waits(slow: Path, how: str) -> None:
    async def test(server: Server) -> None:
        generation = server.front_end.generation
        if how == "stream":
            calls = [server.stub.ModelStreamInfer() for _ in range(3)]
            for i, call in enumerate(calls):
                await call.write(ask(f"{i}", str(i), max_tokens=LONG))
                if i == 0:
                    await call.read()
        else:
            calls = [server.stub.ModelInfer(ask(f"{i}", stream=None, max_tokens=LONG)) for i in range(3)]
        await wait_until(lambda: num_active(generation) == 3)
        for call in calls:  # one runs, the others wait
            call.cancel()
        await wait_until(lambda: num_active(generation) == 0)
        whole = await server.stub.ModelInfer(ask("hello", stream=None, max_tokens=2))
        assert len(tensors(whole)["token_ids"]) == 2

    with_generator(slow, test, max_num_seqs=1)


def test_a_full_queue_and_a_long_prompt_cost_only_their_request(slow: Path) -> None:
    async def test(server: Server) -> None:
        async with stream(server, *(ask("x", str(i), max_tokens=LONG) for i in range(2))) as call:
            # one runs, the other waits
            await wait_until(lambda: num_active(server.front_end.generation) == 2)
            await call.write(ask("y", "full", max_tokens=2))
            await call.write(ask("z" * 9000, "long", max_tokens=2))
            errors: dict[str, str] = {}
            while len(errors) < 2:
                response = await call.read()
                if response.error_message:
                    errors[response.infer_response.id] = response.error_message
            assert "already holds 2 requests (running and waiting), which is its limit; retry in" in errors["full"]
            assert errors["long"].startswith("inputs[text_input] has 9000 tokens; allowed: at most 8191")
            assert (await call.read()).infer_response.id in ("0", "1"), "the stream goes on"
            code, words = await refused(server.stub.ModelInfer(ask("y", stream=None, max_tokens=2)))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            code, words = await refused(server.stub.ModelInfer(ask("z" * 9000, stream=None)))
            assert (code, words.partition(" ")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "inputs[text_input]")

    with_generator(slow, test, max_num_seqs=1, max_queue=1)


def test_a_run_that_fails_ends_its_request_alone(slow: Path) -> None:
    async def test(server: Server) -> None:
        async with stream(server, ask("x", "good", max_tokens=LONG), ask([POISON, 20], "bad", max_tokens=2)) as call:
            while not (response := await call.read()).error_message:
                assert response.infer_response.id == "good"
            assert response.infer_response.id == "bad"
            assert (await call.read()).infer_response.id == "good"
        code, _ = await refused(server.stub.ModelInfer(ask([POISON, 20], stream=None, max_tokens=2)))
        assert code is grpc.StatusCode.INTERNAL

    with_generator(slow, test)


def test_a_model_that_leaves_ends_its_streams_with_words(slow: Path) -> None:
    async def test(server: Server) -> None:
        async with stream(server, ask("x", "mine", max_tokens=LONG)) as call:
            await call.read()
            leaving = asyncio.ensure_future(server.front_end.models.unload("slow", 0))
            while not (response := await call.read()).error_message:
                pass
            assert response.infer_response.id == "mine"
            assert "'slow'" in response.error_message
            await leaving
            await call.write(ask("x", "gone", max_tokens=2))
            response = await call.read()
            assert response.error_message.startswith("no model named 'slow' is loaded")

    with_generator(slow, test)


def test_a_timeout_and_a_priority_are_the_calls(slow: Path) -> None:
    async def test(server: Server) -> None:
        late = ask("x", stream=None, max_tokens=LONG)
        late.parameters["timeout"].int64_param = 20_000  # microseconds
        late.parameters["priority"].uint64_param = 1
        code, _ = await refused(server.stub.ModelInfer(late))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED

    with_generator(slow, test)


def test_a_dimension_of_a_batch_is_taken_and_other_inputs_of_that_backend_are_refused(fast: Path) -> None:
    async def test(server: Server) -> None:
        flat = ask("hello", model="fast", stream=False, max_tokens=4)
        batch = ask("hello", model="fast", stream=False, max_tokens=4)
        for each in batch.inputs:
            each.shape[:] = [1, 1]
        found = [tensors(await server.stub.ModelInfer(each)) for each in (flat, batch)]
        assert found[0]["token_ids"].tolist() == found[1]["token_ids"].tolist()
        for name in ("image", "audio", "embedding_request"):
            other = request("fast", tensor("text_input", ["a"], "BYTES"), tensor(name, ["x"], "BYTES"))
            code, words = await refused(server.stub.ModelInfer(other))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert words.startswith(f"inputs[{name}] is not an input of this model; allowed: text_input")

    with_generator(fast, test)


def test_every_method_is_reached_by_any_model_and_by_none(fast: Path) -> None:
    def method(model: str, name: str, **fields: Any) -> pb.ModelInferRequest:
        words = tensor("request", [json.dumps(fields)], "BYTES")
        return request(model, words, parameters={"method": f"attendant.v1.{name}"})

    async def test(server: Server) -> None:
        for model in ("attendant", "fast", ""):
            response = await server.stub.ModelInfer(method(model, "Tokenizer/Tokenize", text="hello"))
            (words,) = tensors(response)["response"]
            assert len(json.loads(words)["token_ids"]) == 5
        found = await all_of(server, [method("fast", "Generation/Generate", text="a", stopping={"max_tokens": 3})])
        told = [json.loads(tensors(each)["response"][0]) for each in found[""] if each.outputs]
        assert sum(len(each.get("token_ids", ())) for each in told) == 3
        assert told[-1]["finish"]["reason"] == "FINISH_REASON_LENGTH"
        code, words = await refused(server.stub.ModelInfer(method("attendant", "Explain/Look")))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "attendant.v1.Explain/Attention" in words
        code, _ = await refused(server.stub.ModelInfer(method("nobody", "Tokenizer/Tokenize", text="a")))
        assert code is grpc.StatusCode.NOT_FOUND

    with_generator(fast, test)
