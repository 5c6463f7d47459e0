"""Graphs for GPUs, run through the reference function of PagedAttention, against the torch model.

A trace takes seconds, so these are not all architectures but every feature of attention: windows everywhere and in
turns, soft caps, sinks, latent attention, ALiBi, rotation of a part of a head, interleaved or not, in the node or
beside it, norms of queries and keys, scores in float32, one key head for all, packed inputs, two calls in a layer,
mixtures of experts, heads of 16 to 256 channels. Models have one layer, or two where layers differ.
ALL_ARCHITECTURES=1 in the environment runs all of them in fp16, as they are.

In half precision the measure is torch itself: the graph is hardly further from the float32 model than torch's own
logits in that type are.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attendant_export.decoders.architectures import context_length
from attendant_export.decoders.families import reference_attention
from attendant_export.decoders.graphs import write_graphs
from attendant_export.decoders.verify_pages import run_paged
from attendant_export.parity import Case
from attendant_export.precision import in_dtype
from attendant_export.progress import silent
from attendant_export.prompts import sample_prompts
from attendant_export.quantisation.blocks import BlockFormat, quantise_blocks
from attendant_export.recipe import Recipe

from tests.bundles import make_llama
from tests.export.architectures import ARCHITECTURES, build

FEATURES = (
    *("bloom", "codegen", "deepseek_v3", "diffllama", "falcon", "gemma2", "gpt_neo", "gpt_oss", "jetmoe"),
    *("phi3", "qwen3", "stablelm"),
)
ALTERNATING = ("gemma2", "gpt_neo")
EVERY = bool(os.environ.get("ALL_ARCHITECTURES"))
CASES = ["prefill", "chunk", "mixed", "shared_prefix", "ragged_decode"]

# Of errors, over torch's own in the same type; measured: up to 1.02.
MARGIN = 2.0
# Of errors, in standard deviations of the logits; measured: 0.02 and 0.12.
CACHE_ERRORS = {"int8": 0.06, "fp8": 0.3}
# Between logits with weights in 4 bits and without; measured: 0.97 and up.
INT4_COSINE = 0.96

Logits = list[np.ndarray]


class Export:
    """The graph of ``model`` after ``recipe``, and what it gives on prompts beside what ``model`` gives."""

    def __init__(self, model: Any, recipe: Recipe, folder: Path) -> None:
        self.model, self.recipe = model, recipe
        written = write_graphs(model, folder, recipe, context_length(model, recipe.target), None, silent)
        graphs, layers = written.graphs, written.layers
        self.prompts = sample_prompts(model, layers, context_length(model), None)
        self.wanted = self.logits_of(model)
        self._spread = float(np.concatenate(self.wanted).std())
        self.cases = run_paged(folder / graphs["decoder"].file, layers, self.prompts, self.wanted)
        assert [case.name for case in self.cases] == CASES

    def logits_of(self, model: Any) -> Logits:
        """Of the prompts, computed by torch the plain way."""
        with torch.no_grad(), reference_attention(model):
            return [
                model(torch.from_numpy(row)[None], use_cache=False).logits[0].float().numpy() for row in self.prompts
            ]

    @property
    def errors(self) -> dict[str, float]:
        """By case, the largest one in standard deviations of the logits."""
        return {case.name: float(np.abs(case.found - case.wanted).max()) / self._spread for case in self.cases}

    @property
    def own_error(self) -> float:
        """The same of torch in the recipe's type."""
        halves = self.logits_of(in_dtype(self.model, self.recipe.dtype))
        return (
            max(float(np.abs(half - row).max()) for half, row in zip(halves, self.wanted, strict=True)) / self._spread
        )

    @property
    def cosine(self) -> float:
        """The least of all cases."""
        return min(map(_cosine, self.cases))


def _cosine(case: Case) -> float:
    left, right = (part - part.mean(-1, keepdims=True) for part in (case.found, case.wanted))
    return float((left * right).sum() / np.linalg.norm(left) / np.linalg.norm(right))


