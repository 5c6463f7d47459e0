"""Real calls to a real server process: streams, refusals, models, tokenizer, figures."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from tests.system.server import ServerProcess, environment, eventually, request, tokens_of

TEN_LINES = """
import sys
import grpc
from attendant_proto.v1 import generation_pb2 as pb, generation_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    generation = generation_pb2_grpc.GenerationStub(channel)
    chat = pb.Chat(messages=[pb.ChatMessage(role="user", content="Where is my order?")])
    for response in generation.Generate(pb.GenerateRequest(chat=chat, stopping=pb.Stopping(max_tokens=16))):
        print(response.text, end="", flush=True)
"""


def refused(server: ServerProcess, message: pb.GenerateRequest) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        list(server.generation.Generate(message, timeout=60))
    return caught.value


def test_a_stream_of_deltas_and_one_finish(server: ServerProcess) -> None:
    responses = list(server.generation.Generate(request("hello", 20)))
    assert len(tokens_of(responses)) == 20
    assert [response.HasField("finish") for response in responses] == [False] * (len(responses) - 1) + [True]
    assert len(responses) >= 2
    finish = responses[-1].finish
    assert finish.reason == pb.FINISH_REASON_LENGTH
    assert finish.usage.prompt_tokens == 5
    assert finish.usage.completion_tokens == 20
    timings = finish.timings
    assert 0 < timings.prefill_s <= timings.first_token_s <= timings.total_s
    assert 0 < timings.decode_s <= timings.total_s


def test_the_text_is_what_the_tokens_decode_to(server: ServerProcess) -> None:
    """Random bytes are mostly not UTF-8: no character may be split, lost or doubled over the messages."""
    for seed in range(30):
        sampling = pb.Sampling(temperature=1.5, seed=seed)
        responses = list(server.generation.Generate(request("häßlich ☃", 60, sampling=sampling)))
        text = "".join(response.text for response in responses)
        detokenized = server.tokenizer.Detokenize(models_pb2.DetokenizeRequest(token_ids=tokens_of(responses)))
        assert text == detokenized.text


def test_ten_lines_of_python_are_a_client(server: ServerProcess) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TEN_LINES, server.grpc],
        capture_output=True,
        timeout=300,
        check=True,
        env={**environment(), "PYTHONIOENCODING": "utf-8"},
    )
    assert done.stdout.decode()


def test_concurrent_streams_say_what_each_says_alone(server: ServerProcess) -> None:
    messages = [
        request(f"prompt {i} " * (i + 1), 30, sampling=pb.Sampling(temperature=float(i % 2), seed=i)) for i in range(12)
    ]
    alone = [tokens_of(list(server.generation.Generate(message))) for message in messages]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda message: tokens_of(list(server.generation.Generate(message))), messages))
    assert together == alone


def test_several_sequences_in_one_call(server: ServerProcess) -> None:
    responses = list(server.generation.Generate(request("hello", 10, n=3, sampling=pb.Sampling(temperature=1, seed=1))))
    for index in range(3):
        mine = [response for response in responses if response.index == index]
        assert len(tokens_of(mine)) == 10
        assert [r.HasField("finish") for r in mine].count(True) == 1
        assert mine[-1].HasField("finish")


def test_logprobs_come_with_every_token(server: ServerProcess) -> None:
    responses = list(server.generation.Generate(request("hello", 5, logprobs=3)))
    entries = [entry for response in responses for entry in response.logprobs]
    assert [entry.token_id for entry in entries] == tokens_of(responses)
    for entry in entries:
        assert len(entry.top) == 3
        assert entry.top[0].token_id == entry.token_id  # greedy
        assert entry.logprob <= 0
        assert entry.top[0].logprob == pytest.approx(entry.logprob)
        assert entry.top[0].text == entry.text


def test_a_stop_string_ends_the_stream_and_stays_out_of_it(server: ServerProcess) -> None:
    sampling = pb.Sampling(temperature=1, seed=5)
    whole = "".join(r.text for r in server.generation.Generate(request("hello", 60, sampling=sampling)))
    stop = next(whole[i : i + 2] for i in range(10, 50) if "�" not in whole[i : i + 2])
    message = request("hello", 60, sampling=sampling)
    message.stopping.stop.append(stop)
    responses = list(server.generation.Generate(message))
    assert "".join(response.text for response in responses) == whole[: whole.index(stop)]
    assert responses[-1].finish.reason == pb.FINISH_REASON_STOP
    assert responses[-1].finish.stop_string == stop


def test_models_are_described(server: ServerProcess) -> None:
    (model,) = server.models.ListModels(models_pb2.ListModelsRequest()).models
    assert model == server.models.GetModel(models_pb2.GetModelRequest(model="fast"))
    assert model == server.models.GetModel(models_pb2.GetModelRequest())
    assert (model.name, model.context_length, model.max_running, model.ready) == ("fast", 256, 4, True)


def test_tokenizer_round_trip(server: ServerProcess) -> None:
    for text in ("hello", "häßlich ☃ \U0001f600", "  two\n lines\t"):
        tokens = server.tokenizer.Tokenize(models_pb2.TokenizeRequest(text=text))
        assert len(tokens.tokens) == len(tokens.token_ids)
        back = server.tokenizer.Detokenize(models_pb2.DetokenizeRequest(token_ids=tokens.token_ids))
        assert back.text == text


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.GenerateRequest(), "prompt"),
        (pb.GenerateRequest(text=""), "text"),
        (pb.GenerateRequest(token_ids=pb.TokenIds()), "token_ids"),
        (pb.GenerateRequest(token_ids=pb.TokenIds(ids=[10**6])), "token_ids"),
        (pb.GenerateRequest(text="x" * 1000), "text"),
        (pb.GenerateRequest(text="x", sampling=pb.Sampling(top_p=2)), "sampling.top_p"),
        (pb.GenerateRequest(text="x", sampling=pb.Sampling(temperature=float("nan"))), "sampling.temperature"),
        (pb.GenerateRequest(text="x", stopping=pb.Stopping(max_tokens=0)), "stopping.max_tokens"),
        (pb.GenerateRequest(text="x", stopping=pb.Stopping(stop=["a"] * 17)), "stopping.stop"),
        (pb.GenerateRequest(text="x", stopping=pb.Stopping(stop=[""])), "stopping.stop"),
        (pb.GenerateRequest(text="x", logprobs=1000), "logprobs"),
        (pb.GenerateRequest(text="x", n=10**9), "n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_requests_are_refused_by_field(server: ServerProcess, message: pb.GenerateRequest, field: str) -> None:
    error = refused(server, message)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
    bad = error_details_pb2.BadRequest()
    assert rpc_status.from_call(error).details[0].Unpack(bad)  # type: ignore[arg-type]
    violation = bad.field_violations[0]
    assert violation.field == field
    assert "allowed" in violation.description or "missing" in violation.description


def test_another_model_is_not_found(server: ServerProcess) -> None:
    error = refused(server, pb.GenerateRequest(model="other", text="x"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "'fast'" in error.details()
    resource = error_details_pb2.ResourceInfo()
    assert rpc_status.from_call(error).details[0].Unpack(resource)  # type: ignore[arg-type]
    assert resource.resource_name == "other"


def test_health_and_reflection(server: ServerProcess) -> None:
    assert all(server.serving(f"attendant.v1.{service}") for service in ("Generation", "Models", "Tokenizer"))
    assert server.serving()
    assert server.healthz() == 200
    watch = server.health.Watch(health_pb2.HealthCheckRequest(service="attendant.v1.Generation"))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = {service.name for service in answer.list_services_response.service}
    assert {"attendant.v1.Generation", "attendant.v1.Models", "attendant.v1.Tokenizer"} <= names


def test_the_figures_add_up(server: ServerProcess) -> None:
    eventually(server.is_idle)
    before = server.metrics()
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda i: list(server.generation.Generate(request("count " * (i % 5 + 1), 5 + i))), range(24))
        )
    for _ in range(3):
        refused(server, pb.GenerateRequest(text="x", sampling=pb.Sampling(top_p=2)))
    eventually(server.is_idle)
    after = server.metrics()
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    finishes = [answer[-1].finish for answer in answers]
    completion = sum(finish.usage.completion_tokens for finish in finishes)
    assert grown["request_success_total{finished_reason=length}"] == 24
    assert grown["request_failure_total{error=invalid_request}"] == 3
    assert grown["generation_tokens_total"] == completion == sum(range(5, 29))
    assert grown["prompt_tokens_total"] == sum(finish.usage.prompt_tokens for finish in finishes)
    assert grown["prefix_cache_hits_total"] == sum(finish.usage.cached_tokens for finish in finishes)
    assert grown["inter_token_latency_seconds_count"] == completion - 24
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds", "request_time_per_output_token_seconds"):
        assert grown[f"{name}_count"] == 24
    for stage in ("queue", "prefill", "decode", "inference"):
        assert grown[f"request_{stage}_time_seconds_count"] == 24
    total = sum(finish.timings.total_s for finish in finishes)
    assert grown["e2e_request_latency_seconds_sum"] == pytest.approx(total, rel=1e-6)
    assert grown["step_batch_size_sum"] + 24 >= completion - 24
    assert grown["step_tokens_sum"] >= completion - 24
