"""VllmEngine over real models: the same answers as attendant.v1, ends in order, and the truth about the model."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import socket
import zipfile
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from attendant.bundle import GenerationDefaults
from attendant.core.errors import ConfigurationError
from attendant.rpc.vllm.ports import EnginePorts
from attendant.rpc.vllm.servicer import PIECE
from attendant.settings import EnginePort, GrpcSettings
from attendant_proto.v1 import encoding_pb2, generation_pb2, models_pb2
from attendant_proto.vllm import common_pb2 as common
from attendant_proto.vllm import engine_pb2 as pb
from tokenizers import Tokenizer

from tests.rpc.vllm.served import IDS, Served, answers, eventually, request, run, serving
from tests.synthetic import EOS, make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

SERVICE = "vllm.grpc.engine.VllmEngine"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    defaults = GenerationDefaults(temperature=0.75, top_k=40, max_tokens=5)
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", name="m", eos_bias=-1e4, defaults=defaults)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers run until somebody ends them."""
    out = tmp_path_factory.mktemp("b") / "endless"
    return make_synthetic_bundle(out, name="endless", eos_bias=-1e4, context_length=200_000)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_encoder(tmp_path_factory.mktemp("b") / "e", "embed", name="e")


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call if not hasattr(call, "__aiter__") else [response async for response in call]
    return caught.value


def v1_sampling(**values: Any) -> generation_pb2.Sampling:
    off = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    return generation_pb2.Sampling(**off | values)


def test_answers_and_log_probabilities_are_those_of_attendant_v1_alone_and_among_16(model: Path) -> None:
    prompts = [tuple(60 + (7 * i + j) % 190 for j in range(3 + 5 * i)) for i in range(16)]
    sampled: dict[str, Any] = {"temperature": 1.0, "top_p": 0.9, "top_k": 50, "repetition_penalty": 1.1}

    def ours(i: int) -> pb.GenerateRequest:
        return request(prompts[i], stream=bool(i % 2), seed=i, logprobs=2, max_tokens=24, **sampled)

    async def test(served: Served) -> None:
        engine = served.engines["m"]
        expected = []
        for i in range(16):
            stopping = generation_pb2.Stopping(max_tokens=24)
            expected.append(
                await served.v1(ours(i), sampling=v1_sampling(seed=i, **sampled), stopping=stopping, logprobs=2)
            )
        alone = [await _collected(engine, ours(i)) for i in range(16)]
        together = await asyncio.gather(*(_collected(engine, ours(i)) for i in range(16)))
        for found in (alone, together):
            for answer, theirs in zip(found, expected, strict=True):
                entries = [entry for response in theirs for entry in response.logprobs]
                assert answer.tokens == [token for response in theirs for token in response.token_ids]
                assert len(answer.tokens) == 24
                assert answer.logprobs == [entry.logprob for entry in entries]
                assert answer.tops == [[(top.token_id, top.logprob) for top in entry.top] for entry in entries]

    run([model], ["m"], test)


class _Collected:
    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.tops: list[list[tuple[int, float]]] = []

    def take(self, tokens: Any, logprobs: pb.OutputLogProbs) -> None:
        self.tokens += tokens
        self.logprobs += logprobs.token_logprobs
        self.tops += [list(zip(top.token_ids, top.values, strict=True)) for top in logprobs.top_logprobs]
        assert list(logprobs.token_ids) == list(tokens)


async def _collected(engine: Any, call: pb.GenerateRequest) -> _Collected:
    found = _Collected()
    async for response in engine.Generate(call):
        if response.HasField("chunk"):
            found.take(response.chunk.token_ids, response.chunk.output_logprobs)
        else:
            found.take(response.complete.output_ids, response.complete.output_logprobs)
    return found


