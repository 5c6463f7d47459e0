"""A peer that says its logits, in an environment of its own: ``python logits.py KIND MODEL THREADS``.

Reads lines of JSON from standard input and answers each with one. Imports nothing of ours. A line has ``tokens``, a
text of its own, and ``out``, a file; the logits [tokens, vocabulary] of every position go there as float32
(``numpy.save``).
The settings are those of ``decoders.py``: what a peer lowers there by default, it lowers here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Logits = Callable[[list[int]], Any]  # tokens -> [tokens, vocabulary]


def genai(model: str, threads: int) -> Logits:
    """Token by token: the graph gives the logits of a run's last token only."""
    import onnxruntime_genai as og
    from decoders import genai_model  # type: ignore[import-not-found]  # beside this file

    loaded = genai_model(model, threads)

    def run(tokens: list[int]) -> Any:
        parameters = og.GeneratorParams(loaded)
        parameters.set_search_options(do_sample=False, max_length=len(tokens) + 1, batch_size=1)
        generator = og.Generator(loaded, parameters)
        rows = []
        for token in tokens:
            generator.append_tokens([token])
            rows.append(np.array(generator.get_output("logits"), np.float32).reshape(-1))
        return np.stack(rows)

    return run


def ctranslate2(model: str, threads: int) -> Logits:
    """One pass over all tokens."""
    import ctranslate2 as ct2

    generator = ct2.Generator(model, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads)

    def run(tokens: list[int]) -> Any:
        return np.array(generator.forward_batch([tokens]))[0]

    return run


def transformers(model: str, threads: int) -> Logits:
    """One pass over all tokens, in float32: the reference."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def run(tokens: list[int]) -> Any:
        with torch.inference_mode():
            return loaded(input_ids=torch.tensor([tokens])).logits[0].numpy()

    return run


KINDS = {"genai": genai, "ctranslate2": ctranslate2, "transformers": transformers}


def answer(logits: Logits) -> None:
    """Answer until standard input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        found = np.ascontiguousarray(logits(asked["tokens"]), np.float32)
        np.save(asked["out"], found)
        print(json.dumps({"shape": found.shape}), flush=True)


if __name__ == "__main__":
    answer(KINDS[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
