"""OpenVINO as a peer that encodes, in its own environment: ``python encoders.py MODEL THREADS``, or, once before,
``python encoders.py convert FOLDER MODEL`` for a model in the Hugging Face format, in int8, activations included.

Speaks as ``decoders.py`` does; a workload has ``rows`` (token ids), how many are ``waiting`` at a time, and the
``batch`` size. ``sort``: the rows that wait are sorted by length, which costs padded batches least; they are batched in
the order of their arrival otherwise. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import openvino as ov

_CALIBRATION_ROWS, _CALIBRATION_TOKENS = 64, 128


def convert(folder: str, out: str) -> None:
    """Quantises products to int8, weights and activations, calibrated with random tokens as the workload's are."""
    import nncf
    from optimum.intel import OVModelForFeatureExtraction

    loaded = OVModelForFeatureExtraction.from_pretrained(folder, export=True, compile=False)
    model = loaded.model
    rng = np.random.default_rng(0)
    rows = [
        _inputs(model, [rng.integers(999, loaded.config.vocab_size, _CALIBRATION_TOKENS).tolist()])
        for _ in range(_CALIBRATION_ROWS)
    ]
    quantised = nncf.quantize(model, nncf.Dataset(rows), model_type=nncf.ModelType.TRANSFORMER)
    ov.save_model(quantised, out, compress_to_fp16=False)


def _inputs(model: Any, rows: list[list[int]]) -> dict[str, Any]:
    longest = max(map(len, rows))
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    return {value.get_any_name(): made[value.get_any_name()] for value in model.inputs}


def measure(compiled: Any, workload: dict[str, Any]) -> dict[str, Any]:
    """Runs a workload."""
    rows, waiting, batch = workload["rows"], workload["waiting"], workload["batch"]
    started = time.perf_counter()
    for first in range(0, len(rows), waiting):
        here = rows[first : first + waiting]
        if workload["sort"]:
            here = sorted(here, key=len)
        for begin in range(0, len(here), batch):
            compiled(_inputs(compiled, here[begin : begin + batch]))
    return {"wall_s": time.perf_counter() - started}


def main(path: str, threads: str) -> None:
    """Answer workloads until standard input ends."""
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": int(threads)})
    for line in sys.stdin:
        print(json.dumps(measure(compiled, json.loads(line))), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        convert(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
