"""An export holds the weights in memory about once, whatever they pass through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from attendant_export.memory import give_back, set_aside
from attendant_export.source.folder import SourceFolder

from tests.bundles import make_llama_source

_LIBRARIES_MB = 650  # torch, transformers, onnxscript and the graphs of a trace
_PROGRAM = """
import re, sys
from pathlib import Path
from attendant_export.cli import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak")
def test_a_float32_export_needs_the_libraries_and_twice_the_weights(tmp_path: Path) -> None:
    source = make_llama_source(
        tmp_path / "source",
        hidden_size=1024,
        intermediate_size=4096,
        num_attention_heads=8,
        num_key_value_heads=4,
        vocab_size=16_000,
    )
    weights_mb = (source / "model.safetensors").stat().st_size / 1e6
    assert weights_mb > 200

    command = [sys.executable, "-c", _PROGRAM, str(source), str(tmp_path / "bundle"), "--precision", "fp32"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    peak_mb = int(done.stdout.splitlines()[-1]) / 1e3
    assert peak_mb < _LIBRARIES_MB + 2 * weights_mb


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for what is mapped")
def test_weights_set_aside_are_read_again_and_changed_ones_stay(tmp_path: Path) -> None:
    make_llama_source(tmp_path, hidden_size=256, intermediate_size=512)
    model = SourceFolder(tmp_path).pretrained("AutoModelForCausalLM")
    before = [weight.detach().clone() for weight in model.parameters()]
    size = sum(weight.nbytes for weight in model.parameters())
    assert set_aside(model) > 0.9 * size
    assert all(torch.equal(weight, old) for weight, old in zip(model.parameters(), before, strict=True))

    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    assert set_aside(model) == 0
    assert all(torch.equal(weight, old + 1) for weight, old in zip(model.parameters(), before, strict=True))


def test_memory_can_be_given_back_at_any_time() -> None:
    give_back(1 << 30)
