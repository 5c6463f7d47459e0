"""Triton's perf_analyzer measures an encoder and the streams of a generator."""

from __future__ import annotations

import json
from pathlib import Path

from tests.strangers.helpers import TEXTS
from tests.strangers.perf_analyzer import QUICK, input_data, responses, rows
from tests.system.server import ServerProcess

TOKENS = 8


def test_an_encoder_at_several_concurrencies(server: ServerProcess, tmp_path: Path) -> None:
    data = input_data(tmp_path, *({"text": text} for text in TEXTS))
    found = rows(server.grpc, "sentiment", "--input-data", str(data), "--concurrency-range", "1:3:2", *QUICK)
    assert sorted(row["Concurrency"] for row in found) == [1, 3]
    assert all(row["Inferences/Second"] > 0 for row in found)
    assert all(row["Server Compute Infer"] > 0 for row in found), "it asks for statistics"


def test_streams_of_a_generator(server: ServerProcess, tmp_path: Path) -> None:
    sampling = json.dumps({"max_tokens": TOKENS, "temperature": 0, "ignore_eos": True})
    data = input_data(tmp_path, {"text_input": "hello", "stream": True, "sampling_parameters": sampling})
    found = responses(server.grpc, "slow", "--input-data", str(data), "--streaming", "--async", *QUICK)
    assert len(found) >= 20
    for begun, moments in found:
        assert 1 < len(moments) <= TOKENS + 2, "tokens may come together; two responses tell the end"
        assert begun < moments[0] <= moments[-1]
