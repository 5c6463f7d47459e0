"""Triton's generate extension: what gRPC answers, flat, whole and as events; and all that goes wrong."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from attendant.core.errors import InvalidRequest
from attendant.http.api.openinference.generating import generate_request
from attendant.rpc.openinference.ports import TensorSpec
from attendant_proto.openinference import inference_pb2 as pb

from tests.frontend.encoding.helpers import load as load_encoder
from tests.frontend.generation.helpers import load, num_active, wait_until
from tests.http.api.openinference.helpers import Both, error_of, events_of, in_json, tensors, with_both
from tests.rpc.openinference import helpers as of_grpc
from tests.rpc.openinference.helpers import request, tensor
from tests.synthetic import make_slow_bundle
from tests.synthetic_encoder import make_text_encoder

LONG = 8000
POISON = 1
GENERATE, STREAM = "/v2/models/slow/generate", "/v2/models/slow/generate_stream"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only ends at max_tokens; a prompt that begins with POISON makes its run raise."""
    return make_slow_bundle(tmp_path_factory.mktemp("bundles") / "slow", poison_token=POISON)


async def over_grpc(server: Both, prompt: str, **sampling: Any) -> str:
    inputs = [tensor("text_input", [prompt], "BYTES"), tensor("sampling_parameters", [json.dumps(sampling)], "BYTES")]
    found = of_grpc.tensors(await server.grpc.stub.ModelInfer(request("slow", *inputs)))
    return str(found["text_output"].item().decode())


def test_answers_are_those_of_grpc(slow: Path) -> None:
    async def test(server: Both) -> None:
        typed = await over_grpc(server, "hello", temperature=0, max_tokens=12)
        for body in (
            {"text_input": "hello", "parameters": {"temperature": 0, "max_tokens": 12}},
            {"text_input": "hello", "temperature": 0, "max_tokens": 12, "stream": False},
            {"text_input": ["hello"], "sampling_parameters": {"temperature": 0, "max_tokens": 12}, "seed": None},
            {"text_input": "hello", "sampling_parameters": '{"temperature": 0, "max_tokens": 12}', "stop": []},
        ):
            told = (await server.post(GENERATE, {**body, "id": "an id"})).json()
            assert told == {"id": "an id", "model_name": "slow", "model_version": "1", "text_output": typed}
        asked = {"text_input": "hello", "temperature": 0, "max_tokens": 12}
        assert "id" not in (await server.post(GENERATE, {**asked, "id": None})).json()
        answer = await server.post("/v2/models/slow/versions/1/generate_stream", asked)
        assert answer.headers["content-type"] == "text/event-stream"
        events = events_of(answer.text)
        assert all(event["model_name"] == "slow" and "triton_final_response" not in event for event in events)
        assert "hello" + "".join(event["text_output"] for event in events) == typed
        (whole,) = events_of((await server.post(STREAM, {**asked, "stream": False})).text)
        assert whole["text_output"] == typed

    with_both(test, load(slow))


def test_outputs_that_are_asked_for_and_several_sequences(slow: Path) -> None:
    async def test(server: Both) -> None:
        asked = {"text_input": "hi", "max_tokens": 3, "n": 2, "seed": 7, "return_finish_reason": True}
        asked |= {"return_num_output_tokens": True, "return_num_input_tokens": True, "exclude_input_in_output": True}
        told = (await server.post(GENERATE, asked)).json()
        assert (told["finish_reason"], told["num_output_tokens"], told["num_input_tokens"]) == (
            ["length"] * 2,
            [3, 3],
            2,
        )
        assert len(told["text_output"]) == 2

        asked = {"text_input": "hi", "max_tokens": 3, "parameters": {"triton_enable_empty_final_response": True}}
        events = events_of((await server.post(STREAM, asked)).text)
        assert [event["triton_final_response"] for event in events] == [False] * (len(events) - 1) + [True]
        assert "text_output" not in events[-1]

    with_both(test, load(slow))