def assert_as_close_as_torch(export: Export, slack: float = 0.0) -> None:
    """``slack``: what a cache in 8 bits may add."""
    errors, own = export.errors, export.own_error
    print(f"errors {errors}, torch's own {own:.2e}")
    assert max(errors.values()) <= MARGIN * own + slack, errors


def small(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model of ``name`` with one layer where all are alike, which is half the time of a trace; with a soft cap that
    scores of random weights reach; and with no experts but those that are asked, for a rounding would choose another
    one where a router is undecided."""
    fields = dict(ARCHITECTURES[name])
    if name not in ALTERNATING:
        fields["n_layer" if "n_layer" in fields else "num_hidden_layers"] = 1
    if name == "gemma2":
        fields["attn_logit_softcapping"] = 0.1
    if "num_local_experts" in fields:
        fields["num_local_experts"] = fields["num_experts_per_tok"]
    monkeypatch.setitem(ARCHITECTURES, name, fields)
    return build(name)


@pytest.mark.parametrize("name", ARCHITECTURES if EVERY else FEATURES)
def test_a_graph_in_fp16_gives_the_models_logits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(name) if EVERY else small(name, monkeypatch)
    assert_as_close_as_torch(Export(model, Recipe("cuda", "fp16"), tmp_path))


@pytest.mark.parametrize("head_size", [96, 256])
def test_wide_heads_give_the_models_logits(head_size: int, tmp_path: Path) -> None:
    model = make_llama(num_hidden_layers=1, head_dim=head_size, initializer_range=0.05)
    assert_as_close_as_torch(Export(model, Recipe("cuda", "fp16"), tmp_path))


@pytest.mark.parametrize(
    ("name", "precision", "kv_cache"),
    [
        ("bloom", "bf16", "model"),
        ("gpt_oss", "bf16", "model"),
        ("gemma2", "bf16", "int8"),
        ("deepseek_v3", "bf16", "int8"),
        ("mistral", "fp16", "fp8"),
        ("gpt_oss", "fp16", "int8"),
    ],
)
def test_other_types_give_the_models_logits(
    name: str, precision: Any, kv_cache: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Export(small(name, monkeypatch), Recipe("cuda", precision, kv_cache), tmp_path)
    assert_as_close_as_torch(export, CACHE_ERRORS.get(kv_cache, 0.0))


@pytest.mark.parametrize("name", ["llama", "bloom"])
def test_weights_in_4_bits_give_what_torch_gives_with_such_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Export(small(name, monkeypatch), Recipe("cuda", "int4"), tmp_path)
    assert export.cosine > INT4_COSINE
    rounded = export.logits_of(in_4_bits(in_dtype(export.model, torch.float16)))
    prefill = export.cases[0].found
    error = np.abs(prefill - rounded[0]).max() / rounded[0].std()
    assert error <= MARGIN * export.own_error


def test_weights_in_4_bits_and_a_cache_in_8_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = Export(small("deepseek_v3", monkeypatch), Recipe("cuda", "int4", "fp8"), tmp_path)
    assert export.cosine > INT4_COSINE


def in_4_bits(half: Any) -> Any:
    """A float32 copy of a float16 model whose products have the weights that 4 bits hold."""
    model = copy.deepcopy(half).float()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            weight = module.weight.detach().numpy()
            blocks = quantise_blocks(weight.T, BlockFormat(4, 32))
            pairs = np.stack([blocks.values & 15, blocks.values >> 4], axis=-1)
            levels = pairs.reshape(len(weight), -1, 32).astype(np.float32) - 8
            scales = blocks.scales.astype(np.float16).astype(np.float32)
            wide = (levels * scales[..., None]).reshape(len(weight), -1)
            module.weight = torch.nn.Parameter(torch.from_numpy(wide[:, : weight.shape[1]]))
    return model
