"""A peer that generates, in an environment of its own: ``python decoders.py KIND MODEL THREADS``.

Reads workloads from standard input as lines of JSON and answers each with one. Imports nothing of ours: the environment
has only the peer. A workload has ``prompts`` (token ids), ``new_tokens`` (greedy, of every request exactly so many),
``batch`` and, for peers with continuous batching, ``arrivals``: seconds after the begin. The answer has ``wall_s``,
``generated`` and, with arrivals, ``first_token_ms``, from each arrival on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

Batch = Callable[[list[list[int]], int], int]  # prompts of one length, new tokens -> tokens generated
Workload = dict[str, Any]


def openvino(model: str, threads: int) -> Callable[[Workload], dict[str, Any]]:
    """Continuous batching of OpenVINO GenAI; all settings but these are its defaults."""
    import numpy as np
    import openvino as ov
    import openvino_genai as genai

    settings = genai.SchedulerConfig()
    settings.cache_size = 4
    settings.max_num_seqs = 64
    settings.max_num_batched_tokens = 2048
    settings.enable_prefix_caching = False
    pipeline = genai.ContinuousBatchingPipeline(model, settings, "CPU", {"INFERENCE_NUM_THREADS": threads}, {})

    def tensor(prompt: list[int]) -> Any:
        return ov.Tensor(np.array([prompt], np.int64))

    def run(workload: Workload) -> dict[str, Any]:
        config = genai.GenerationConfig()
        config.max_new_tokens = workload["new_tokens"]
        config.ignore_eos = True
        config.do_sample = False
        prompts = [tensor(prompt) for prompt in workload["prompts"]]
        started = time.perf_counter()
        if workload.get("arrivals"):
            first = _arriving(pipeline, prompts, config, workload["arrivals"])
            generated = len(prompts) * workload["new_tokens"]
            return {"wall_s": time.perf_counter() - started, "generated": generated, "first_token_ms": first}
        results = pipeline.generate(prompts, [config] * len(prompts))
        wall_s = time.perf_counter() - started
        return {"wall_s": wall_s, "generated": sum(len(result.m_generation_ids[0]) for result in results)}

    return run


def _arriving(pipeline: Any, prompts: list[Any], config: Any, arrivals: list[float]) -> list[float]:
    """Milliseconds from each arrival to its first token."""
    clock = time.perf_counter
    started, waiting, handles = clock(), list(enumerate(arrivals)), {}
    first: dict[int, float] = {}
    while len(first) < len(prompts) or pipeline.has_non_finished_requests():
        while waiting and clock() - started >= waiting[0][1]:
            index, _ = waiting.pop(0)
            handles[index] = pipeline.add_request(index, prompts[index], config)
        if not pipeline.has_non_finished_requests():
            time.sleep(max(0.0, waiting[0][1] - (clock() - started)))
            continue
        pipeline.step()
        for index, handle in handles.items():
            if index not in first and handle.can_read():
                handle.read()
                first[index] = (clock() - started - arrivals[index]) * 1e3
    return [first[index] for index in range(len(prompts))]


def genai(model: str, threads: int) -> Callable[[Workload], dict[str, Any]]:
    """Static batches of onnxruntime-genai; its Engine takes 4 requests a step on a CPU and is slower."""
    import onnxruntime_genai as og

    loaded = genai_model(model, threads)

    def batch(prompts: list[list[int]], new_tokens: int) -> int:
        parameters = og.GeneratorParams(loaded)
        length = len(prompts[0]) + new_tokens
        parameters.set_search_options(
            do_sample=False,
            max_length=length,
            min_length=length,
            batch_size=len(prompts),
        )
        generator = og.Generator(loaded, parameters)
        generator.append_tokens(prompts)
        while not generator.is_done():
            generator.generate_next_token()
        return sum(len(generator.get_sequence(row)) - len(prompt) for row, prompt in enumerate(prompts))

    return _in_batches(batch)


def genai_model(model: str, threads: int) -> Any:
    """A model of onnxruntime-genai that runs in so many threads."""
    from pathlib import Path

    import onnxruntime_genai as og

    path = Path(model) / "genai_config.json"
    config = json.loads(path.read_text())
    config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
    path.write_text(json.dumps(config))
    return og.Model(model)


def ctranslate2(model: str, threads: int) -> Callable[[Workload], dict[str, Any]]:
    """Static batches of CTranslate2."""
    import ctranslate2 as ct2

    generator = ct2.Generator(model, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads)
    with open(f"{model}/vocabulary.json", encoding="utf-8") as file:
        words = json.load(file)

    def batch(prompts: list[list[int]], new_tokens: int) -> int:
        results = generator.generate_batch(
            [[words[token] for token in prompt] for prompt in prompts],
            max_length=new_tokens,
            min_length=new_tokens,
            include_prompt_in_result=False,
            sampling_topk=1,
        )
        return sum(len(result.sequences_ids[0]) for result in results)

    return _in_batches(batch)


def transformers(model: str, threads: int) -> Callable[[Workload], dict[str, Any]]:
    """Static batches of transformers, float32."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    loaded = AutoModelForCausalLM.from_pretrained(model).eval()

    def batch(prompts: list[list[int]], new_tokens: int) -> int:
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            output = loaded.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
                do_sample=False,
            )
        return int(output.shape[1] - ids.shape[1]) * len(prompts)

    return _in_batches(batch)


def _in_batches(run: Batch) -> Callable[[Workload], dict[str, Any]]:
    def measure(workload: Workload) -> dict[str, Any]:
        prompts, size = workload["prompts"], workload["batch"]
        started, generated = time.perf_counter(), 0
        for first in range(0, len(prompts), size):
            generated += run(prompts[first : first + size], workload["new_tokens"])
        return {"wall_s": time.perf_counter() - started, "generated": generated}

    return measure


KINDS = {"openvino": openvino, "genai": genai, "ctranslate2": ctranslate2, "transformers": transformers}


def main(kind: str, model: str, threads: str) -> None:
    """Answer workloads until standard input ends."""
    measure = KINDS[kind](model, int(threads))
    for line in sys.stdin:
        print(json.dumps(measure(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
