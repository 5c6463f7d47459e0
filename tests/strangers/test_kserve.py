"""KServe's gRPC client: tensors raw and element by element, readiness, errors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.strangers.helpers import TEXTS, labels_of, of_bytes
from tests.strangers.stranger import Stranger
from tests.system.server import ServerProcess


def test_live_and_ready(kserve: Stranger) -> None:
    assert kserve.ask("call", method="is_server_live") is True
    assert kserve.ask("call", method="is_server_ready") is True
    assert kserve.ask("call", method="is_model_ready", model_name="sentiment") is True
    assert kserve.ask("call", method="is_model_ready", model_name="nobody") is False


@pytest.mark.parametrize("binary", [True, False])
def test_texts_are_classified(server: ServerProcess, kserve: Stranger, binary: bool) -> None:
    inputs = {"text": of_bytes(*TEXTS)}
    found = kserve.ask("infer", model_name="sentiment", inputs=inputs, binary=binary, request_id="an id")
    scores = found["outputs"]["score"]
    typed = labels_of(server, "sentiment", *TEXTS)
    assert scores.astype(np.float32).tolist() == [[score for _, score in row] for row in typed]
    assert found["id"] == "an id"


@pytest.mark.parametrize("binary", [True, False])
def test_tokens_are_embedded(kserve: Stranger, binary: bool) -> None:
    ids = np.array([[5, 6, 7, 8], [9, 10, 0, 0]], np.int64)
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    found = kserve.ask("infer", model_name="vectors", inputs=inputs, binary=binary, outputs=["embedding"])
    alone = kserve.ask("infer", model_name="vectors", inputs={"input_ids": ids[1:, :2]}, binary=True)
    assert found["outputs"]["embedding"][1].tolist() == alone["outputs"]["embedding"][0].tolist()


def test_what_is_wrong_is_refused_by_name(kserve: Stranger) -> None:
    found = kserve.ask("infer", model_name="sentiment", inputs={"txt": of_bytes("a")}, binary=True)
    assert found["status"] == "INVALID_ARGUMENT"
    assert "txt" in found["error"]
    assert (
        kserve.ask("infer", model_name="nobody", inputs={"text": of_bytes("a")}, binary=True)["status"] == "NOT_FOUND"
    )
