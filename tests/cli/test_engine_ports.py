"""Ports with one model each, from each source of settings, and what wrong ones are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.core.errors import ConfigurationError
from attendant.settings import EnginePort

from tests.cli.test_settings import load

TWO = (EnginePort(port=50061, model="demo"), EnginePort(port=0, model="other@2"))


def test_flags_are_repeated_variables_have_commas_and_files_a_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load("--vllm-engine", "50061=demo", "--vllm-engine", "0=other@2").engine_ports() == TWO
    assert load("--vllm-engine", "50061=demo,0=other@2").engine_ports() == TWO
    file = tmp_path / "settings.yaml"
    file.write_text("vllm_engine:\n  50061: demo\n  0: other@2\n")
    assert load("--config", str(file)).engine_ports() == TWO
    file.write_text("vllm_engine: [0=a, 0=b]\n")
    assert [port.model for port in load("--config", str(file)).engine_ports()] == ["a", "b"]
    monkeypatch.setenv("ATTENDANT_VLLM_ENGINE", "50061=demo, 0=other@2")
    assert load().engine_ports() == TWO


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("demo", ["'demo'", "PORT=MODEL"]),
        ("x=demo", ["'x=demo'", "PORT=MODEL"]),
        ("70000=demo", ["'70000=demo'", "0 to 65535"]),
        ("50061=", ["'50061='", "PORT=MODEL"]),
        ("50061=a,50061=b", ["50061 twice", "one model for each"]),
    ],
)
def test_a_wrong_port_is_named(value: str, parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("--vllm-engine", value)
    for part in ("argument --vllm-engine", *parts):
        assert part in str(caught.value)
