"""What Triton's client is told of requests that are wrong, take too long or are broken off; nothing of them stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.strangers.helpers import TEXTS, greedy, of_bytes
from tests.strangers.stranger import Stranger
from tests.system.server import LONG, ServerProcess, eventually

TEXT = {"text": of_bytes("fine")}
TRUE = np.array([True])
ENDLESS = {"text_input": of_bytes("hello"), "sampling_parameters": greedy(LONG, ignore_eos=True)}

WRONG: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "model": ({"model_name": "nobody", "inputs": TEXT}, "NOT_FOUND", ("nobody", "sentiment")),
    "version": ({"model_name": "sentiment", "model_version": "999", "inputs": TEXT}, "NOT_FOUND", ("999",)),
    "input": ({"model_name": "sentiment", "inputs": {"txt": of_bytes("a")}}, "INVALID_ARGUMENT", ("txt", "text")),
    "datatype": ({"model_name": "sentiment", "inputs": {"text": np.zeros(1)}}, "INVALID_ARGUMENT", ("FP64", "BYTES")),
    "shape": (
        {"model_name": "sentiment", "inputs": {"text": of_bytes("a", "b").reshape(1, 1, 2)}},
        "INVALID_ARGUMENT",
        ("text", "shape"),
    ),
    "no input": ({"model_name": "sentiment", "inputs": {}}, "INVALID_ARGUMENT", ("text",)),
    "output": (
        {"model_name": "sentiment", "inputs": TEXT, "outputs": ["lable"]},
        "INVALID_ARGUMENT",
        ("lable", "label"),
    ),
    "parameter": (
        {"model_name": "sentiment", "inputs": TEXT, "parameters": {"topk": 1}},
        "INVALID_ARGUMENT",
        ("topk", "top_k"),
    ),
    "value": (
        {"model_name": "sentiment", "inputs": TEXT, "parameters": {"top_k": "two"}},
        "INVALID_ARGUMENT",
        ("top_k", "two"),
    ),
    "classification": (
        {"model_name": "sentiment", "inputs": TEXT, "outputs": [["label", 3]]},
        "INVALID_ARGUMENT",
        ("classification",),
    ),
    "sequence": ({"model_name": "sentiment", "inputs": TEXT, "sequence_id": 5}, "INVALID_ARGUMENT", ("sequence_id",)),
    "sampling": (
        {"model_name": "demo", "inputs": {"text_input": of_bytes("a"), "sampling_parameters": of_bytes("{")}},
        "INVALID_ARGUMENT",
        ("sampling_parameters",),
    ),
    "stream": (
        {"model_name": "demo", "inputs": {"text_input": of_bytes("a"), "stream": TRUE}},
        "UNIMPLEMENTED",
        ("ModelStreamInfer",),
    ),
    "mask": (
        {
            "model_name": "vectors",
            "inputs": {"input_ids": np.array([[5, 6, 7]]), "attention_mask": np.array([[1, 0, 1]])},
        },
        "INVALID_ARGUMENT",
        ("attention_mask",),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_name(triton: Stranger, case: str) -> None:
    request, status, words = WRONG[case]
    found = triton.ask("infer", **request)
    assert found.get("status") == f"StatusCode.{status}", found
    assert all(word in found["error"] for word in words), found["error"]


def test_asyncio_is_told_the_same(triton_aio: Stranger, triton: Stranger) -> None:
    request, _, _ = WRONG["input"]
    assert triton_aio.ask("infer", **request) == triton.ask("infer", **request)


def test_a_stream_goes_on_after_a_request_that_fails(triton: Stranger) -> None:
    good = {"model_name": "sentiment", "inputs": TEXT}
    bad, _, words = WRONG["input"]
    found = triton.ask("stream", requests=[good, bad, good])
    assert ["error" in each for each in found] == [False, True, False]
    assert found[1]["status"] is None, "it is an error_message"
    assert all(word in found[1]["error"] for word in words)


def test_a_stream_ends_with_the_status_if_that_is_asked_for(triton: Stranger) -> None:
    bad, status, words = WRONG["model"]
    good = {"model_name": "sentiment", "inputs": TEXT}
    found = triton.ask("stream", requests=[good, bad], headers={"triton_grpc_error": "true"})
    assert found[-1]["status"] == f"StatusCode.{status}"
    assert all(word in found[-1]["error"] for word in words)


def test_time_that_runs_out_is_a_deadline(server: ServerProcess, triton: Stranger) -> None:
    whole = {"model_name": "slow", "inputs": ENDLESS}
    assert triton.ask("infer", **whole, client_timeout=0.05)["status"] == "StatusCode.DEADLINE_EXCEEDED"
    assert triton.ask("infer", **whole, timeout=50_000)["status"] == "StatusCode.DEADLINE_EXCEEDED"
    eventually(server.is_idle)


def test_a_call_that_is_cancelled_ends_what_it_began(server: ServerProcess, triton: Stranger) -> None:
    found = triton.ask("infer_by_callback", model_name="slow", inputs=ENDLESS, cancel=True)
    assert found["status"] == "StatusCode.CANCELLED"
    eventually(server.is_idle)


def test_a_stream_that_is_stopped_ends_what_it_began(server: ServerProcess, triton: Stranger) -> None:
    before = server.arrived()
    request = {"model_name": "slow", "inputs": {**ENDLESS, "stream": TRUE}}
    found = triton.ask("stream", requests=[request, request], cancel_after=3)
    assert found[-1]["status"] == "StatusCode.CANCELLED"
    assert not any("error" in each for each in found[:3])
    eventually(lambda: server.arrived() == before + 2)  # a page that is made while they end may miss both
    eventually(server.is_idle)


def test_a_stream_of_asyncio_that_is_cancelled_ends_what_it_began(server: ServerProcess, triton_aio: Stranger) -> None:
    request = {"model_name": "slow", "inputs": {**ENDLESS, "stream": TRUE}}
    found = triton_aio.ask("stream", requests=[request], cancel_after=2)
    assert (len(found["found"]), found["ended"]) == (2, "CancelledError")
    eventually(server.is_idle)


def test_a_stream_has_a_time_limit(server: ServerProcess, triton: Stranger) -> None:
    request = {"model_name": "slow", "inputs": {**ENDLESS, "stream": TRUE}}
    *_, last = triton.ask("stream", requests=[request], stream_timeout=0.2)
    assert "deadline" in last["error"].lower(), last
    assert last["status"] in ("StatusCode.DEADLINE_EXCEEDED", None), "None: the server's clock was first"
    eventually(server.is_idle)


def test_after_all_that_it_answers(triton: Stranger) -> None:
    found = triton.ask("infer", model_name="sentiment", inputs={"text": of_bytes(*TEXTS)})
    assert found["outputs"]["label"].shape[0] == len(TEXTS)
