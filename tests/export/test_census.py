"""docs/census.md tells of every class, in the words that it is written in, and what a sample of classes does today."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.census.kinds import KINDS
from tests.export.census.outcome import Result
from tests.export.census.page import column_of, page_of, read, reason_of

ROOT = Path(__file__).parents[2]
SAMPLE = {"causal-lm": ("mamba", "reformer"), "fill-mask": ("bert",)}
NIGHTLY = {
    "causal-lm": ("gemma2", "openai-gpt", "ctrl"),
    "classify": ("modernbert",),
    "seq2seq": ("led",),
    "classify-image": ("vit",),
}


def test_the_page_tells_of_every_class_and_of_none_that_is_wrong() -> None:
    found = read()
    for kind in KINDS:
        assert {name for of, name in found if of == kind} == set(KINDS[kind].classes()), f"make census: {kind}"
    bad = {key: result.detail for key, result in found.items() if result.outcome in ("wrong", "traceback")}
    assert not bad


def test_what_is_written_is_read_back() -> None:
    results = [
        Result("causal-lm", "llama", "LlamaForCausalLM", "right", error=1e-6),
        Result(
            "causal-lm", "mamba", "MambaForCausalLM", "refused", "cannot export 'mamba': it has recurrent layers; no"
        ),
        Result("causal-lm", "rwkv", "RwkvForCausalLM", "refused", "cannot export 'rwkv': it has recurrent layers; no"),
        Result("causal-lm", "gpt2", "GPT2LMHeadModel", "refused", "answers differ: by 0.25 (limit: 1e-4)"),
        Result("fill-mask", "bert", "BertForMaskedLM", "right", "close, not equal, in company", 2e-7),
        Result("fill-mask", "xlm", "XLMWithLMHeadModel", "not tried", "no small XLM can be made: 9,999,999 parameters"),
    ]
    page = page_of({result.key: result for result in results}, "transformers 0")
    assert "- it has recurrent layers; no (2): mamba, rwkv" in page
    assert {key: (column_of(one), reason_of(one)) for key, one in read(page).items()} == {
        one.key: (column_of(one), reason_of(one)) for one in results
    }


@pytest.mark.parametrize("sample", [SAMPLE, pytest.param(NIGHTLY, marks=pytest.mark.nightly)], ids=["few", "more"])
def test_a_sample_is_as_the_page_says(sample: dict[str, tuple[str, ...]]) -> None:
    kinds = [word for kind in sample for word in ("--kind", kind)]
    names = sorted({name for names in sample.values() for name in names})
    command = [sys.executable, "-m", "tests.export.census", *kinds, "--only", ",".join(names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    told = read()
    lines = [Result(**json.loads(line)) for line in done.stdout.splitlines()]
    found = [result for result in lines if result.model_type in sample[result.kind]]
    assert len(found) == sum(map(len, sample.values()))
    for result in found:
        page = told[result.key]
        assert (column_of(result), reason_of(result)) == (column_of(page), reason_of(page))
