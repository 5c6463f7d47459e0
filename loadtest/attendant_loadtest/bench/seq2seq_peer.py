"""A peer of the encoder-decoder benchmark, in an environment of its own: ``python seq2seq_peer.py KIND MODEL THREADS``,
or, once before, ``python seq2seq_peer.py convert MODEL OUT`` for CTranslate2.

KIND is ctranslate2 or transformers. Reads workloads from standard input as lines of JSON and answers with the seconds
each took. Imports nothing of ours: the environment has only the peer. All requests of a workload are there from the
begin and of one answer length, so that static batches, sorted by length, lose nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Translate = Callable[[list[list[int]], int, int], int]  # sources, batch size, new tokens -> tokens generated


def ctranslate2(model: str, threads: int) -> Translate:
    """Greedy search of CTranslate2, int8."""
    import ctranslate2 as ct2

    translator = ct2.Translator(model, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads)

    def translate(sources: list[list[int]], batch: int, new_tokens: int) -> int:
        tokens = [[f"t{token}" for token in source] for source in sources]
        results = translator.translate_batch(
            tokens,
            max_batch_size=batch,
            beam_size=1,
            max_decoding_length=new_tokens,
            min_decoding_length=new_tokens,
        )
        return sum(len(result.hypotheses[0]) for result in results)

    return translate


def transformers(model: str, threads: int) -> Translate:
    """Greedy search of transformers, float32."""
    import torch
    from transformers import MarianMTModel

    torch.set_num_threads(threads)
    loaded = MarianMTModel.from_pretrained(model).eval()
    pad = loaded.config.pad_token_id

    def translate(sources: list[list[int]], batch: int, new_tokens: int) -> int:
        ordered, made = sorted(sources, key=len), 0
        for first in range(0, len(ordered), batch):
            rows = ordered[first : first + batch]
            longest = max(map(len, rows))
            ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
            mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
            with torch.inference_mode():
                output = loaded.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=new_tokens,
                    max_length=None,
                    min_new_tokens=new_tokens,
                    do_sample=False,
                    num_beams=1,
                )
            made += (output.shape[1] - 1) * len(rows)
        return made

    return translate


def convert(model: str, out: str) -> None:
    """The model folder as CTranslate2's in int8; ids are spelled ``t<id>``."""
    from ctranslate2.converters.transformers import MarianMTLoader
    from transformers import MarianMTModel

    loaded = MarianMTModel.from_pretrained(model).eval()
    spec = MarianMTLoader()(loaded, _Tokens(loaded.config.vocab_size - 1))  # the last is the padding
    spec.validate()
    spec.optimize(quantization="int8")
    Path(out).mkdir(parents=True)
    spec.save(out)


class _Tokens:
    """What the converter asks of a tokenizer."""

    eos_token, unk_token = "t0", "t1"

    def __init__(self, size: int) -> None:
        self._size = size

    def get_vocab(self) -> dict[str, int]:
        """Ids by token."""
        return {f"t{token}": token for token in range(self._size)}


KINDS: dict[str, Callable[[str, int], Translate]] = {"ctranslate2": ctranslate2, "transformers": transformers}


def main(kind: str, model: str, threads: str) -> None:
    """Answer workloads until standard input ends."""
    translate = KINDS[kind](model, int(threads))
    for line in sys.stdin:
        workload: dict[str, Any] = json.loads(line)
        started = time.perf_counter()
        made = translate(workload["prompts"], workload["batch"], workload["new_tokens"])
        print(json.dumps({"wall_s": time.perf_counter() - started, "generated": made}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        convert(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
