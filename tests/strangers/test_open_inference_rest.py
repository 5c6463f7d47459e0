"""Triton's and KServe's clients over HTTP have what attendant.v1 answers, to the bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from attendant_proto.v1 import encoding_pb2 as encoding
from attendant_proto.v1 import generation_pb2 as pb

from tests.strangers.environments import KSERVE, TRITON_HTTP
from tests.strangers.helpers import TEXTS, answer_of, encoders, greedy, labels_of, of_bytes, text_of
from tests.strangers.stranger import Stranger, stranger
from tests.strangers.test_triton_infers import PROMPT, TRUE, labels_in
from tests.synthetic_encoder import make_text_encoder
from tests.system.encoders import FLAGS, png
from tests.system.server import HANGS_S, ServerProcess, eventually, serving


def host_of(server: ServerProcess) -> str:
    return server.http.removeprefix("http://")


@pytest.fixture(scope="module")
def blocking(server: ServerProcess) -> Iterator[Stranger]:
    with stranger(TRITON_HTTP, "by_tritonclient_http.py", host_of(server)) as made:
        yield made


@pytest.fixture(scope="module")
def aio(server: ServerProcess) -> Iterator[Stranger]:
    with stranger(TRITON_HTTP, "by_tritonclient_http_aio.py", host_of(server)) as made:
        yield made


@pytest.fixture(scope="module")
def rest(server: ServerProcess) -> Iterator[Stranger]:
    with stranger(KSERVE, "by_kserve_rest.py", host_of(server)) as made:
        yield made


@pytest.fixture(params=["blocking", "aio"])
def either(request: pytest.FixtureRequest) -> Stranger:
    """Triton's client, and the one in asyncio."""
    made: Stranger = request.getfixturevalue(request.param)
    return made


@pytest.mark.parametrize("binary", [True, False])
def test_texts_are_classified(server: ServerProcess, either: Stranger, binary: bool) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes(*TEXTS)}, "request_id": "an id", "binary": binary}
    typed = labels_of(server, "sentiment", *TEXTS)
    found = either.ask("infer", **asked)
    assert labels_in(found) == typed
    assert (found["model_name"], found["id"], found["raw"]) == (
        "sentiment",
        "an id",
        {"label": True, "score": True, "index": True},
    )
    found = either.ask("infer", **asked, outputs={"score": False, "label": True})
    assert found["raw"] == {"score": False, "label": True}
    assert labels_in(found) == typed


def test_tokens_and_images(server: ServerProcess, either: Stranger) -> None:
    ids = np.array([[5, 6, 7, 8], [9, 10, 0, 0]], np.int64)
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    found = either.ask("infer", model_name="vectors", inputs=inputs)["outputs"]["embedding"]
    rows = [encoding.TextInput(token_ids={"ids": row}) for row in ([5, 6, 7, 8], [9, 10])]
    typed = encoders(server).Embed(encoding.EmbedRequest(model="vectors", inputs=rows), timeout=HANGS_S)
    assert found.tolist() == [list(each.values) for each in typed.embeddings]
    images = [png((250, 250, 250)), png((3, 2, 1))]
    found = either.ask("infer", model_name="images", inputs={"image": of_bytes(*images)})
    seen = encoders(server).ClassifyImage(encoding.ClassifyImageRequest(model="images", images=images), timeout=HANGS_S)
    assert labels_in(found) == [[(each.label, each.score) for each in row.labels] for row in seen.results]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_compressed_is_the_same(either: Stranger, coding: str) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes(*TEXTS * 20)}}
    both = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    assert labels_in(either.ask("infer", **asked, **both)) == labels_in(either.ask("infer", **asked))


def test_a_generator_answers_and_parameters_are_taken(server: ServerProcess, either: Stranger) -> None:
    inputs = {"text_input": of_bytes(PROMPT), "exclude_input_in_output": TRUE}
    by_input = either.ask("infer", model_name="demo", inputs={**inputs, "sampling_parameters": greedy()})
    options = {"parameters": {"temperature": 0, "max_tokens": 16}, "priority": 1, "timeout": 600_000_000}
    by_name = either.ask("infer", model_name="demo", inputs=inputs, **options, headers={"x-request-id": "one"})
    assert text_of([by_input]) == text_of([by_name]) == answer_of(server, "demo", PROMPT)


