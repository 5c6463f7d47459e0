"""Programs that speak as peers do."""

from __future__ import annotations

import sys
from pathlib import Path

from attendant_loadtest.bench.peers.kinds import Kind, Package

WORKLOADS = """
import json, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    time.sleep(0.01)
    made = len(asked["prompts"]) * asked["new_tokens"]
    first = [5.0 + 5.0 * n for n in range(len(asked["arrivals"]))]
    print(json.dumps({"wall_s": 0.01 * asked["new_tokens"], "generated": made, "first_token_ms": first}), flush=True)
"""
LOGITS = """
import json, sys
import numpy as np
for line in sys.stdin:
    asked = json.loads(line)
    shape = len(asked["tokens"]), {vocabulary}
    logits = np.random.default_rng(sum(asked["tokens"])).standard_normal(shape)
    noise = np.random.default_rng(0).standard_normal(shape) * {noise}
    np.save(asked["out"], (logits + noise).astype(np.float32))
    print(json.dumps({{}}), flush=True)
"""
VOCABULARY = 262
"""Of the synthetic bundle."""


def logits_kind(noise: float) -> Kind:
    """A peer that answers workloads, and whose logits are the reference's with so much noise."""
    script = LOGITS.format(vocabulary=VOCABULARY, noise=noise)
    return Kind(
        Package("none", (), "."),
        None,
        lambda *_: (sys.executable, "-c", WORKLOADS),
        lambda *_: (sys.executable, "-c", script),
        bits=8,
        weights=("*.onnx",),
        arrives=True,
    )


def no_install(*_: object) -> Path:
    """This Python."""
    return Path(sys.executable)
