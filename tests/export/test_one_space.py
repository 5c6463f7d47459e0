"""A folder with a tower for texts and one for images gives two bundles, whose vectors are of one space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import transformers
from attendant.bundle import EncoderManifest
from attendant_export.export import export_bundle

from tests.bundles import EOS, PAD, make_tokenizer
from tests.export.encoder_measure import Runner

_SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
_TEXT = {
    **_SIZES,
    "projection_dim": 48,
    "vocab_size": 400,
    "max_position_embeddings": 32,
    "eos_token_id": 2,
    "bos_token_id": 1,
}
_IMAGES = {**_SIZES, "image_size": 32, "patch_size": 8}


def clip() -> Any:
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=_TEXT, vision_config=_IMAGES, projection_dim=48))


def siglip() -> Any:
    text = {**_TEXT, "projection_size": 64, "pad_token_id": 0}
    return transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=_IMAGES))


@pytest.mark.parametrize("make", [clip, siglip])
def test_both_towers_give_the_models_own_vectors(tmp_path: Path, make: Any) -> None:
    torch.manual_seed(0)
    model = make().eval()
    model.set_attn_implementation("eager")
    source = folder_of(model, tmp_path / "m")
    rows = np.random.default_rng(0).integers(3, 300, (3, 32 if make is siglip else 9))
    rows[:, -1] = 2
    pixels = np.random.default_rng(1).standard_normal((2, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        wanted = model(input_ids=torch.from_numpy(rows), pixel_values=torch.from_numpy(pixels))
    text, image = (exported(source, tmp_path / task, task) for task in ("embed", "embed_image"))
    graph = tmp_path / "embed" / text.graphs["encoder"].file
    found = np.stack(Runner(text, graph).run(list(rows)))
    np.testing.assert_allclose(unit(found), wanted.text_embeds.numpy(), atol=1e-5)
    session = ort.InferenceSession(tmp_path / "embed_image" / image.graphs["encoder"].file)
    np.testing.assert_allclose(
        unit(session.run(None, {"pixel_values": pixels})[0]), wanted.image_embeds.numpy(), atol=1e-5
    )
    assert text.embedding is not None
    assert image.embedding is not None
    assert text.embedding.normalise
    assert image.embedding.normalise
    assert text.embedding.dimensions == image.embedding.dimensions


def exported(source: Path, place: Path, task: str) -> EncoderManifest:
    manifest = export_bundle(source, place, task=task, attention="none")
    assert isinstance(manifest, EncoderManifest)
    return manifest


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def folder_of(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    words = transformers.PreTrainedTokenizerFast(tokenizer_object=make_tokenizer(), eos_token=EOS, pad_token=PAD)
    words.save_pretrained(folder)
    transformers.CLIPImageProcessorPil(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder
