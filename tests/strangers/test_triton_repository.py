"""Triton's client has models come and go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.strangers.environments import TRITON
from tests.strangers.helpers import of_bytes
from tests.strangers.stranger import Stranger, stranger
from tests.synthetic_encoder import make_text_encoder
from tests.system.encoders import FLAGS
from tests.system.server import serving


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Stranger]:
    """Of a server whose repository has two versions of ``moods``, none of which is loaded, and one that is broken."""
    made = make_text_encoder(tmp_path / "moods", "classify")
    for version in ("1", "2", "3"):
        shutil.copytree(made, tmp_path / "models" / "moods" / version)
    (tmp_path / "models" / "moods" / "3" / "bundle.json").write_text("{", encoding="utf-8")
    words = ("--model-repository", tmp_path / "models", "--repository.control", "explicit", "--repository.load", "")
    with (
        serving(tmp_path / "log", *words, *FLAGS) as server,
        stranger(TRITON, "by_tritonclient.py", server.grpc) as made_client,
    ):
        yield made_client


def states(client: Stranger) -> dict[str, str]:
    """Of each version of the model."""
    found = client.ask("call", method="get_model_repository_index", as_json=True)
    return {each["version"]: each["state"] for each in found["models"]}


def test_models_come_and_go(client: Stranger) -> None:
    asked: dict[str, Any] = {"model_name": "moods", "inputs": {"text": of_bytes("fine")}}
    assert set(states(client)) == {"1", "2", "3"}
    assert "READY" not in states(client).values()
    assert client.ask("infer", **asked)["status"] == "StatusCode.NOT_FOUND"

    assert client.ask("call", method="load_model", model_name="moods") is None
    assert states(client)["2"] == "READY", "the newest that can be loaded"
    assert client.ask("call", method="is_model_ready", model_name="moods", model_version="2") is True
    assert client.ask("call", method="is_model_ready", model_name="moods", model_version="1") is False
    found = client.ask("infer", **asked)
    assert found["model_version"] == "2"
    assert client.ask("infer", **asked, model_version="2")["outputs"]["score"].tolist() == (
        found["outputs"]["score"].tolist()
    )
    refused = client.ask("infer", **asked, model_version="1")
    assert refused["status"] == "StatusCode.NOT_FOUND"
    assert "moods@1" in refused["error"]
    metadata = client.ask("call", method="get_model_metadata", model_name="moods", as_json=True)
    assert metadata["versions"] == ["2"]

    assert client.ask("call", method="unload_model", model_name="moods") is None
    assert "READY" not in states(client).values()
    assert client.ask("call", method="is_model_ready", model_name="moods") is False
    again = client.ask("call", method="unload_model", model_name="moods")
    assert again["status"] == "StatusCode.NOT_FOUND"


def test_what_cannot_be_loaded_says_why(client: Stranger) -> None:
    found = client.ask("call", method="load_model", model_name="nobody")
    assert found["status"] == "StatusCode.NOT_FOUND"
    assert "moods" in found["error"]
    index = client.ask("call", method="get_model_repository_index", as_json=True)["models"]
    assert "bundle.json" in next(each["reason"] for each in index if each["version"] == "3")
    for more in ({"config": "{}"}, {"files": {"file:1/model.onnx": b"x"}, "config": "{}"}):
        refused = client.ask("call", method="load_model", model_name="moods", **more)
        assert refused["status"] == "StatusCode.INVALID_ARGUMENT", refused
        assert "parameters[" in refused["error"]
