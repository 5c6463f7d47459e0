"""Sparse vectors of a masked language model against torch's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from attendant.bundle import TOKENIZER_FILE
from attendant.frontend.encoding.calls import EmbedSparseCall, TextItem
from attendant.frontend.encoding.service import EncodingService
from attendant_export.drafts import Order
from attendant_export.encoders.export import Encoder
from attendant_export.pipeline import export
from attendant_export.recipe import Recipe

from tests.bundles import make_tokenizer
from tests.export.encoder_families import make_model
from tests.export.encoder_measure import make_plan
from tests.frontend.encoding.helpers import load, with_encoders

ROWS = ((7, 9, 11), (5, 8, 13, 21, 34, 55, 4, 90), (6,) * 40, (250,))


@pytest.mark.parametrize("name", ["distilbert"])
def test_sparse_vectors_are_those_of_torch(name: str, tmp_path: Path) -> None:
    bundle = tmp_path / name
    export(Encoder(make_plan(name, "fill_mask")), [Recipe()], Order(bundle, name))
    (bundle / TOKENIZER_FILE).write_text(make_tokenizer().to_str(), encoding="utf-8")  # the rows are made of ids
    model = make_model(name, "fill_mask")

    async def test(service: EncodingService) -> None:
        call = EmbedSparseCall("", tuple(TextItem(token_ids=row) for row in ROWS))
        together = (await service.embed_sparse(call)).results
        alone = await asyncio.gather(
            *(service.embed_sparse(EmbedSparseCall("", (TextItem(token_ids=row),))) for row in ROWS)
        )
        for row, found, single in zip(ROWS, together, alone, strict=True):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([row])).logits
                expected = torch.log1p(torch.relu(logits)).amax(dim=1)[0].numpy()  # [vocab_size]
            dense = np.zeros_like(expected)
            dense[found.indices] = found.values
            assert dense == pytest.approx(expected, abs=1e-5)
            assert (single.results[0].values == found.values).all()

    with_encoders([load(bundle)], test)
