"""OpenVINO's logits, in an environment of its own: ``python openvino_logits.py MODEL THREADS``, which speaks as
``logits.py`` does. Imports nothing of ours.

The pipeline that ``decoders.py`` times gives no logits. Here its graph runs by itself: the same files with the same
transformation to paged attention, compiled with the same settings (bfloat16, activations quantised in groups of 32,
keys and values of 8 bits, all of them defaults), so that a prompt reads its keys and values back from the cache as
there.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import openvino as ov
from openvino._offline_transformations import paged_attention_transformation

_BLOCK = 32  # positions, on a CPU


class Paged:
    """A model with paged attention, and a cache for one text."""

    def __init__(self, folder: str, threads: int) -> None:
        core = ov.Core()
        model = core.read_model(f"{folder}/openvino_model.xml")
        paged_attention_transformation(model)
        compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads})
        self._request = compiled.create_infer_request()
        self._inputs = {place.any_name: place for place in compiled.inputs}

    def logits(self, tokens: list[int]) -> Any:
        """Those [tokens, vocabulary] of a text by itself, which is one prompt."""
        count = len(tokens)
        blocks = -(-count // _BLOCK)
        for name, place in self._inputs.items():
            if "_cache." in name:
                shape = [blocks, *(size.get_length() for size in list(place.partial_shape)[1:])]
                self._request.set_tensor(name, ov.Tensor(place.element_type, ov.Shape(shape)))
        feeds = {
            "input_ids": np.array(tokens, np.int64),
            "position_ids": np.arange(count, dtype=np.int64),
            "past_lens": np.zeros(1, np.int32),
            "subsequence_begins": np.array([0, count], np.int32),
            "block_indices": np.arange(blocks, dtype=np.int32),
            "block_indices_begins": np.array([0, blocks], np.int32),
            "max_context_len": np.array(count, np.int32),
        }
        for name, array in feeds.items():
            if name in self._inputs:
                self._request.set_tensor(name, ov.Tensor(array))
        self._request.infer()
        return self._request.get_tensor("logits").data.reshape(count, -1)


def main(model: str, threads: str) -> None:
    """Answer texts until standard input ends."""
    paged = Paged(model, int(threads))
    for line in sys.stdin:
        asked = json.loads(line)
        found = np.ascontiguousarray(paged.logits(asked["tokens"]), np.float32)
        np.save(asked["out"], found)
        print(json.dumps({"shape": found.shape}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