@pytest.mark.parametrize("stream", [True, False])
def test_several_answers_have_indices_and_seeds_of_their_own(model: Path, stream: bool) -> None:
    async def test(served: Served) -> None:
        call = request(stream=stream, n=3, seed=7, temperature=2.0)
        tokens, ends = await answers(served.engines["m"], call)
        stopping = generation_pb2.Stopping(max_tokens=8)
        theirs = await served.v1(call, n=3, sampling=v1_sampling(seed=7, temperature=2.0), stopping=stopping)
        expected: dict[int, list[int]] = {0: [], 1: [], 2: []}
        for response in theirs:
            expected[response.index] += response.token_ids
        assert tokens == expected
        assert len({tuple(each) for each in tokens.values()}) == 3
        assert {index: end.finish_reason for index, end in ends.items()} == dict.fromkeys(range(3), "length")
        assert [(end.prompt_tokens, end.completion_tokens) for end in ends.values()] == [(4, 8)] * 3

    run([model], ["m"], test)


def test_answers_end_by_token_string_and_length_as_asked(model: Path) -> None:
    async def test(served: Served) -> None:
        engine = served.engines["m"]
        plain, _ = await answers(engine, request())
        text = (await served.tokenizer.Detokenize(models_pb2.DetokenizeRequest(token_ids=plain[0]))).text
        third = plain[0][2]
        tokens, ends = await answers(engine, request(stop_token_ids=[third]))
        assert tokens[0] == plain[0][: plain[0].index(third)]
        assert (ends[0].finish_reason, ends[0].matched_token_id) == ("stop", third)
        assert ends[0].completion_tokens == len(tokens[0]) + 1
        tokens, ends = await answers(engine, request(stop=[text[1:3]]))
        assert tokens[0] == plain[0][: len(tokens[0])]
        assert (ends[0].finish_reason, ends[0].matched_stop_str) == ("stop", text[1:3])
        later = request(stop_token_ids=[plain[0][0]], min_tokens=4)
        tokens, _ = await answers(engine, later)
        assert len(tokens[0]) >= 4
        call = request(logit_bias={EOS: 1e6})
        tokens, ends = await answers(engine, call)
        assert (tokens[0], ends[0].finish_reason, ends[0].WhichOneof("matched_stop")) == ([], "stop", None)
        call.sampling_params.ignore_eos = True
        tokens, ends = await answers(engine, call)
        assert (tokens[0], ends[0].finish_reason) == ([EOS] * 8, "length")
        call = request()
        call.sampling_params.ClearField("max_tokens")
        tokens, _ = await answers(engine, call)
        assert tokens[0] == plain[0][:5]  # as the model's own settings say
        text_call = pb.GenerateRequest(text="hello", sampling_params=call.sampling_params)
        theirs = served.generation.Generate(
            generation_pb2.GenerateRequest(
                text="hello", sampling=v1_sampling(), stopping=generation_pb2.Stopping(max_tokens=5)
            )
        )
        tokens, ends = await answers(engine, text_call)
        assert tokens[0] == [token async for response in theirs for token in response.token_ids]
        assert ends[0].prompt_tokens == 5

    run([model], ["m"], test)


def test_a_cached_prompt_is_told(model: Path) -> None:
    async def test(served: Served) -> None:
        prompt = [60 + i % 100 for i in range(120)]
        _, before = await answers(served.engines["m"], request(prompt))
        _, after = await answers(served.engines["m"], request(prompt))
        assert before[0].cached_tokens == 0
        assert after[0].cached_tokens > 0
        load = (await served.engines["m"].GetLoads(pb.GetLoadsRequest())).loads[0]
        assert load.cache_hit_rate == pytest.approx(after[0].cached_tokens / 240)

    run([model], ["m"], test)


