"""Triton's client asks encoders and generators, and has what attendant.v1 answers, to the bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from attendant_proto.v1 import encoding_pb2 as encoding
from attendant_proto.v1 import generation_pb2 as pb

from tests.strangers.helpers import TEXTS, answer_of, encoders, greedy, labels_of, of_bytes, text_of
from tests.strangers.stranger import Stranger
from tests.system.encoders import png
from tests.system.server import HANGS_S, ServerProcess

PROMPT = "Where is my order?"
TRUE = np.array([True])


def labels_in(answer: dict[str, Any]) -> list[list[tuple[str, float]]]:
    """Labels and scores of an answer of a classifier."""
    outputs = answer["outputs"]
    assert outputs["score"].dtype == np.float32
    rows = zip(outputs["label"].tolist(), outputs["score"].tolist(), strict=True)
    return [[(label.decode(), score) for label, score in zip(*row, strict=True)] for row in rows]


def test_texts_are_classified(server: ServerProcess, triton: Stranger) -> None:
    found = triton.ask("infer", model_name="sentiment", inputs={"text": of_bytes(*TEXTS)}, request_id="an id")
    assert labels_in(found) == labels_of(server, "sentiment", *TEXTS)
    assert (found["model_name"], found["id"], found["raw"]) == ("sentiment", "an id", True)
    assert found["types"]["label"] == "BYTES"


def test_only_outputs_that_are_asked_for_come_in_that_order(triton: Stranger) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes("fine")}}
    assert list(triton.ask("infer", **asked, outputs=["score"])["outputs"]) == ["score"]
    assert list(triton.ask("infer", **asked, outputs=["score", "label"])["outputs"]) == ["score", "label"]


def test_who_asks_for_all_that_metadata_tells_gets_what_there_is(triton: Stranger) -> None:
    metadata = triton.ask("call", method="get_model_metadata", model_name="vectors", as_json=True)
    every = [output["name"] for output in metadata["outputs"]]
    asked = {"model_name": "vectors", "inputs": {"text": of_bytes("fine")}}
    assert len(every) > 1
    assert list(triton.ask("infer", **asked, outputs=every)["outputs"]) == ["embedding"]
    assert "count" in triton.ask("infer", **asked, outputs=["count"])["error"], "one that is named alone is missed"


def test_texts_are_embedded(server: ServerProcess, triton: Stranger) -> None:
    found = triton.ask("infer", model_name="vectors", inputs={"text": of_bytes(*TEXTS)})["outputs"]["embedding"]
    request = encoding.EmbedRequest(model="vectors", inputs=[encoding.TextInput(text=text) for text in TEXTS])
    typed = [list(each.values) for each in encoders(server).Embed(request, timeout=HANGS_S).embeddings]
    assert found.dtype == np.float32
    assert found.tolist() == typed


def test_tokens_in_padding_are_embedded_as_they_are_alone(server: ServerProcess, triton: Stranger) -> None:
    ids = np.array([[5, 6, 7, 8], [9, 10, 0, 0]], np.int64)
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.int64)
    found = triton.ask("infer", model_name="vectors", inputs={"input_ids": ids, "attention_mask": mask})
    rows = [encoding.TextInput(token_ids=pb.TokenIds(ids=row)) for row in ([5, 6, 7, 8], [9, 10])]
    typed = encoders(server).Embed(encoding.EmbedRequest(model="vectors", inputs=rows), timeout=HANGS_S)
    assert found["outputs"]["embedding"].tolist() == [list(each.values) for each in typed.embeddings]


def test_images_are_classified(server: ServerProcess, triton: Stranger) -> None:
    images = [png((250, 250, 250)), png((3, 2, 1))]
    found = triton.ask("infer", model_name="images", inputs={"image": of_bytes(*images)})
    request = encoding.ClassifyImageRequest(model="images", images=images)
    typed = encoders(server).ClassifyImage(request, timeout=HANGS_S)
    assert labels_in(found) == [[(each.label, each.score) for each in row.labels] for row in typed.results]


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_what_is_compressed_is_the_same(triton: Stranger, compression: str) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes(*TEXTS)}}
    plain, small = triton.ask("infer", **asked), triton.ask("infer", **asked, compression_algorithm=compression)
    assert labels_in(small) == labels_in(plain)


def test_parameters_are_those_of_the_typed_call(triton: Stranger) -> None:
    found = triton.ask("infer", model_name="sentiment", inputs={"text": of_bytes(*TEXTS)}, parameters={"top_k": 1})
    assert found["outputs"]["label"].shape == (2, 1)


def test_a_request_has_a_priority_a_timeout_and_headers(triton: Stranger) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes("fine")}}
    terms = {"priority": 1, "timeout": 600_000_000, "client_timeout": HANGS_S, "headers": {"x-request-id": "one"}}
    assert labels_in(triton.ask("infer", **asked, **terms)) == labels_in(triton.ask("infer", **asked))


def test_an_answer_comes_by_callback(triton: Stranger) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes("fine")}}
    assert labels_in(triton.ask("infer_by_callback", **asked)) == labels_in(triton.ask("infer", **asked))


def test_a_generator_gives_its_whole_answer(server: ServerProcess, triton: Stranger) -> None:
    inputs = {"text_input": of_bytes(PROMPT), "sampling_parameters": greedy(), "exclude_input_in_output": TRUE}
    found = triton.ask("infer", model_name="demo", inputs=inputs, outputs=["text_output"])
    assert text_of([found]) == answer_of(server, "demo", PROMPT)
    inputs.pop("exclude_input_in_output")
    whole = triton.ask("infer", model_name="demo", inputs=inputs, outputs=["text_output"])
    assert text_of([whole]) == PROMPT + text_of([found]), "as Triton's vLLM backend has it"


def test_a_generator_streams(server: ServerProcess, triton: Stranger) -> None:
    inputs = {"text_input": of_bytes(PROMPT), "sampling_parameters": greedy(), "stream": TRUE}
    request = {"model_name": "demo", "inputs": inputs, "request_id": "7", "enable_empty_final_response": True}
    *parts, last = triton.ask("stream", requests=[request])
    assert text_of(parts) == answer_of(server, "demo", PROMPT)
    assert {part["id"] for part in (*parts, last)} == {"7"}
    assert [part["parameters"]["triton_final_response"] for part in parts] == [False] * len(parts)
    assert last["parameters"]["triton_final_response"] is True
    assert not last["outputs"]


def test_requests_of_one_stream_are_answered_each_under_its_id(server: ServerProcess, triton: Stranger) -> None:
    prompts = {"a": "Where is my order?", "b": "I want to return a pair of shoes."}
    requests = [
        {
            "model_name": "demo",
            "request_id": name,
            "inputs": {"text_input": of_bytes(text), "sampling_parameters": greedy(), "stream": TRUE},
        }
        for name, text in prompts.items()
    ]
    parts = triton.ask("stream", requests=requests)
    for name, text in prompts.items():
        assert text_of(part for part in parts if part["id"] == name) == answer_of(server, "demo", text)


def test_an_encoder_answers_over_a_stream_too(triton: Stranger) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes(*TEXTS)}}
    (found,) = triton.ask("stream", requests=[{**asked, "request_id": "1"}])
    assert labels_in(found) == labels_in(triton.ask("infer", **asked))
    assert found["parameters"]["triton_final_response"] is True


def test_a_chat_is_rendered_as_attendant_v1_does_it(server: ServerProcess, triton: Stranger) -> None:
    messages: list[Any] = [{"role": "user", "content": PROMPT}]
    inputs = {"chat": of_bytes(json.dumps(messages)), "sampling_parameters": greedy()}
    found = triton.ask("infer", model_name="demo", inputs=inputs, outputs=["text_output"])
    chat = pb.Chat(messages=[pb.ChatMessage(**message) for message in messages])
    assert text_of([found]) == answer_of(server, "demo", chat=chat)


def test_a_translator_translates(server: ServerProcess, triton: Stranger) -> None:
    text = "two red birds"
    inputs = {"text_input": of_bytes(text), "sampling_parameters": greedy(max_tokens=32)}
    found = triton.ask("infer", model_name="translator", inputs=inputs, outputs=["text_output"])
    assert text_of([found]) == answer_of(server, "translator", text, max_tokens=32)


def test_asyncio_has_the_same(server: ServerProcess, triton_aio: Stranger, triton: Stranger) -> None:
    asked = {"model_name": "sentiment", "inputs": {"text": of_bytes(*TEXTS)}, "request_id": "x"}
    assert labels_in(triton_aio.ask("infer", **asked)) == labels_in(triton.ask("infer", **asked))
    inputs = {"text_input": of_bytes(PROMPT), "sampling_parameters": greedy(), "stream": TRUE}
    found = triton_aio.ask("stream", requests=[{"model_name": "demo", "inputs": inputs, "request_id": "1"}])
    assert found["ended"] == ""
    assert text_of(found["found"]) == answer_of(server, "demo", PROMPT)