def test_models_that_encode_are_asked_flat_too(tmp_path: Path) -> None:
    async def test(server: Both) -> None:
        texts = ["fine", "no"]
        typed = tensors(await server.post("/v2/models/labels/infer", in_json(tensor("text", texts, "BYTES"))))
        told = (await server.post("/v2/models/labels/generate", {"text": texts})).json()
        assert told["score"] == typed["score"].tolist()
        assert told["label"] == [[each.decode() for each in row] for row in typed["label"].tolist()]
        ids = {"input_ids": [[5, 6], [7, 8]], "attention_mask": [[1, 1], [1, 1]]}
        assert len((await server.post("/v2/models/labels/generate", ids)).json()["score"]) == 2
        method = {"method": "attendant.v1.Tokenizer/Tokenize", "request": {"model": "labels", "text": "fine"}}
        tokens = json.loads((await server.post("/v2/models/attendant/generate", method)).json()["response"])
        assert tokens["token_ids"]

    with_both(test, load_encoder(make_text_encoder(tmp_path / "labels")))


WRONG: list[tuple[Any, str]] = [
    ([], "body is not as it has to be"),
    ({}, "inputs have none of text_input, input_ids"),
    ({"text_input": 3}, "inputs[text_input] has int as element 0; allowed, for BYTES: texts"),
    ({"text_input": ["a", "b"]}, "inputs[text_input].shape is [2]"),
    ({"text_input": [["a"], "b"]}, "inputs[text_input] is not nested as the shape"),
    ({"text_input": "a", "temprature": 1}, "parameters[temprature] is not known; allowed: "),
    ({"text_input": "a", "parameters": {"temperature": "hot"}}, "parameters[temperature] is"),
    ({"text_input": "a", "parameters": [1]}, "parameters is no object"),
    ({"text_input": "a", "n": 2, "parameters": {"n": 2}}, "parameters.n is there beside the same name outside"),
    (
        {"text_input": "a", "stop": ["x"], "sampling_parameters": {"stop": "y"}},
        "stop is there beside the same name in",
    ),
    ({"text_input": "a", "stop": ["x"], "sampling_parameters": "{"}, "sampling_parameters is not JSON"),
    (
        {"text_input": "a", "stop": ["x"], "sampling_parameters": '{"n": 1, "n": 2}'},
        "sampling_parameters is not JSON",
    ),
    ({"text_input": "a", "stop": ["x"], "sampling_parameters": "[]"}, "sampling_parameters is no object"),
    ({"text_input": "a", "id": 5}, "id is no text"),
    ({"text_input": "a", "task": "classify"}, "parameters[task] is 'classify'; allowed, for 'slow': generate"),
    ({"text_input": "a", "sequence_id": 5}, "parameters[sequence_id] is set"),
    (
        {"text_input": "a", "max_tokens": 2**70},
        "parameters[max_tokens] is a whole number that has more than 64 bits",
    ),
    ({"text_input": "z" * 9000}, "inputs[text_input] has 9000 tokens; allowed: at most 8191"),
]


def test_what_is_wrong_is_named(slow: Path) -> None:
    async def test(server: Both) -> None:
        for body, words in WRONG:
            for path in (GENERATE, STREAM):
                status, told = error_of(await server.post(path, body))
                assert (status, told[: len(words)]) == (400, words)

    with_both(test, load(slow))


def test_a_list_that_is_no_input_needs_a_place() -> None:
    with pytest.raises(
        InvalidRequest, match="stop is a list or an object, and no input; allowed: one value, or one of text"
    ):
        generate_request({"stop": ["a"]}, "m", "", [TensorSpec("text", "BYTES", (-1,))], stream=False)


def test_objects_become_the_text_of_an_input() -> None:
    chat = [{"role": "user", "content": "hi"}]
    made = generate_request({"chat": chat, "stream": True}, "m", "", SPECS, stream=True)
    assert [(each.name, list(each.shape)) for each in made.inputs] == [("chat", [1]), ("stream", [1])]
    assert json.loads(made.raw_input_contents[0][4:]) == chat
    assert isinstance(made, pb.ModelInferRequest)