@pytest.mark.parametrize("stream", [True, False])
def test_abort_ends_calls_in_order_wherever_they_are(endless: Path, stream: bool) -> None:
    async def test(served: Served) -> None:
        engine = served.engines["endless"]
        unbounded: dict[str, Any] = {"max_tokens": 190_000, "stream": stream}
        num_running = 2 if stream else 1
        running = asyncio.ensure_future(answers(engine, request(request_id="a", n=2, **unbounded)))
        await eventually(lambda: served.live() == 2)
        load = pb.SchedulerLoad()
        while load.num_running_reqs < num_running:  # of a whole call, the first answer alone
            load = (await engine.GetLoads(pb.GetLoadsRequest())).loads[0]
        waiting = asyncio.ensure_future(answers(engine, request(request_id="b", n=3, **unbounded)))
        await eventually(lambda: served.live() == 5)
        await engine.Abort(pb.AbortRequest(request_ids=["b", "nobody", ""]))
        tokens, ends = await waiting
        assert {index: end.finish_reason for index, end in ends.items()} == dict.fromkeys(range(3), "abort")
        assert not any(tokens.values())
        assert {end.prompt_tokens for end in ends.values()} == {len(IDS)}
        assert not running.done()
        await engine.Abort(pb.AbortRequest(request_ids=["a"]))
        tokens, ends = await running
        assert [ends[index].finish_reason for index in range(2)] == ["abort", "abort"]
        assert [ends[index].completion_tokens for index in range(2)] == [len(tokens[index]) for index in range(2)]
        assert all(tokens[index] for index in range(num_running))
        assert served.live() == 0
        await engine.Abort(pb.AbortRequest(request_ids=["a"]))  # has ended

    run([endless], ["endless"], test, max_num_seqs=2 if stream else 1)


def test_a_stream_that_is_closed_frees_its_work(endless: Path) -> None:
    async def test(served: Served) -> None:
        engine = served.engines["endless"]
        calls = [engine.Generate(request(max_tokens=190_000)) for _ in range(3)]  # one of them waits
        await eventually(lambda: served.live() == 3)
        while (await engine.GetLoads(pb.GetLoadsRequest())).loads[0].num_running_reqs < 2:
            pass
        for call in reversed(calls):
            call.cancel()
        await eventually(lambda: served.live() == 0)
        load = (await engine.GetLoads(pb.GetLoadsRequest())).loads[0]
        assert (load.num_running_reqs, load.num_waiting_reqs, load.num_used_tokens) == (0, 0, 0)
        late = await failure(engine.Generate(request(max_tokens=190_000), timeout=0.2))
        # refused at once, if it is known by now how long so many tokens take
        assert late.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        await eventually(lambda: served.live() == 0)

    run([endless], ["endless"], test, max_num_seqs=2)


def test_load_is_what_the_scheduler_has(endless: Path) -> None:
    async def test(served: Served) -> None:
        engine = served.engines["endless"]
        idle = (await engine.GetLoads(pb.GetLoadsRequest(dp_rank=0, include=["core"]))).loads[0]
        assert (idle.num_total_reqs, idle.gen_throughput, idle.token_usage) == (0, 0, 0)
        assert idle.max_running_requests == 2
        prompt = range(60, 100)
        calls = [engine.Generate(request(prompt, max_tokens=190_000)) for _ in range(5)]
        await eventually(lambda: served.live() == 5)
        load = pb.SchedulerLoad()
        while (load.num_running_reqs, load.num_waiting_reqs) != (2, 3) or not load.gen_throughput:
            load = (await engine.GetLoads(pb.GetLoadsRequest())).loads[0]
        assert load.num_total_reqs == 5
        assert 0 < load.num_used_tokens < load.max_total_num_tokens == idle.max_total_num_tokens
        assert load.token_usage == load.utilization == load.num_used_tokens / load.max_total_num_tokens
        assert load.num_waiting_uncached_tokens == round(3 * len(prompt) * (1 - load.cache_hit_rate))
        info = await engine.GetServerInfo(pb.GetServerInfoRequest())
        assert (info.active_requests, info.max_num_seqs, info.server_type) == (5, 2, "vllm-grpc")
        assert info.last_receive_timestamp > 0
        assert info.block_size > 0
        refused = await failure(engine.GetLoads(pb.GetLoadsRequest(dp_rank=1)))
        assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
        for call in calls:
            call.cancel()

    run([endless], ["endless"], test, max_num_seqs=2)


