"""Probabilities of the labels of texts, by transformers from a model and by ONNX Runtime from a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from attendant.bundle import TOKENIZER_FILE, EncoderManifest, TextInput, read_any_manifest
from attendant.bundle.graph_io import PADDED, ROW_LOGITS
from attendant_export.encoders.rows import Array, feeds_of
from attendant_export.session import open_session
from tokenizers import Tokenizer
from transformers import DistilBertForSequenceClassification, PreTrainedTokenizerFast

from attendant_demo.sentiment.model import encode

Classifier = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Texts to probabilities [num_texts, num_labels] float32."""

_BATCH = 64


def torch_classifier(model: DistilBertForSequenceClassification, tokenizer: PreTrainedTokenizerFast) -> Classifier:
    """A classifier by the model that was trained."""
    pad = int(model.config.pad_token_id)

    def logits(rows: list[list[int]]) -> Array:
        feeds = feeds_of("padded", [np.array(row) for row in rows], pad_id=pad)
        ids, mask = (torch.from_numpy(feeds[port.name]) for port in (PADDED.input_ids, PADDED.attention_mask))
        with torch.no_grad():
            found: Array = model.eval()(input_ids=ids, attention_mask=mask).logits.numpy()
        return found

    return lambda texts: _probabilities(encode(tokenizer, texts), logits)


def bundle_classifier(bundle: Path, threads: int = 1) -> Classifier:
    """A classifier by an exported bundle.

    Raises:
        BundleError: it cannot be read.
    """
    manifest = read_any_manifest(bundle)
    assert isinstance(manifest, EncoderManifest)
    assert isinstance(manifest.input, TextInput)
    spec, layout = manifest.input, manifest.layout
    tokenizer = Tokenizer.from_file(str(bundle / TOKENIZER_FILE))
    session = open_session(bundle / manifest.graphs["encoder"].file, threads=threads)
    inputs = {value.name for value in session.get_inputs()}

    def logits(rows: list[list[int]]) -> Array:
        ids = [np.array(row[: spec.max_tokens]) for row in rows]
        feeds = feeds_of(layout, ids, pad_id=spec.pad_id, position_offset=spec.position_offset)
        found: Array = session.run([ROW_LOGITS.name], {name: feeds[name] for name in inputs})[0]
        return found

    return lambda texts: _probabilities([row.ids for row in tokenizer.encode_batch(list(texts))], logits)


def _probabilities(rows: list[list[int]], logits: Callable[[list[list[int]]], Array]) -> npt.NDArray[np.float32]:
    """Softmax of the logits [n, num_labels] of ``rows``, computed in batches of like length, in the rows' own order."""
    order = np.argsort([len(row) for row in rows], kind="stable")
    found = np.concatenate(
        [logits([rows[index] for index in order[start : start + _BATCH]]) for start in range(0, len(rows), _BATCH)]
    )
    powers = np.exp(found - found.max(axis=1, keepdims=True))
    result = np.empty_like(found)
    result[order] = powers / powers.sum(axis=1, keepdims=True)
    return result.astype(np.float32)
