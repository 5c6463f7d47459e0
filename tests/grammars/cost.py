"""`python -m tests.grammars.cost [BUNDLE]` measures what grammars cost: the time of a step of sixteen answers without
one, with one in one of them, and with one in all, in turns, as the ratio of medians. Without a bundle, of a tiny model
with 151,936 words: two layers as wide as those of Qwen2.5-0.5B, which has 24."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from attendant.bundle import read_manifest
from attendant.core.grammar import Grammar
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.grammars.compiled import CompiledGrammar, GrammarLimits
from attendant.grammars.rule import GrammarRule
from attendant.grammars.words import GrammarWords
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tests.synthetic import SPECIAL, make_synthetic_bundle

NUM_ANSWERS, PROMPT, LENGTH, ROUNDS = 16, 24, 24, 4
SETTINGS = EngineSettings(
    prefix_cache=False,
    max_num_seqs=NUM_ANSWERS,
    max_num_batched_tokens=NUM_ANSWERS * (PROMPT + 1),
    max_context_length=256,
)
SCHEMA = (
    '{"type": "array", "minItems": 99, "items": {"type": "object", "properties": {"name": {"type": "string"}, '
    '"age": {"type": "integer"}, "size": {"type": "number"}, "kind": {"enum": ["one", "two", "three"]}, '
    '"tags": {"type": "array", "items": {"type": "string"}}}, "required": ["name", "age", "size", "kind", "tags"], '
    '"additionalProperties": false}}'
)
WAYS = {
    "greedy": SamplingParams(LENGTH, ignore_eos=True),
    "sampled": SamplingParams(LENGTH, temperature=0.8, seed=1, ignore_eos=True),
}


def large_tokenizer(size: int = 151_936) -> Tokenizer:
    """A byte-level vocabulary of so many made-up words, half of them with a space before."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    rng = np.random.default_rng(0)
    words: dict[str, None] = dict.fromkeys((*SPECIAL, *alphabet))
    signs = list("aaabcdeeeefghiiijklmnooopqrstuuvwxyz" + '"{}:,[]0123456789')
    while len(words) < size:
        word = "".join(rng.choice(signs, rng.integers(2, 9)))
        words[("Ġ" if rng.random() < 0.5 else "") + word] = None
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def step_times(engine: Engine, requests: Sequence[Request]) -> list[float]:
    """Milliseconds of each step that gave every one of the requests a token."""
    for request in requests:
        engine.submit(request)
    found = []
    while engine.has_work:
        begin_s = time.perf_counter()
        report = engine.step()
        if report.stats.num_decode_tokens == len(requests):
            found.append((time.perf_counter() - begin_s) * 1e3)
    assert found, f"the model runs fewer than {len(requests)} sequences together"
    return found


def measure(bundle: Path) -> None:
    """Print the medians, and their ratios."""
    manifest = read_manifest(bundle)
    part = load_generator(bundle, manifest, SETTINGS, verify=False)
    begin_s = time.perf_counter()
    words = GrammarWords(part.text.tokenizer.to_str(), manifest.vocab_size)
    words_s, begin_s = time.perf_counter() - begin_s, time.perf_counter()
    compiled = CompiledGrammar(Grammar("json_schema", SCHEMA), words, GrammarLimits(max_mask_s=5))
    compile_s = time.perf_counter() - begin_s
    print(f"{manifest.name}: {manifest.vocab_size} words in {words_s:.2f} s, grammar in {compile_s * 1e3:.1f} ms")
    rng, engine = np.random.default_rng(1), part.engines[0]
    prompts = rng.integers(10, 250, (NUM_ANSWERS, PROMPT)).tolist()
    for way, params in WAYS.items():
        times: dict[int, list[float]] = {0: [], 1: [], NUM_ANSWERS: []}
        for _ in range(ROUNDS):
            for count in times:
                rule = (GrammarRule(compiled, manifest.special_tokens.eos),)
                requests = [
                    Request(f"{i}", tuple(prompt), params, time.monotonic_ns(), rules=rule if i < count else ())
                    for i, prompt in enumerate(prompts)
                ]
                times[count] += step_times(engine, requests)
        free = median(times[0])
        told = ", ".join(
            f"{count} of {NUM_ANSWERS}: {median(times[count]):.2f} ms ({median(times[count]) / free:.3f})"
            for count in (1, NUM_ANSWERS)
        )
        print(f"  {way}: a step without {free:.2f} ms; with a grammar in {told}", flush=True)


def main() -> int:
    """Measure the bundle that is named, or a tiny model."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        measure(
            make_synthetic_bundle(
                Path(folder) / "m", heads=14, head_size=64, context_length=256, tokenizer=large_tokenizer()
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