def test_wrong_requests_are_refused_by_the_wires_own_names_and_nothing_runs(model: Path) -> None:
    async def test(served: Served) -> None:
        engine = served.engines["m"]
        for call, message in (
            (request([]), "tokenized.input_ids has no tokens"),
            (request([4000]), "tokenized.input_ids has 4000 at position 0; allowed: 0 to 261"),
            (request(range(60, 260, 1)), ""),
            (request([60] * 256), "tokenized.input_ids has 256 tokens; allowed: at most 255"),
            (request(top_p=1.5), "sampling_params.top_p is 1.5; allowed: greater than 0, at most 1"),
            (request(max_tokens=0), "sampling_params.max_tokens is 0; allowed: at least 1"),
            (request(logprobs=-1), "sampling_params.logprobs is -1; allowed: 0 to "),
            (request(seed=-5), "sampling_params.seed is -5; allowed: 0 to "),
            (request(stop=[""]), "sampling_params.stop has a string of 0 characters"),
            (request(stop_token_ids=[999]), "sampling_params.stop_token_ids is 999; allowed: 0 to 261"),
            (request(logit_bias={-1: 1.0}), "sampling_params.logit_bias is -1; allowed: 0 to 261"),
            (request(n=500), "sampling_params.n is 500; allowed: 1 to "),
            (request(regex="a("), "sampling_params.regex cannot be used"),
            (request(grammar="start: x"), "sampling_params.grammar cannot be used"),
            (request(structural_tag="{}"), "sampling_params.structural_tag is given; allowed: none"),
            (request(prompt_logprobs=1), "sampling_params.prompt_logprobs is given; allowed: none"),
            (pb.GenerateRequest(), "input is missing; allowed: one of tokenized, text"),
        ):
            if not message:
                await answers(engine, call)
                continue
            error = await failure(engine.Generate(call))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert error.details().startswith(message), error.details()
        assert served.live() == 0

    run([model], ["m"], test)


def test_what_is_not_offered_says_so(model: Path) -> None:
    async def test(served: Served) -> None:
        engine = served.engines["m"]
        for call in (
            engine.SubscribeKvEvents(common.SubscribeKvEventsRequest()),
            engine.FlushCache(common.FlushCacheRequest()),
            engine.StartProfile(common.StartProfileRequest()),
            engine.StopProfile(common.StopProfileRequest()),
        ):
            error = await failure(call)
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "this server" in error.details()
        error = await failure(engine.Embed(pb.EmbedRequest(tokenized=pb.TokenizedInput(input_ids=IDS))))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "'m', which is for task generate" in error.details()

    run([model], ["m"], test)


def test_a_model_is_told_as_it_is(model: Path, embedder: Path) -> None:
    async def test(served: Served) -> None:
        found = await served.engines["m"].GetModelInfo(pb.GetModelInfoRequest())
        defaults = json.loads(found.default_sampling_params_json)
        assert defaults == {
            "temperature": 0.75,
            "top_k": 40,
            "top_p": 1.0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
        }
        assert (found.served_model_name, found.is_generation, found.vocab_size) == ("m", True, 262)
        assert (found.max_context_length, found.max_req_input_len) == (256, 255)
        assert list(found.eos_token_ids) == [EOS]
        assert not found.supports_vision
        other = await served.engines["e"].GetModelInfo(pb.GetModelInfoRequest())
        assert (other.is_generation, other.max_context_length, other.vocab_size) == (False, 256, 262)

    run([model, embedder], ["m", "e"], test)


