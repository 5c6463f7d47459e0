"""Models that make something special of some tokens: rows give together what transformers gives for each alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from attendant.bundle import TOKENIZER_FILE, TextInput, read_any_manifest
from attendant.core.encoding import Row
from attendant.core.errors import InvalidRequest
from attendant.models.encoders import EncoderPart, load_encoder
from attendant.settings import EncoderSettings
from attendant.tasks.text import TextTokenizer
from attendant.tasks.token_rows import RowMaker
from attendant_export.drafts import Order
from attendant_export.encoders.export import Encoder
from attendant_export.encoders.text_plan import EncoderSource, plan_text
from attendant_export.errors import UnsupportedModel
from attendant_export.pipeline import export
from attendant_export.recipe import Recipe
from tokenizers import Tokenizer, processors

from tests.bundles import make_tokenizer

PAD, BEGIN, END, MASK = 0, 1, 2, 4
_STACKS = {
    "d_model": 64,
    **{f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 2))},
    **{"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 128},
}
_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": PAD}
READ_AT_END = {"Bart": _STACKS, "MBart": _STACKS, "Mvp": _STACKS, "PLBart": _STACKS, "T5": _T5, "MT5": _T5, "UMT5": _T5}


def make(prefix: str, head: str, **fields: Any) -> Any:
    """A random model of transformers."""
    special = {"vocab_size": 300, "eos_token_id": END, "pad_token_id": PAD, "bos_token_id": BEGIN, "num_labels": 3}
    config = getattr(transformers, f"{prefix}Config")(**special, **fields)
    torch.manual_seed(0)
    model = getattr(transformers, f"{prefix}For{head}")(config).eval()
    model.set_attn_implementation("eager")
    return model


def bart_tokenizer() -> Tokenizer:
    """Every text, and every second one, ends in the end token, as BART's do: pairs have three."""
    tokenizer = make_tokenizer()
    begin, end = tokenizer.id_to_token(BEGIN), tokenizer.id_to_token(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {end} $B {end}",
        special_tokens=[(begin, BEGIN), (end, END)],
    )
    return tokenizer


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, EncoderPart]:
    model = make("Bart", "SequenceClassification", **_STACKS)
    plan = plan_text(EncoderSource(model, "classify", bart_tokenizer().to_str()))
    bundle = tmp_path_factory.mktemp("bart") / "b"
    export(Encoder(plan), [Recipe()], Order(bundle, "bart"))
    assert (bundle / TOKENIZER_FILE).exists()
    manifest: Any = read_any_manifest(bundle)
    return model, load_encoder(bundle, manifest, EncoderSettings(threads=1))  # type: ignore[arg-type]


def test_bart_loads_and_gives_for_texts_and_pairs_together_what_transformers_gives(
    bart: tuple[Any, EncoderPart],
) -> None:
    model, loaded = bart
    assert isinstance(loaded.manifest.input, TextInput)
    assert loaded.tokenizer is not None
    maker = RowMaker(loaded.tokenizer, loaded.manifest.input, with_types=False)
    one, two, three = TextTokenizer(loaded.tokenizer).tokenize(
        ["Where is it?", "Hello, the dog does not mind.", "a"], 99
    )
    made = [
        maker.single(one, truncate=False, field="inputs"),
        maker.pair(two, one, truncate=False, field="inputs"),
        maker.pair(three, two, truncate=False, field="inputs"),
        maker.single(three, truncate=False, field="inputs"),
    ]
    assert [int((row.ids == END).sum()) for row in made] == [1, 3, 3, 1]
    outputs = loaded.runner.run([Row(str(i), maker.arrays(row), len(row), 0) for i, row in enumerate(made)])
    for row, output in zip(made, outputs, strict=True):
        with torch.no_grad():
            wanted = model(input_ids=torch.from_numpy(row.ids)[None]).logits[0].numpy()
        np.testing.assert_allclose(output["logits"], wanted, atol=1e-5)
    with pytest.raises(InvalidRequest, match=rf"inputs\[1\] has no token {END} .*allowed: one or more"):
        maker.given([5, 6], truncate=False, field="inputs[1]")


def test_a_tokenizer_that_puts_the_token_nowhere_is_refused() -> None:
    model = make("Bart", "SequenceClassification", **_STACKS)
    with pytest.raises(UnsupportedModel, match=rf"its head reads the token .* \({END}\), which its tokenizer puts"):
        plan_text(EncoderSource(model, "classify", make_tokenizer().to_str()))


@pytest.mark.parametrize("prefix", READ_AT_END)
def test_every_family_that_reads_its_answer_at_the_end_does_so_row_by_row(prefix: str) -> None:
    """The trial compares rows with different numbers of end tokens, in torch."""
    plan = plan_text(EncoderSource(make(prefix, "SequenceClassification", **READ_AT_END[prefix]), "classify"))
    assert isinstance(plan.input, TextInput)
    assert (plan.layout, plan.input.end_id) == ("padded", END)


@pytest.mark.parametrize("task", ["fill_mask", "classify", "embed"])
def test_esm_scales_each_row_by_its_own_masks(task: Any, tmp_path: Path) -> None:
    head = {"fill_mask": "MaskedLM", "classify": "SequenceClassification", "embed": "MaskedLM"}[task]
    model = make(
        "Esm",
        head,
        **{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
        **{"max_position_embeddings": 130, "position_embedding_type": "rotary", "token_dropout": True},
        mask_token_id=MASK,
    )
    source = model.base_model if task == "embed" else model
    plan = plan_text(EncoderSource(source, task))
    if task != "fill_mask":  # the trial has compared rows with different numbers of masks, in torch
        return
    bundle = tmp_path / "esm"
    export(Encoder(plan), [Recipe()], Order(bundle, "esm"))
    make_tokenizer().save(str(bundle / TOKENIZER_FILE))
    loaded = load_encoder(bundle, read_any_manifest(bundle), EncoderSettings(threads=1), verify=False)  # type: ignore[arg-type]
    generator = np.random.default_rng(0)
    rows = []
    for number, (length, masks) in enumerate([(4, 1), (9, 2), (30, 12), (17, 0)]):
        ids = generator.integers(5, 300, length)
        ids[1 : 1 + masks] = MASK
        rows.append(Row(str(number), {"input_ids": ids, "logits_index": np.arange(length)}, length, 0))
    together = loaded.runner.run(rows)
    for row, output in zip(rows, together, strict=True):
        ids = torch.from_numpy(row.arrays["input_ids"])[None]
        with torch.no_grad():
            wanted = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].numpy()
        np.testing.assert_allclose(output["logits"], wanted, atol=1e-5)
        np.testing.assert_array_equal(output["logits"], loaded.runner.run([row])[0]["logits"])
