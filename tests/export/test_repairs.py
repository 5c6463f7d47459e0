"""What a trace cannot follow is done in another way that gives the same, or refused before a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from attendant.bundle import EncoderManifest
from attendant_export.encoders.repairs import behind_last_token
from attendant_export.encoders.text_plan import EncoderSource, plan_text
from attendant_export.errors import UnsupportedModel
from attendant_export.export import export_bundle
from transformers.models.mbart.modeling_mbart import shift_tokens_right

from tests.export.census import encoders, making

PAD = 0
LABELS = {"num_labels": 3, "decoder_start_token_id": 1, "pad_token_id": PAD}


def test_what_a_decoder_reads_is_what_transformers_makes_of_each_row() -> None:
    rows = torch.tensor([[7, 8, 9, 2], [7, 2, PAD, PAD], [7, PAD, 9, 2]])
    torch.testing.assert_close(behind_last_token(rows, PAD), shift_tokens_right(rows, PAD))
    for row in rows.split(1):
        torch.testing.assert_close(behind_last_token(row, PAD), shift_tokens_right(row, PAD))


@pytest.mark.parametrize(
    ("model_type", "class_name", "config"),
    [
        ("mbart", "MBartForSequenceClassification", LABELS),
        ("xmod", "XmodForQuestionAnswering", {"languages": ["en_XX", "de_DE"], "default_language": "de_DE"}),
        *(
            pytest.param(*case, marks=pytest.mark.nightly)
            for case in (
                ("bart", "BartForSequenceClassification", LABELS),
                ("mbart", "MBartForQuestionAnswering", {"decoder_start_token_id": 1}),
                ("plbart", "PLBartForSequenceClassification", LABELS),
                ("led", "LEDForQuestionAnswering", {"decoder_start_token_id": 1}),
            )
        ),
    ],
)
def test_rows_alone_and_in_company_are_those_of_transformers(
    model_type: str, class_name: str, config: dict[str, Any], tmp_path: Path
) -> None:
    source = tmp_path / "model"
    making.save(making.make_model(model_type, class_name, **config), source)
    making.write_tokenizer(source, encodes=True)
    manifest = export_bundle(source, tmp_path / "b")
    assert isinstance(manifest, EncoderManifest)
    judged = encoders.compare(making.loaded(class_name, source), manifest, tmp_path / "b")
    assert judged.error < 1e-5
    assert not judged.remark  # to the bit


@pytest.mark.parametrize(
    ("model_type", "class_name", "task"),
    [
        ("jamba", "JambaForSequenceClassification", "classify"),
        ("minimax", "MiniMaxForSequenceClassification", "classify"),  # its blocks would be those of the sample's length
        ("qwen3_5_text", "Qwen3_5TextForSequenceClassification", "classify"),
        ("qwen3_next", "Qwen3NextForTokenClassification", "classify_tokens"),
        ("qwen3_next", "Qwen3NextForQuestionAnswering", "answer"),
        ("zamba2", "Zamba2ForSequenceClassification", "classify"),
    ],
)
def test_heads_over_recurrent_layers_are_refused_before_a_trace(model_type: str, class_name: str, task: Any) -> None:
    model = making.make_model(model_type, class_name)
    with pytest.raises(UnsupportedModel, match=r"it has .*linear_attention layers; only attention is exported"):
        plan_text(EncoderSource(model, task))


def test_a_member_of_such_a_family_that_has_attention_alone_is_exported() -> None:
    layers = {"layer_types": ["full_attention"] * 2, "num_hidden_layers": 2}
    model = making.make_model("minimax", "MiniMaxForSequenceClassification", **layers, **LABELS)
    assert plan_text(EncoderSource(model, "classify")).labels == ("LABEL_0", "LABEL_1", "LABEL_2")