@pytest.mark.parametrize("name", ["m", "e"])
def test_the_tokenizer_makes_the_same_tokens_elsewhere(model: Path, embedder: Path, name: str) -> None:
    async def test(served: Served) -> None:
        engine = served.engines[name]
        pieces = [piece async for piece in engine.GetTokenizer(common.GetTokenizerRequest())]
        data = b"".join(piece.data for piece in pieces)
        assert [piece.sha256 for piece in pieces] == [""] * (len(pieces) - 1) + [hashlib.sha256(data).hexdigest()]
        assert max(len(piece.data) for piece in pieces) <= PIECE
        again = [piece async for piece in engine.GetTokenizer(common.GetTokenizerRequest())]
        assert again == pieces
        files = zipfile.ZipFile(io.BytesIO(data))
        assert sorted(files.namelist()) == ["config.json", "tokenizer.json", "tokenizer_config.json"]
        tokenizer = Tokenizer.from_str(files.read("tokenizer.json").decode())
        config = json.loads(files.read("tokenizer_config.json"))
        if name == "e":
            assert config["model_max_length"] == 256
            return
        chat = generation_pb2.Chat(messages=[generation_pb2.ChatMessage(role="user", content="grüße")])
        theirs = await served.tokenizer.Tokenize(models_pb2.TokenizeRequest(chat=chat))
        assert "add_generation_prompt" in config["chat_template"]
        rendered = "<|user|>grüße<|end|><|assistant|>"  # what the template says of it
        assert tokenizer.encode(rendered, add_special_tokens=False).ids == list(theirs.token_ids)
        assert config["eos_token"] == "<|end|>"
        assert json.loads(files.read("config.json"))["eos_token_id"] == [EOS]

    run([model, embedder], ["m", "e"], test)


def test_vectors_are_those_of_attendant_v1(embedder: Path, model: Path) -> None:
    async def test(served: Served) -> None:
        tokens = pb.TokenizedInput(input_ids=[9, 8, 7])
        found = await served.engines["e"].Embed(pb.EmbedRequest(request_id="x", tokenized=tokens))
        ids = generation_pb2.TokenIds(ids=[9, 8, 7])
        theirs = await served.encoding.Embed(
            encoding_pb2.EmbedRequest(model="e", inputs=[encoding_pb2.TextInput(token_ids=ids)])
        )
        assert list(found.embedding) == list(theirs.embeddings[0].values)
        assert (found.prompt_tokens, found.embedding_dim) == (3, 4)
        error = await failure(served.engines["e"].Generate(request()))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "'e', which is for task embed" in error.details()
        wrong = await failure(served.engines["e"].Embed(pb.EmbedRequest(tokenized=pb.TokenizedInput(input_ids=[999]))))
        assert wrong.details().startswith("tokenized.input_ids[0] has 999")
        load = (await served.engines["e"].GetLoads(pb.GetLoadsRequest())).loads[0]
        assert (load.num_running_reqs, load.num_waiting_reqs) == (0, 0)
        assert load.max_running_requests > 0
        assert (await served.engines["e"].GetServerInfo(pb.GetServerInfoRequest())).active_requests == 0

    run([embedder, model], ["e", "m"], test)


def test_a_port_follows_its_model_and_no_other(model: Path, embedder: Path) -> None:
    async def test(served: Served) -> None:
        engine = served.engines["m"]
        assert (await engine.HealthCheck(pb.HealthCheckRequest())).healthy
        for service in ("", SERVICE):
            assert await served.is_serving("m", service)
        await served.front_end.models.unload("m", 0)
        for service in ("", SERVICE):
            assert not await served.is_serving("m", service)
        assert await served.is_serving("e")
        for call in (
            engine.Generate(request()),
            engine.HealthCheck(pb.HealthCheckRequest()),
            engine.GetModelInfo(pb.GetModelInfoRequest()),
            engine.GetServerInfo(pb.GetServerInfoRequest()),
            engine.GetLoads(pb.GetLoadsRequest()),
            engine.GetTokenizer(common.GetTokenizerRequest()),
        ):
            assert (await failure(call)).code() is grpc.StatusCode.NOT_FOUND
        await engine.Abort(pb.AbortRequest(request_ids=["a"]))
        await served.front_end.models.load(model)
        assert await served.is_serving("m", SERVICE)
        tokens, _ = await answers(engine, request())
        assert len(tokens[0]) == 8

    run([model, embedder], ["m", "e"], test)


