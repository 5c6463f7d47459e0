"""Judges encoders of text: outputs of rows of different lengths that run together beside those of the model alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from attendant.bundle import EncoderManifest
from attendant_export.export import export_bundle

from tests.export.census import making
from tests.export.census.outcome import Judged, NotTried, spread_error
from tests.export.encoder_measure import Runner, sample_rows

_LENGTHS = (9, 30, 3, 17)


def judge(model_type: str, class_name: str, folder: Path) -> Judged:
    """Exports a small model of the class for what its head is for, and compares.

    Raises:
        NotTried: no model could be made. ExportError: refused. Wrong: the bundle answers otherwise.
    """
    source = folder / "model"
    making.save(making.make_model(model_type, class_name, **_labels(class_name)), source)
    making.write_tokenizer(source, encodes=True)
    model = making.loaded(class_name, source)
    manifest = export_bundle(source, folder / "bundle")
    if not isinstance(manifest, EncoderManifest):
        raise NotTried(f"a folder of {class_name} is taken for task {manifest.task}")
    return compare(model, manifest, folder / "bundle")


def compare(model: Any, manifest: EncoderManifest, bundle: Path) -> Judged:
    """The largest difference of outputs. Raises Wrong: too large."""
    rows = [row % 290 + 5 for row in sample_rows(_LENGTHS)]
    for row in rows:
        row[-1] = 2
    wanted = [_output(model, manifest, row) for row in rows]
    runner = Runner(manifest, bundle / manifest.graphs["encoder"].file)
    together = runner.run(rows)
    alone = [runner.run([row])[0] for row in rows]
    error = spread_error(together, wanted)
    exact = all(map(np.array_equal, together, alone))
    return Judged(max(error, spread_error(alone, wanted)), "" if exact else "close, not equal, in company")


def _labels(class_name: str) -> dict[str, Any]:
    if class_name.endswith("SequenceClassification"):
        return {"num_labels": 3, "decoder_start_token_id": 1, "pad_token_id": 0}
    if class_name.endswith("TokenClassification"):
        return {"num_labels": 3}
    return {"decoder_start_token_id": 1} if "QuestionAnswering" in class_name else {}


def _output(model: Any, manifest: EncoderManifest, row: Any) -> Any:
    """What the model gives of one row: [tokens, width], or [width] where it is of the row."""
    tokens = torch.from_numpy(row)[None]
    with torch.no_grad():
        output = model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    if manifest.task == "answer":
        return torch.stack([output.start_logits, output.end_logits], dim=-1)[0].numpy()
    if manifest.task != "embed":
        return output.logits[0].numpy()
    if manifest.embedding is not None and manifest.embedding.pooling is None:
        found = getattr(output, "text_embeds", None)
        return (output.pooler_output if found is None else found)[0].numpy()
    return output.last_hidden_state[0].numpy()
