"""Triton's client asks about server and models, and asks for what this server has otherwise or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.strangers.helpers import TEXTS, of_bytes
from tests.strangers.stranger import Stranger
from tests.system.server import ServerProcess


def test_live_and_ready(triton: Stranger, triton_aio: Stranger) -> None:
    for client in (triton, triton_aio):
        assert client.ask("call", method="is_server_live") is True
        assert client.ask("call", method="is_server_ready") is True
        assert client.ask("call", method="is_model_ready", model_name="sentiment") is True
        assert client.ask("call", method="is_model_ready", model_name="nobody") is False


def test_the_server_names_itself(triton: Stranger) -> None:
    found = triton.ask("call", method="get_server_metadata", as_json=True)
    assert found["name"] == "attendant"
    assert found["version"]
    assert {"model_repository", "statistics"} <= set(found["extensions"])
    assert not {"system_shared_memory", "cuda_shared_memory", "sequence"} & set(found["extensions"])


def test_a_model_says_what_it_takes_and_gives(triton: Stranger) -> None:
    found = triton.ask("call", method="get_model_metadata", model_name="sentiment", as_json=True)
    inputs = {each["name"]: each for each in found["inputs"]}
    assert inputs["text"]["datatype"] == "BYTES"
    assert {each["name"]: each["datatype"] for each in found["outputs"]}["score"] == "FP32"
    generator = triton.ask("call", method="get_model_metadata", model_name="demo", as_json=True)
    assert {"text_input", "stream", "sampling_parameters"} <= {each["name"] for each in generator["inputs"]}
    assert "text_output" in {each["name"] for each in generator["outputs"]}


def test_a_model_has_a_configuration(triton: Stranger) -> None:
    found = triton.ask("call", method="get_model_config", model_name="sentiment", as_json=True)["config"]
    assert found["name"] == "sentiment"
    assert {each["name"]: each["data_type"] for each in found["input"]}["text"] == "TYPE_STRING"
    assert "model_transaction_policy" not in found or not found["model_transaction_policy"].get("decoupled")
    generator = triton.ask("call", method="get_model_config", model_name="demo", as_json=True)["config"]
    assert generator["model_transaction_policy"]["decoupled"] is True, "perf_analyzer streams to such models only"


def test_statistics_count_what_was_asked(triton: Stranger) -> None:
    def count() -> tuple[int, int]:
        found = triton.ask("call", method="get_inference_statistics", model_name="sentiment", as_json=True)
        (model,) = found["model_stats"]
        return int(model.get("inference_count", 0)), int(model["inference_stats"]["success"].get("count", 0))

    before = count()
    triton.ask("infer", model_name="sentiment", inputs={"text": of_bytes(*TEXTS)})
    after = count()
    assert after[0] - before[0] == len(TEXTS)
    assert after[1] - before[1] >= 1
    every = triton.ask("call", method="get_inference_statistics", as_json=True)["model_stats"]
    assert {"demo", "sentiment", "slow"} <= {each["name"] for each in every}


def test_the_index_has_every_model(server: ServerProcess, triton: Stranger) -> None:
    found = triton.ask("call", method="get_model_repository_index", as_json=True)["models"]
    states = {each["name"]: each["state"] for each in found}
    assert states["sentiment"] == states["slow"] == "READY"


UNKNOWN = {
    "get_model_metadata": {"model_name": "nobody"},
    "get_model_config": {"model_name": "nobody"},
    "get_inference_statistics": {"model_name": "nobody"},
}


@pytest.mark.parametrize("method", UNKNOWN)
def test_a_model_that_is_not_there_is_not_found(triton: Stranger, method: str) -> None:
    found = triton.ask("call", method=method, **UNKNOWN[method])
    assert found["status"] == "StatusCode.NOT_FOUND"
    assert "nobody" in found["error"]
    assert "sentiment" in found["error"]


def test_models_do_not_come_and_go_without_a_repository(triton: Stranger, triton_aio: Stranger) -> None:
    for client in (triton, triton_aio):
        for method in ("load_model", "unload_model"):
            found = client.ask("call", method=method, model_name="sentiment")
            assert found["status"] in ("StatusCode.FAILED_PRECONDITION", "StatusCode.PERMISSION_DENIED"), found
            assert "model-repository" in found["error"] or "repository" in found["error"]
    assert triton.ask("call", method="is_model_ready", model_name="sentiment") is True


def test_what_is_logged_can_be_changed(triton: Stranger) -> None:
    def settings(**asked: Any) -> Any:
        method = "update_log_settings" if asked else "get_log_settings"
        found = triton.ask("call", method=method, as_json=True, **({"settings": asked} if asked else {}))
        return found if "error" in found else {k: next(iter(v.values())) for k, v in found["settings"].items()}

    before = settings()
    assert {"log_info", "log_warning", "log_error", "log_verbose_level"} <= set(before)
    changed = settings(log_verbose_level=1)
    assert changed["log_verbose_level"] == 1
    assert settings(log_verbose_level=0)["log_verbose_level"] == 0
    refused = settings(log_file="somewhere")
    assert refused["status"] == "StatusCode.INVALID_ARGUMENT"
    assert "log_file" in refused["error"]


def test_what_is_traced_is_told(triton: Stranger) -> None:
    found = triton.ask("call", method="get_trace_settings", as_json=True)
    assert "settings" in found
    refused = triton.ask("call", method="update_trace_settings", settings={"trace_file": "somewhere"})
    assert refused["status"] in ("StatusCode.INVALID_ARGUMENT", "StatusCode.FAILED_PRECONDITION")


@pytest.mark.parametrize("kind", ["system", "cuda"])
def test_memory_is_not_shared(triton: Stranger, kind: str) -> None:
    found = triton.ask("call", method=f"get_{kind}_shared_memory_status")
    assert found["status"] == "StatusCode.UNIMPLEMENTED"