SPECS = [TensorSpec("chat", "BYTES", (1,)), TensorSpec("stream", "BOOL", (1,))]


def test_a_stream_needs_a_call_that_has_one(slow: Path) -> None:
    async def test(server: Both) -> None:
        status, words = error_of(await server.post(GENERATE, {"text_input": "a", "stream": True}))
        assert (status, words.rpartition(" ")[2]) == (501, "generate_stream")
        inputs = [tensor("text_input", ["a"], "BYTES"), tensor("stream", [True], "BOOL")]
        status, words = error_of(await server.post("/v2/models/slow/infer", in_json(*inputs)))
        assert (status, words.rpartition(" ")[2]) == (501, "generate_stream")

    with_both(test, load(slow))


def test_a_client_that_goes_frees_what_runs_and_what_waits(slow: Path) -> None:
    async def test(server: Both) -> None:
        generation = server.grpc.front_end.generation
        asked = {"text_input": "a", "max_tokens": LONG}
        inputs = in_json(tensor("text_input", ["a"], "BYTES"), parameters={"max_tokens": LONG})
        async with server.http.stream("POST", STREAM, content=json.dumps(asked)) as answer:
            parts = answer.aiter_text()  # which ends the answer when it is forgotten
            await anext(parts)
            waiting = [
                asyncio.ensure_future(server.post(path, body))
                for path, body in ((STREAM, asked), (GENERATE, asked), ("/v2/models/slow/infer", inputs))
            ]
            await wait_until(lambda: num_active(generation) == 4)
            for each in waiting:
                each.cancel()
            await wait_until(lambda: num_active(generation) == 1)
        await wait_until(lambda: num_active(generation) == 0)
        assert (await server.post(GENERATE, {**asked, "max_tokens": 2})).status_code == 200

    with_both(test, load(slow, max_num_seqs=1))


LATE = (504, 429)
"""The deadline passed, or it was seen before that it would."""


def test_a_full_queue_a_deadline_and_a_run_that_fails(slow: Path) -> None:
    async def test(server: Both) -> None:
        generation = server.grpc.front_end.generation
        late = {"text_input": "a", "max_tokens": LONG, "parameters": {"timeout": 20_000}}  # microseconds
        assert error_of(await server.post(GENERATE, late))[0] in LATE
        inputs = in_json(tensor("text_input", ["a"], "BYTES"), parameters={"max_tokens": LONG, "timeout": 20_000})
        assert error_of(await server.post("/v2/models/slow/infer", inputs))[0] in LATE
        poisoned = {"input_ids": [POISON, 20], "max_tokens": 2}
        assert error_of(await server.post(GENERATE, poisoned))[0] == 500
        asked = json.dumps({"text_input": "a", "max_tokens": LONG})
        async with server.http.stream("POST", STREAM, content=asked) as one, asyncio.TaskGroup() as group:
            parts = one.aiter_text()  # which ends the answer when it is forgotten
            await anext(parts)
            waits = group.create_task(server.post(STREAM, asked.encode()))
            await wait_until(lambda: num_active(generation) == 2)
            answer = await server.post(GENERATE, {"text_input": "a", "max_tokens": 2})
            assert error_of(answer)[0] == 429
            assert int(answer.headers["retry-after"]) >= 1
            waits.cancel()

    with_both(test, load(slow, max_num_seqs=1, max_queue=1))


def test_a_model_that_leaves_ends_its_streams_with_words(slow: Path) -> None:
    async def test(server: Both) -> None:
        asked = json.dumps({"text_input": "a", "max_tokens": LONG})
        async with server.http.stream("POST", STREAM, content=asked) as answer:
            assert answer.status_code == 200
            parts = answer.aiter_text()
            first = await anext(parts)
            leaving = asyncio.ensure_future(server.grpc.front_end.models.unload("slow", 0))
            events = events_of(first + "".join([part async for part in parts]))
            await leaving
        assert list(events[-1]) == ["error"]
        assert "'slow'" in events[-1]["error"]
        assert error_of(await server.post(STREAM, asked.encode()))[0] == 404

    with_both(test, load(slow))
