"""The measurement of fairness, for seconds, against a server that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attendant_loadtest.fairness.__main__ import main

from tests.system.server import serving


def test_it_tells_how_long_light_clients_wait_and_what_each_gets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path / "log", "--demo") as server:
        short = ["--seconds", "0.5", "--warm-up", "0.1", "--requests", "20", "--light", "2", "--rate", "50"]
        assert main([server.grpc, "demo", *short, "--out", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    for part in ("alone", "beside"):
        assert found[part]["number"] > 0
        assert 0 < found[part]["server_p50_s"] <= found[part]["server_p99_s"]
        assert found[part]["server_p99_s"] <= found[part]["p99_s"], "what the clients see includes it"
        assert found[part]["clients_cores"] > 0
    assert found["beside"]["heavy_per_s"] > 0
    assert len(found["shares"]) == 3
    assert sum(found["shares"]) == pytest.approx(1)
    assert 1 / 3 <= found["index"] <= 1
    assert "Jain's index" in capsys.readouterr().out


def test_a_server_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["127.0.0.1:1", "demo"]) == 1
    assert "UNAVAILABLE" in capsys.readouterr().err