def test_many_at_once_and_by_bodies(blocking: Stranger) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes(*TEXTS)}}
    alone = labels_in(blocking.ask("infer", **asked))
    found = blocking.ask("infer_side_by_side", requests=[{**asked, "request_id": str(i)} for i in range(8)])
    assert [each["id"] for each in found] == [str(i) for i in range(8)]
    assert all(labels_in(each) == alone for each in found)
    assert labels_in(blocking.ask("infer_by_bodies", **asked)) == alone


def test_live_ready_and_what_there_is(either: Stranger) -> None:
    assert either.ask("call", method="is_server_live") is True
    assert either.ask("call", method="is_server_ready") is True
    assert either.ask("call", method="is_model_ready", model_name="sentiment") is True
    assert either.ask("call", method="is_model_ready", model_name="sentiment", model_version="1") is True
    assert either.ask("call", method="is_model_ready", model_name="no body/or two") is False
    assert "binary_tensor_data" in either.ask("call", method="get_server_metadata")["extensions"]
    found = either.ask("call", method="get_model_metadata", model_name="sentiment", model_version="1")
    assert {"name": "text", "datatype": "BYTES", "shape": [-1]} in found["inputs"]
    config = either.ask("call", method="get_model_config", model_name="demo")
    assert config["model_transaction_policy"] == {"decoupled": True}
    (stats,) = either.ask("call", method="get_inference_statistics", model_name="sentiment")["model_stats"]
    assert stats["inference_stats"]["success"]["count"] > 0
    states = {each["name"]: each["state"] for each in either.ask("call", method="get_model_repository_index")}
    assert states["sentiment"] == states["slow"] == "READY"


def test_settings(either: Stranger) -> None:
    before = either.ask("call", method="get_log_settings")
    assert either.ask("call", method="update_log_settings", settings={"log_verbose_level": 1})["log_verbose_level"] == 1
    assert either.ask("call", method="update_log_settings", settings=before) == before
    assert either.ask("call", method="get_trace_settings")["trace_level"] == ["OFF"]
    refused = either.ask("call", method="update_trace_settings", settings={"trace_rate": "5"})
    assert (refused["status"], "traces.enabled" in refused["error"]) == ("403", True)


def test_what_is_not_offered_says_so(either: Stranger) -> None:
    for method, arguments in (
        ("get_system_shared_memory_status", {}),
        ("get_cuda_shared_memory_status", {"region_name": "a b"}),
        ("register_system_shared_memory", {"name": "a", "key": "/a", "byte_size": 8}),
        ("unregister_system_shared_memory", {}),
        ("unregister_cuda_shared_memory", {"name": "a"}),
    ):
        found = either.ask("call", method=method, **arguments)
        assert (found["status"], found["error"][:19]) == ("501", "no memory is shared")


def test_what_is_wrong_is_told_with_its_status(either: Stranger) -> None:
    fine = {"text": of_bytes("fine")}
    endless = {"text_input": of_bytes("a"), "sampling_parameters": greedy(8000)}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"model_name": "nobody", "inputs": fine}, "404", "no model named 'nobody'"),
        ({"model_name": "sentiment", "inputs": fine, "model_version": "9"}, "404", "no model named 'sentiment@9'"),
        ({"model_name": "sentiment", "inputs": {"txt": of_bytes("a")}}, "400", "inputs[txt] is not an input"),
        ({"model_name": "sentiment", "inputs": {"text": np.array([1.5], np.float16)}}, "400", "inputs[text].datatype"),
        ({"model_name": "sentiment", "inputs": fine, "outputs": ["none"]}, "400", "outputs[none] is not an output"),
        ({"model_name": "sentiment", "inputs": fine, "parameters": {"top": 1}}, "400", "parameters[top] is not known"),
        ({"model_name": "sentiment", "inputs": fine, "sequence_id": 5}, "400", "parameters[sequence_id] is set"),
        (
            {"model_name": "demo", "inputs": {"text_input": of_bytes("a"), "stream": TRUE}},
            "501",
            "inputs[stream] is true",
        ),
        (
            {
                "model_name": "slow",
                "inputs": endless,
                "timeout": 1000,
            },
            "504",
            "",
        ),
    ]
    for asked, status, words in cases:
        found = either.ask("infer", **asked)
        assert (found["status"], found["error"][: len(words)]) == (status, words)


def test_a_caller_who_leaves_ends_the_work(server: ServerProcess, aio: Stranger) -> None:
    endless = {"text_input": of_bytes("a"), "sampling_parameters": greedy(8000)}
    before = server.arrived()
    assert aio.ask("infer_and_leave", model_name="slow", inputs=endless, after_s=2) == "left"
    eventually(lambda: server.arrived() > before and server.is_idle())