def test_a_model_that_leaves_ends_its_calls_and_its_port_says_so(endless: Path, embedder: Path) -> None:
    async def test(served: Served) -> None:
        engine = served.engines["endless"]
        call = engine.Generate(request(max_tokens=190_000))
        await call.read()
        leaving = asyncio.ensure_future(served.front_end.models.unload("endless", 60))
        while (await engine.HealthCheck(pb.HealthCheckRequest())).healthy:
            await asyncio.sleep(0.005)
        for refused in (engine.Generate(request()), engine.GetLoads(pb.GetLoadsRequest())):
            assert (await failure(refused)).code() is grpc.StatusCode.UNAVAILABLE
        assert await call.read()
        call.cancel()
        await leaving

    run([endless, embedder], ["endless"], test)


def test_a_port_may_have_a_version_or_a_route(model: Path) -> None:
    async def test(served: Served) -> None:
        plain, _ = await answers(served.engines["m@1"], request())
        for name in ("m@1", "chat"):
            engine = served.engines[name]
            assert (await answers(engine, request()))[0] == plain
            info = await engine.GetModelInfo(pb.GetModelInfoRequest())
            assert (info.served_model_name, info.vocab_size) == (name, 262)
            assert (await engine.HealthCheck(pb.HealthCheckRequest())).healthy
            assert await served.is_serving(name, SERVICE)
            assert (await engine.GetLoads(pb.GetLoadsRequest())).loads[0].max_running_requests == 4
            assert [piece async for piece in engine.GetTokenizer(common.GetTokenizerRequest())]
        await served.front_end.models.unload("m", 0)
        assert not await served.is_serving("chat")
        found = await failure(served.engines["m@1"].GetModelInfo(pb.GetModelInfoRequest()))
        assert found.code() is grpc.StatusCode.NOT_FOUND

    run([model], ["m@1", "chat"], test, routes="routes:\n  chat: {kind: alias, model: m}\n")


def test_a_model_of_the_repository_may_come_later(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "r" / "m" / "3")

    async def test(served: Served) -> None:
        for name in ("m", "m@3"):
            assert not await served.is_serving(name)
            refused = await failure(served.engines[name].Generate(request()))
            assert refused.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)
        await served.front_end.repository.load("m")
        for name in ("m", "m@3"):
            assert await served.is_serving(name, SERVICE)
            tokens, _ = await answers(served.engines[name], request())
            assert len(tokens[0]) == 8
        await served.front_end.repository.unload("m")
        assert not await served.is_serving("m", SERVICE)

    run([], ["m", "m@3"], test, folder=tmp_path / "r")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "vllm_engine: there is no model 'nobody'; there are: 'c', 'm'"),
        ("c", "vllm_engine: 'c' can classify; allowed, of those that can continue or embed: 'm'"),
    ],
)
def test_a_port_without_a_model_is_a_mistake(model: Path, tmp_path: Path, name: str, message: str) -> None:
    classifier = make_text_encoder(tmp_path / "c", "classify", name="c")

    async def main() -> None:
        with pytest.raises(ConfigurationError) as caught:
            async with serving([model, classifier], "m", name):
                pass
        assert str(caught.value) == message

    asyncio.run(main())


def test_a_port_that_is_taken_is_named() -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ConfigurationError, match=rf":{port}: .* in use .* set grpc.host and vllm_engine"):
                EnginePorts(GrpcSettings(), [EnginePort(port=port, model="m")]).bind()

    asyncio.run(main())
