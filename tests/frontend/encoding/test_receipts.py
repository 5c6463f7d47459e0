"""Receipts of calls that encode: what held for them, and what went into the model, computed by hand."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
from attendant.bundle import EmbeddingHead
from attendant.core.receipt import Receipt
from attendant.frontend.encoding.calls import ClassifyCall, ClassifyTokensCall, EmbedCall
from attendant.frontend.encoding.service import EncodingService
from attendant.models.encoders import EncoderPart

from tests.frontend.encoding.helpers import ids, items, load, with_encoders
from tests.synthetic_encoder import make_text_encoder


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> EncoderPart:
    head = EmbeddingHead(
        pooling="mean", dimensions=3, normalise=True, prompts={"query": "Q: ", "none": ""}, default_prompt="query"
    )
    return load(make_text_encoder(tmp_path_factory.mktemp("encoders") / "vectors", "embed", embedding=head))


def digest_of_rows(*texts: str) -> str:
    """As docs/replay.md says: of each row its arrays by name, then of the rows."""
    rows = b""
    for text in texts:
        tokens = ids(text)
        row = f"input_ids int64 {len(tokens)}\n".encode() + struct.pack(f"<{len(tokens)}q", *tokens)
        row += f"token_type_ids int64 {len(tokens)}\n".encode() + bytes(8 * len(tokens))
        rows += hashlib.sha256(row).digest()
    return hashlib.sha256(rows).hexdigest()


def receipts(model: EncoderPart, *calls: EmbedCall) -> list[Receipt]:
    found: list[Receipt] = []

    async def test(service: EncodingService) -> None:
        for call in calls:
            encoded = await service.embed(call)
            assert encoded.receipt is not None
            found.append(encoded.receipt)

    with_encoders([model], test)
    return found


def test_settings_are_those_after_the_models_defaults(vectors: EncoderPart) -> None:
    plain, said, other = receipts(
        vectors,
        EmbedCall("", items("a"), receipt=True),
        EmbedCall("vectors", items("a"), dimensions=3, normalize=True, prompt="query", receipt=True),
        EmbedCall("", items("a"), no_prompt=True, dimensions=2, normalize=False, truncate=True, receipt=True),
    )
    assert json.loads(plain.settings) == {"dimensions": 3, "normalize": True, "prompt": "query"}
    assert said == plain
    (cut,) = receipts(vectors, EmbedCall("", items("a"), truncate=True, max_tokens=9, receipt=True))
    assert json.loads(cut.settings)["max_tokens"] == 9
    assert json.loads(other.settings) == {"dimensions": 2, "no_prompt": True, "truncate": True}
    assert (plain.call, plain.seed, plain.output) == ("embed", None, "")
    assert (plain.maker.model, plain.maker.precision) == ("vectors", vectors.manifest.precision)


def test_the_input_is_what_went_into_the_model_in_the_order_of_the_inputs(vectors: EncoderPart) -> None:
    many = [f"text {number}" for number in range(200)]  # in several slices
    few, all_of_them = receipts(
        vectors, EmbedCall("", items("b", "a"), receipt=True), EmbedCall("", items(*many), no_prompt=True, receipt=True)
    )
    assert few.input == digest_of_rows("Q: b", "Q: a")
    assert all_of_them.input == digest_of_rows(*many)


def test_nobody_gets_one_who_does_not_ask(vectors: EncoderPart) -> None:
    async def test(service: EncodingService) -> None:
        assert (await service.embed(EmbedCall("", items("a")))).receipt is None

    with_encoders([vectors], test)


def test_an_aggregation_is_told_by_its_name(tmp_path: Path) -> None:
    models = [
        load(make_text_encoder(tmp_path / "tags", "classify_tokens", labels=("O", "B-X", "I-X"))),
        load(make_text_encoder(tmp_path / "moods", "classify")),
    ]

    async def test(service: EncodingService) -> None:
        tags = await service.classify_tokens(ClassifyTokensCall("", ("some text",), stride=2, receipt=True))
        assert tags.receipt is not None
        assert json.loads(tags.receipt.settings) == {"aggregation": "simple", "stride": 2}
        moods = await service.classify(ClassifyCall("", items("a"), top_k=1, raw_scores=True, receipt=True))
        assert moods.receipt is not None
        assert json.loads(moods.receipt.settings) == {"raw_scores": True, "top_k": 1}

    with_encoders(models, test)
