"""Greedy translations, by transformers from a model folder and by ONNX Runtime from a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from attendant.bundle import TOKENIZER_FILE, TextSource, read_manifest
from attendant_export.seq2seq.session import Seq2SeqSession
from tokenizers import Tokenizer
from transformers import MarianMTModel, PreTrainedTokenizerFast

from attendant_demo.translator.vocabulary import MAX_LENGTH

Translator = Callable[[Sequence[str]], list[str]]
Rows = list[list[int]]
_BATCH = 32


def torch_translator(model: MarianMTModel, tokenizer: PreTrainedTokenizerFast) -> Translator:
    """Translations by ``generate``."""

    def translate(rows: Rows) -> Rows:
        model.eval()
        batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        with torch.no_grad():
            tokens: Rows = model.generate(**batch, max_length=MAX_LENGTH, do_sample=False).tolist()
        return tokens

    return _by_length(tokenizer.backend_tokenizer, translate)


def bundle_translator(bundle: Path, threads: int = 0) -> Translator:
    """Translations by an exported bundle."""
    manifest = read_manifest(bundle)
    source, rules = manifest.encoder_input, manifest.answer
    assert isinstance(source, TextSource)
    assert rules is not None
    session = Seq2SeqSession(
        bundle,
        manifest.graphs,
        source,
        manifest.kv_layers,
        manifest.cross_layers,
        slots=_BATCH,
        max_length=manifest.context_length,
        max_source=source.max_length,
        threads=threads,
    )
    (start,) = rules.start

    def translate(rows: Rows) -> Rows:
        session.read(range(len(rows)), [np.array(row) for row in rows])
        made: Rows = [[] for _ in rows]
        tokens = np.full((len(rows), 1), start)  # [num_rows, 1] int64
        for position in range(manifest.context_length):
            logits = session.run(slice(0, len(rows)), tokens, [position] * len(rows))  # [num_rows, vocab_size] float32
            logits[:, list(rules.suppressed)] = -np.inf
            tokens = logits.argmax(axis=-1)[:, None]
            for row, (token,) in zip(made, tokens.tolist(), strict=True):
                row.append(token)
            if all(set(row) & set(manifest.special_tokens.eos) for row in made):
                break
        ends = [
            min((row.index(end) for end in manifest.special_tokens.eos if end in row), default=None) for row in made
        ]
        return [row[:end] for row, end in zip(made, ends, strict=True)]

    return _by_length(Tokenizer.from_file(str(bundle / TOKENIZER_FILE)), translate)


def _by_length(tokenizer: Tokenizer, translate: Callable[[Rows], Rows]) -> Translator:
    """Texts of like length together."""

    def all_of(texts: Sequence[str]) -> list[str]:
        rows: Rows = [tokenizer.encode(text).ids for text in texts]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        found = [""] * len(rows)
        for first in range(0, len(order), _BATCH):
            indices = order[first : first + _BATCH]
            for index, tokens in zip(indices, translate([rows[index] for index in indices]), strict=True):
                found[index] = tokenizer.decode(tokens)
        return found

    return all_of
