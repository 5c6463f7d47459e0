"""smg before our engines: OpenAI's and Anthropic's clients get what attendant.v1 gives, to the token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc
from attendant_proto.v1 import generation_pb2 as v1

from tests.strangers.gateway import WATCHFUL, Gateway, gateway
from tests.synthetic import make_slow_bundle, make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder
from tests.system.server import PATIENT, ServerProcess, eventually, serving
from tests.system.test_vllm_engine import ports_of

QUESTION = "Where is my parcel?"
MESSAGES = [{"role": "user", "content": QUESTION}]
FAST = ("--engine.threads", 1, "--no-engine.spinning", "--no-verify-bundles")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Three models behind ports of their own: the demo's, a slow one, and one that embeds."""
    folder = tmp_path_factory.mktemp("bundles")
    slow = make_slow_bundle(folder / "slow")
    embedder = make_text_encoder(folder / "e", "embed", name="e")
    ports = [word for model in ("demo", "slow", "e") for word in ("--vllm-engine", f"0={model}")]
    with serving(tmp_path_factory.mktemp("log") / "log", slow, embedder, "--demo", *ports, *FAST) as running:
        yield running


@pytest.fixture(scope="module")
def smg(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway before the one server."""
    with gateway(list(ports_of(server).values()), tmp_path_factory.mktemp("log") / "smg.log") as running:
        yield running


class Answer:
    """What attendant.v1 says to the question: texts and log-probabilities by index, and one end."""

    def __init__(self, server: ServerProcess, *, temperature: float = 0.0, seed: int = 0, **fields: Any) -> None:
        chat = v1.Chat(messages=[v1.ChatMessage(role="user", content=fields.pop("question", QUESTION))])
        stopping = v1.Stopping(max_tokens=fields.pop("max_tokens", 20), stop=fields.pop("stop", ()))
        sampling = v1.Sampling(temperature=temperature, seed=seed)
        self.texts: dict[int, str] = {}
        self.logprobs: list[float] = []
        self.tokens: list[str] = []
        request = v1.GenerateRequest(model="demo", chat=chat, sampling=sampling, stopping=stopping, **fields)
        for response in server.generation.Generate(request):
            self.texts[response.index] = self.texts.get(response.index, "") + response.text
            self.logprobs += [entry.logprob for entry in response.logprobs]
            self.tokens += [entry.text for entry in response.logprobs]
            if response.HasField("finish"):
                self.usage = response.finish.usage
                self.reason = response.finish.reason


def test_chat_is_attendant_v1s_to_the_token_and_its_log_probability(server: ServerProcess, smg: Gateway) -> None:
    expected = Answer(server, logprobs=2)
    found = smg.openai(
        "chat.completions.create",
        model="demo",
        messages=MESSAGES,
        temperature=0,
        max_tokens=20,
        logprobs=True,
        top_logprobs=2,
    )
    (choice,) = found["choices"]
    assert choice["message"]["content"] == expected.texts[0]
    entries = choice["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == expected.tokens
    logprobs = np.array([entry["logprob"] for entry in entries], np.float32)
    assert logprobs.tolist() == expected.logprobs
    assert [len(entry["top_logprobs"]) for entry in entries] == [2] * len(entries)
    assert choice["finish_reason"] == "length"
    assert found["usage"]["prompt_tokens"] == expected.usage.prompt_tokens
    assert found["usage"]["completion_tokens"] == expected.usage.completion_tokens == 20


def test_a_streamed_chat_is_the_same_and_has_its_usage(server: ServerProcess, smg: Gateway) -> None:
    expected = Answer(server, max_tokens=60)
    events = smg.openai(
        "chat.completions.create",
        model="demo",
        messages=MESSAGES,
        max_tokens=60,
        stream=True,
        stream_options={"include_usage": True},
    )  # without a temperature: the model's own is 0
    choices = [choice for event in events for choice in event["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == expected.texts[0]
    assert choices[-1]["finish_reason"] == "stop"
    assert events[-1]["usage"]["prompt_tokens"] == expected.usage.prompt_tokens
    assert expected.usage.completion_tokens - events[-1]["usage"]["completion_tokens"] in (0, 1)  # its end token


def test_several_answers_seeds_and_stop_strings(server: ServerProcess, smg: Gateway) -> None:
    sampled: dict[str, Any] = {"temperature": 2.0, "seed": 7, "n": 3, "max_tokens": 12}
    expected = Answer(server, **sampled)
    assert len(set(expected.texts.values())) > 1
    chats: list[Any] = [
        smg.openai("chat.completions.create", model="demo", messages=MESSAGES, **sampled),
        smg.openai("chat.completions.create", model="demo", messages=MESSAGES, stream=True, **sampled),
    ]
    assert {choice["index"]: choice["message"]["content"] for choice in chats[0]["choices"]} == expected.texts
    texts: dict[int, str] = {}
    for choice in [choice for event in chats[1] for choice in event["choices"]]:
        texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
    assert texts == expected.texts
    stopped = smg.openai("chat.completions.create", model="demo", messages=MESSAGES, stop=["parcel"])
    (choice,) = stopped["choices"]
    assert choice["message"]["content"] == Answer(server, stop=["parcel"], max_tokens=60).texts[0]
    assert (choice["finish_reason"], choice["matched_stop"]) == ("stop", "parcel")


@pytest.mark.parametrize("stream", [True, False])
def test_responses_and_messages(server: ServerProcess, smg: Gateway, stream: bool) -> None:
    text = Answer(server, max_tokens=12).texts[0]
    asked: dict[str, Any] = {"model": "demo", "max_output_tokens": 12, "temperature": 0, "stream": stream}
    found = smg.openai("responses.create", input=QUESTION, **asked)
    if stream:
        assert "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta") == text
        assert found[-1]["type"] in ("response.completed", "response.incomplete")
        found = found[-1]["response"]
    assert found["output"][0]["content"][0]["text"] == text
    assert (found["usage"]["input_tokens"], found["usage"]["output_tokens"]) == (8, 12)
    asked = {"model": "demo", "max_tokens": 12, "extra_body": {"temperature": 0}, "stream": stream}
    found = smg.anthropic("messages.create", messages=MESSAGES, **asked)
    if stream:
        deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
        assert "".join(delta["text"] for delta in deltas) == text
        (end,) = [event for event in found if event["type"] == "message_delta"]
        assert (end["delta"]["stop_reason"], end["usage"]["output_tokens"]) == ("max_tokens", 12)
    else:
        assert found["content"][0]["text"] == text
        assert (found["stop_reason"], found["usage"]["output_tokens"]) == ("max_tokens", 12)


def test_sixteen_at_once_are_each_as_alone(server: ServerProcess, smg: Gateway) -> None:
    questions = [f"Where is my parcel number {number}, and when does it come?" for number in range(16)]
    expected = [Answer(server, question=question, max_tokens=24).texts[0] for question in questions]
    calls = [
        {
            "client": "openai",
            "method": "chat.completions.create",
            "model": "demo",
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": 24,
        }
        for question in questions
    ]
    found = smg.ask("many", calls=calls)
    assert [each["choices"][0]["message"]["content"] for each in found] == expected


def test_a_client_that_leaves_frees_its_work(server: ServerProcess, smg: Gateway) -> None:
    ended = "request_success_total{finished_reason=cancelled}"
    before = server.metrics()[ended]
    assert smg.ask("leave", num_events=2, model="slow", messages=MESSAGES, max_tokens=8000, temperature=0) == 2
    eventually(lambda: server.metrics()[ended] == before + 1 and server.is_idle())


def test_vectors_are_attendant_v1s(server: ServerProcess, smg: Gateway) -> None:
    stub: Any = encoding_pb2_grpc.EncodingStub(server.channel)
    theirs = stub.Embed(encoding_pb2.EmbedRequest(model="e", inputs=[encoding_pb2.TextInput(text="hello")]))
    assert smg.ask("embedding", model="e", input="hello").tolist() == list(theirs.embeddings[0].values)


def test_a_format_holds_and_one_that_cannot_is_refused_by_its_name(smg: Gateway) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["yes", "no"]}, "number": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["answer", "number"],
        "additionalProperties": False,
        "x-guidance": {"whitespace_flexible": False},
    }

    def asked(schema: Any) -> Any:
        of_format = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        return smg.openai("chat.completions.create", model="demo", messages=MESSAGES, response_format=of_format)

    (choice,) = asked(schema)["choices"]
    assert choice["finish_reason"] == "stop"
    found = json.loads(choice["message"]["content"])
    assert found["answer"] in ("yes", "no")
    assert 1 <= found["number"] <= 9
    refused = asked({"not": {"type": "string"}})
    assert refused["status"] == 400
    assert "sampling_params.json_schema cannot be used" in refused["error"]["message"]


def test_three_servers_share_the_work_and_go_on_when_one_is_killed_and_one_ends_in_order(tmp_path: Path) -> None:
    bundle = make_synthetic_bundle(tmp_path / "m", name="m", eos_bias=-1e4)
    call = {
        "client": "openai",
        "method": "chat.completions.create",
        "model": "m",
        "messages": MESSAGES,
        "temperature": 0,
        "max_tokens": 8,
    }
    with ExitStack() as stack:
        flags = (bundle, "--vllm-engine", "0=m", "--lifecycle.drain-delay-s", 3, *FAST, *PATIENT)
        servers = [stack.enter_context(serving(tmp_path / f"log{i}", *flags)) for i in range(3)]
        engines = [ports_of(server)["m"] for server in servers]
        smg = stack.enter_context(gateway(engines, tmp_path / "smg.log", "--policy", "round_robin", *WATCHFUL))
        found = smg.ask("many", calls=[call] * 9)
        texts = {each["choices"][0]["message"]["content"] for each in found}
        assert len(texts) == 1
        assert [server.arrived() for server in servers] == [3, 3, 3]
        servers[1].process.kill()
        servers[1].wait()
        found = smg.ask("many", calls=[call] * 9)
        assert {each["choices"][0]["message"]["content"] for each in found} == texts
        assert servers[0].arrived() + servers[2].arrived() == 6 + 9
        servers[2].terminate()
        while servers[2].process.poll() is None:
            found += smg.ask("many", calls=[call] * 3)
        found += smg.ask("many", calls=[call] * 3)
        assert {each["choices"][0]["message"]["content"] for each in found} == texts
        assert servers[2].wait() == 0
