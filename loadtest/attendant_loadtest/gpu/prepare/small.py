"""Small models with random weights, as bundles, and what torch answers with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attendant_export.decoders.families import reference_attention
from attendant_export.export import export_model
from attendant_export.precision import in_dtype
from attendant_export.recipe import Recipe

from attendant_loadtest.bench.bundles import tokenizer
from attendant_loadtest.gpu.errors import Errors, log_probabilities
from attendant_loadtest.gpu.kit import Ints, Reference, SmallModel, save_references
from attendant_loadtest.gpu.shapes import ARCHITECTURES, ROUTED, VOCABULARY, Sizes

_SPREADS = {1: 0.1, 2: 0.08, 3: 0.08}  # added to weights by rank, so that no norm, bias or sink is without effect


def write_small_model(name: str, dtype: str, out: Path, sizes: Sizes, *, reference: bool) -> SmallModel:
    """Exports the model to ``out`` and writes its references beside it.

    Args:
        dtype: fp16 or bf16. reference: write the copy of the bundle that a processor can run.
    """
    recipe = Recipe("cuda", dtype)  # type: ignore[arg-type]
    model = _build(name, recipe.dtype)
    file = f"{name.replace('/', '-')}-{dtype}"
    _export(model, recipe, out / file, reference=reference)
    references = [_answer(model, prompt, sizes.parity_tokens) for prompt in prompts(sizes.parity)]
    save_references(out / f"{file}.npz", references)
    own = _own_errors(in_dtype(model, recipe.dtype), references)
    return SmallModel(
        name=name,
        dtype=dtype,
        bundle=f"{out.name}/{file}",
        references=f"{out.name}/{file}.npz",
        routed=name in ROUTED,
        own_error=own.largest,
        own_error_p90=own.p90,
    )


def prompts(lengths: Sequence[tuple[int, int]]) -> list[Ints]:
    """Random prompts of (shared, own) tokens; what is shared is the beginning of all of them."""
    generator = np.random.default_rng(0)
    beginning = generator.integers(3, VOCABULARY, max(shared for shared, _ in lengths))
    owns = [generator.integers(3, VOCABULARY, own) for _, own in lengths]
    return [np.concatenate([beginning[:shared], own]) for (shared, _), own in zip(lengths, owns, strict=True)]


def _build(name: str, dtype: torch.dtype) -> Any:
    """The model in float32, with weights that ``dtype`` can hold, eager attention, the same every time."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config = CONFIG_MAPPING[name.split("/")[0]](**ARCHITECTURES[name])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
        for parameter in model.parameters():
            parameter.data += _SPREADS[parameter.ndim] * torch.randn(parameter.shape)
            parameter.data = parameter.data.to(dtype).float()
    return model


def _export(model: Any, recipe: Recipe, out: Path, *, reference: bool) -> None:
    from attendant_export.paged.bundle import reference_bundle

    words = tokenizer(VOCABULARY).to_str()
    if not reference:
        export_model(model, words, out, recipe=recipe)
        return
    whole = out.with_name(f"{out.name}-whole")
    export_model(model, words, whole, recipe=recipe, name=out.name)
    reference_bundle(whole, out)
    for file in whole.iterdir():
        file.unlink()
    whole.rmdir()


def _answer(model: Any, prompt: Ints, num_tokens: int) -> Reference:
    """The tokens that torch chooses, computed anew for each, without a cache."""
    tokens, rows = prompt, []
    for _ in range(num_tokens):
        row = _logits(model, tokens)[-1]
        rows.append(row)
        tokens = np.append(tokens, row.argmax())
    return Reference(prompt, tokens[len(prompt) :], np.stack(rows))


def _logits(model: Any, tokens: Ints) -> Any:
    """[len(tokens), vocab_size] float32."""
    with torch.no_grad(), reference_attention(model):
        return model(torch.from_numpy(tokens)[None], use_cache=False).logits[0].float().numpy()


def _own_errors(model: Any, references: Sequence[Reference]) -> Errors:
    """How far torch is off in the type of ``model``, on the same tokens."""
    errors = Errors()
    for reference in references:
        tokens = np.concatenate([reference.prompt, reference.tokens[:-1]])
        rows = _logits(model, tokens)[-len(reference.tokens) :]
        for row, wanted in zip(rows, reference.logits, strict=True):
            found = log_probabilities(row)
            best = np.argsort(-found)[: Errors.TOP]
            errors.add({int(token): float(found[token]) for token in best}, wanted)
    return errors
