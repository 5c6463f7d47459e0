"""Judges decoders: greedy answers and logits of the bundle beside those of transformers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attendant.bundle import GeneratorManifest
from attendant_export.decoders.session import DecoderSession
from attendant_export.export import export_bundle
from attendant_export.tracing.positions import reserved_positions

from tests.export.census import making
from tests.export.census.outcome import Judged, NotTried, Wrong, spread_error
from tests.export.measure import ROWS, exact_batch, run_chunks

_HYBRIDS = ("granitemoehybrid", "lfm2")  # whose checkpoints mostly have other layers, too
_READ_IMAGES = ("fuyu", "phi4_multimodal")
NEW_TOKENS = 24
_PROMPT, _CHUNKS = 40, (9, 1, 14, 16)  # five times the window of windowed models


@dataclass(frozen=True)
class Reference:
    """What transformers answers: the greedy tokens, and the logits [steps, vocabulary] that they were taken from."""

    tokens: list[int]
    logits: Any


def judge(model_type: str, class_name: str, folder: Path) -> Judged:
    """Exports a small model of the class and compares.

    Returns:
        The largest difference of logits.

    Raises:
        NotTried: no model could be made. ExportError: refused. Wrong: the bundle answers otherwise.
    """
    if class_name.endswith("ForConditionalGeneration") or model_type in _READ_IMAGES:
        from tests.export.census import multimodal

        found = multimodal.judge(model_type, class_name, folder)
        return Judged(found.error, "exported with --part text: it reads images or sound, too")
    source = folder / "model"
    making.save(making.make_model(model_type, class_name), source)
    making.write_tokenizer(source)
    model = making.loaded(class_name, source)
    manifest = export_bundle(source, folder / "bundle")
    if not isinstance(manifest, GeneratorManifest):
        raise NotTried(f"a folder of {class_name} is taken for task {manifest.task}")
    found = compare(model, manifest, folder / "bundle")
    return Judged(found.error, "in configs of attention layers alone" if model_type in _HYBRIDS else "")


def compare(model: Any, manifest: GeneratorManifest, bundle: Path) -> Judged:
    """The largest difference of logits. Raises Wrong: too large, other tokens, or another answer in company."""
    tokens = np.random.default_rng(3).integers(3, 300, (ROWS, _PROMPT))
    wanted = reference(model, tokens[0])
    graph = manifest.graphs["decoder"]
    session = DecoderSession(
        bundle / graph.file, graph, manifest.kv_layers, slots=ROWS, max_length=_PROMPT + NEW_TOKENS, threads=1
    )
    found, logits = _answer(session, tokens[0], wanted.tokens)
    error = spread_error([logits], [wanted.logits])
    if found != wanted.tokens:
        raise Wrong(f"answers {found} where the model answers {wanted.tokens}")
    if not exact_batch(session, tokens):
        raise Wrong("a row in company has not the bits that it has alone")
    return Judged(error)


def reference(model: Any, prompt: Any) -> Reference:
    """The greedy answer of transformers' ``generate``, without an end.

    Left alone it counts positions from 0, also of models that were trained, and run by ``forward``, from further on.
    """
    given = torch.from_numpy(prompt)[None]
    first = reserved_positions(model)
    told = {"position_ids": torch.arange(first, first + len(prompt))[None]} if first else {}
    with torch.no_grad(), making.trying("transformers itself does not generate with it"):
        output = model.generate(
            given,
            **told,
            attention_mask=torch.ones_like(given),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
        )
    return Reference(output.sequences[0, len(prompt) :].tolist(), torch.cat(output.logits).float().numpy())


def _answer(session: DecoderSession, prompt: Any, follow: list[int]) -> tuple[list[int], Any]:
    """Greedy tokens and their logits, each after what the model answered before it."""
    rows = [run_chunks(session, 0, prompt, _CHUNKS)[-1]]
    for step, token in enumerate(follow[:-1]):
        rows.append(session.run(slice(0, 1), np.array([[token]]), [len(prompt) + step])[0])
    return [int(row.argmax()) for row in rows], np.stack(rows)