def test_models_come_and_go(tmp_path: Path) -> None:
    made = make_text_encoder(tmp_path / "moods", "classify")
    for version in ("1", "2"):
        shutil.copytree(made, tmp_path / "models" / "moods" / version)
    words = ("--model-repository", tmp_path / "models", "--repository.control", "explicit", "--repository.load", "")
    with (
        serving(tmp_path / "log", *words, *FLAGS) as server,
        stranger(TRITON_HTTP, "by_tritonclient_http.py", host_of(server)) as client,
    ):
        asked: dict[str, Any] = {"model_name": "moods", "inputs": {"text": of_bytes("fine")}}
        assert client.ask("infer", **asked)["status"] == "404"
        assert client.ask("call", method="load_model", model_name="moods") is None
        assert client.ask("infer", **asked)["model_version"] == "2"
        assert client.ask("call", method="load_model", model_name="moods@1") is None
        assert client.ask("infer", **asked, model_version="1")["model_version"] == "1"
        refused = client.ask("call", method="load_model", model_name="moods", config="{}")
        assert (refused["status"], refused["error"][:18]) == ("400", "parameters[config]")
        assert client.ask("call", method="unload_model", model_name="moods") is None
        assert client.ask("call", method="is_model_ready", model_name="moods") is False
        refused = client.ask("call", method="unload_model", model_name="moods", unload_dependents=True)
        assert refused["status"] == "400"


@pytest.mark.parametrize("binary", [True, False])
def test_kserve_infers(server: ServerProcess, rest: Stranger, binary: bool) -> None:
    found = rest.ask(
        "infer", model_name="sentiment", inputs={"text": of_bytes(*TEXTS)}, binary=binary, request_id="an id"
    )
    typed = labels_of(server, "sentiment", *TEXTS)
    assert found["outputs"]["score"].astype(np.float32).tolist() == [[score for _, score in row] for row in typed]
    assert (found["id"], found["model_name"]) == ("an id", "sentiment")
    ids = np.array([[5, 6, 7, 8], [9, 10, 0, 0]], np.int64)
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    both = rest.ask("infer", model_name="vectors", inputs=inputs, binary=binary, outputs=["embedding"])
    alone = rest.ask("infer", model_name="vectors", inputs={"input_ids": ids[1:, :2]}, binary=binary)
    assert both["outputs"]["embedding"][1].tolist() == alone["outputs"]["embedding"][0].tolist()


def test_kserve_asks_and_is_refused(rest: Stranger) -> None:
    assert rest.ask("call", method="is_server_live") is True
    assert rest.ask("call", method="is_server_ready") is True
    assert rest.ask("call", method="is_model_ready", model_name="sentiment") is True
    assert rest.ask("call", method="is_model_ready", model_name="nobody") is False
    found = rest.ask("infer", model_name="sentiment", inputs={"txt": of_bytes("a")}, binary=False)
    assert (found["status"], "inputs[txt] is not an input" in found["error"]) == (400, True)
    assert rest.ask("infer", model_name="nobody", inputs={"text": of_bytes("a")}, binary=True)["status"] == 404


def flat(server: ServerProcess, path: str, body: dict[str, Any]) -> httpx.Response:
    """The answer to a body of Triton's generate extension, by a client that knows nothing of it."""
    return httpx.post(f"{server.http}/v2/models/{path}", json=body, timeout=HANGS_S, trust_env=False)


def test_a_plain_client_generates(server: ServerProcess) -> None:
    messages = [{"role": "user", "content": PROMPT}]
    typed = answer_of(server, "demo", chat=pb.Chat(messages=[pb.ChatMessage(role="user", content=PROMPT)]))
    asked: dict[str, Any] = {"chat": messages, "parameters": {"temperature": 0, "max_tokens": 16}}
    assert flat(server, "demo/generate", asked).json()["text_output"] == typed
    streamed = flat(server, "demo/generate_stream", asked)
    events = [json.loads(line.removeprefix("data: ")) for line in streamed.text.splitlines() if line]
    assert "".join(event["text_output"] for event in events) == typed
    choice = {"text_input": PROMPT, "exclude_input_in_output": True, "structured_outputs": {"choice": ["yes", "no"]}}
    assert flat(server, "demo/generate", choice).json()["text_output"] in ("yes", "no")
    text = {"text_input": "two red birds", "temperature": 0, "max_tokens": 32}
    assert flat(server, "translator/generate", text).json()["text_output"] == answer_of(
        server, "translator", "two red birds", max_tokens=32
    )
