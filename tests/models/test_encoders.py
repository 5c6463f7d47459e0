"""Loading bundles that encode, beside those that generate: what is wrong is named, file and cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import MANIFEST_FILE, TOKENIZER_FILE, EmbeddingHead, FileEntry, read_any_manifest, sha256
from attendant.core.encoding import Row
from attendant.core.errors import BundleError, ConfigurationError, InvalidRequest, ModelNotFound
from attendant.models.encoders import EncoderPart, batch_limits, load_encoder
from attendant.models.loaded import LoadedModel
from attendant.models.loader import ModelLoader
from attendant.models.lookup import GENERATE, encoding, find
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings
from pydantic import ValidationError

from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import expected_row, make_audio_encoder, make_image_encoder, make_text_encoder


def load(bundle: Path, *, verify: bool = True, **settings: Any) -> tuple[EncoderPart, list[str]]:
    lines: list[str] = []
    chosen = EncoderSettings(**{"threads": 1, "spinning": False} | settings)
    manifest: Any = read_any_manifest(bundle)
    return load_encoder(bundle, manifest, chosen, verify=verify, progress=lines.append), lines


def edit(bundle: Path, change: Callable[[dict], None]) -> None:
    path = bundle / MANIFEST_FILE
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def replace_file(bundle: Path, name: str, content: bytes) -> None:
    """Replace a file and make the manifest agree."""
    (bundle / name).write_bytes(content)
    entry = FileEntry(size=len(content), sha256=sha256(bundle / name)).model_dump()
    edit(bundle, lambda data: data["files"].update({name: entry}))


def test_a_good_bundle_loads_and_says_what_it_does(tmp_path: Path) -> None:
    model, lines = load(make_text_encoder(tmp_path / "moods"), max_queue=10, max_batch_size=6)
    assert (model.name, model.task, model.max_batch_tokens, model.max_rows) == ("moods", "classify", 2048, 16)
    assert model.path == tmp_path / "moods"
    assert any("ready in" in line and "2,048 tokens and 6 rows" in line for line in lines)
    ids = model.tokenizer.encode("hello " * 100).ids
    assert len(ids) == 600
    (found,) = model.runner.run([Row("r", {"input_ids": np.array(ids)}, len(ids), 0)])
    np.testing.assert_array_equal(found["logits"], expected_row(ids, 3))


def test_truncation_and_padding_of_a_tokenizer_are_turned_off(tmp_path: Path) -> None:
    bundle = make_text_encoder(tmp_path / "b")
    data = json.loads((bundle / TOKENIZER_FILE).read_text())
    data["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    data["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|pad|>",
    }
    replace_file(bundle, TOKENIZER_FILE, json.dumps(data).encode())
    tokenizer = load(bundle)[0].tokenizer
    assert [len(tokenizer.encode(text).ids) for text in ("ab", "abcdefgh")] == [2, 8]


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (make_text_encoder, 1000),
        (lambda out: make_text_encoder(out, "embed", "padded"), 1000),
        (lambda out: make_text_encoder(out, "fill_mask", max_tokens=3), 1000),
        (lambda out: make_text_encoder(out, "embed", embedding=EmbeddingHead(pooling="last", dimensions=7)), 1000),
        (lambda out: make_image_encoder(out, height=32, width=24), 1000 * 256 // (32 * 24)),
        (make_audio_encoder, 4000),
        (lambda out: make_audio_encoder(out, "padded"), 4000),
    ],
)
def test_every_kind_loads_and_its_budget_is_in_its_own_units(
    tmp_path: Path, make: Callable[[Path], Path], size: int
) -> None:
    bundle = make(tmp_path / "b")
    model, _ = load(bundle, max_batch_tokens=1000, max_queue_delay_s=0.0015)
    assert (model.limits.max_size, model.limits.max_delay_ns) == (size, 1_500_000)
    assert (model.tokenizer is None) == (not (bundle / TOKENIZER_FILE).exists())


@pytest.mark.parametrize(
    ("damage", "file", "cause"),
    [
        (lambda b: (b / "encoder.onnx").unlink(), "encoder.onnx", "the file is missing"),
        (lambda b: (b / TOKENIZER_FILE).write_bytes(b"x"), TOKENIZER_FILE, "1 bytes, the manifest says"),
        (lambda b: replace_file(b, TOKENIZER_FILE, b"{}"), TOKENIZER_FILE, "is not a tokenizer"),
        (lambda b: replace_file(b, "encoder.onnx", b"no graph"), "encoder.onnx", "is not an ONNX file"),
        (lambda b: edit(b, lambda d: d.update(labels=["a"])), "encoder.onnx", "width 3; its manifest says 1"),
        (lambda b: edit(b, lambda d: d.update(layout="padded")), "b: encoder.onnx", "takes the input 'pad_index'"),
        (lambda b: edit(b, lambda d: d["input"].update(pad_id=10**6)), "encoder.onnx", "warm-up run failed"),
        (lambda b: edit(b, lambda d: d.update(graphs={"x": d["graphs"]["encoder"]})), "b", "no graph 'encoder'"),
        (lambda b: edit(b, lambda d: d.update(labels=[])), MANIFEST_FILE, "task classify needs labels"),
    ],
)
def test_a_bad_bundle_is_refused_by_file_and_cause(
    tmp_path: Path, damage: Callable[[Path], object], file: str, cause: str
) -> None:
    bundle = make_text_encoder(tmp_path / "b")
    damage(bundle)
    with pytest.raises(BundleError, match=cause) as caught:
        load(bundle)
    assert Path(caught.value.path).name == file


def test_vectors_of_another_size_than_the_manifests_are_found(tmp_path: Path) -> None:
    bundle = make_text_encoder(tmp_path / "b", "embed", embedding=EmbeddingHead(pooling="mean", dimensions=7))
    edit(bundle, lambda d: d["embedding"].update(dimensions=8))
    with pytest.raises(BundleError, match="vectors of 7 dimensions; its manifest says 8"):
        load(bundle)


def test_limits_by_target(tmp_path: Path) -> None:
    manifest: Any = read_any_manifest(make_text_encoder(tmp_path / "b"))
    on_gpu = manifest.model_copy(update={"target": "cuda"})
    assert [batch_limits(m, EncoderSettings())[1].max_rows for m in (manifest, on_gpu)] == [64, 256]
    assert [batch_limits(m, EncoderSettings())[0] for m in (manifest, on_gpu)] == [2048, 16_384]
    assert batch_limits(on_gpu, EncoderSettings(preferred_batch_size=100))[1].preferred_rows == 100
    with pytest.raises(ConfigurationError, match="encoder settings: preferred_batch_size is 100; allowed: at most"):
        batch_limits(manifest, EncoderSettings(preferred_batch_size=100))
    with pytest.raises(ValidationError, match="preferred_batch_size is 9; allowed: at most max_batch_size, 8"):
        EncoderSettings(preferred_batch_size=9, max_batch_size=8)


class TestRepository:
    def load(self, *bundles: Path, gpu: GpuSettings | None = None) -> list[LoadedModel]:
        loader = ModelLoader(
            EngineSettings(threads=1, spinning=False, max_num_seqs=2),
            encoder=EncoderSettings(threads=1, spinning=False),
            gpu=gpu,
            verify=True,
            progress=lambda line: None,
        )
        return list(loader.load_all(bundles).models)

    def test_both_kinds_side_by_side(self, tmp_path: Path) -> None:
        make_synthetic_bundle(tmp_path / "writer", name="writer")
        make_text_encoder(tmp_path / "moods")
        make_text_encoder(tmp_path / "vectors", "embed")
        models = self.load(tmp_path)
        assert [model.name for model in models if model.generator] == ["writer"]
        assert sorted(model.name for model in models if model.encoders) == ["moods", "vectors"]
        assert find(models, "", GENERATE).name == find(models, "writer", GENERATE).name == "writer"
        assert find(models, "", encoding("embed")).name == find(models, "vectors", encoding("embed")).name == "vectors"

    def test_what_is_asked_of_the_wrong_model_is_refused(self, tmp_path: Path) -> None:
        make_synthetic_bundle(tmp_path / "writer", name="writer")
        make_text_encoder(tmp_path / "moods")
        make_text_encoder(tmp_path / "tempers")
        models = self.load(tmp_path)
        cases = [
            (lambda: find(models, "moods", encoding("embed")), r"'moods', which is for task classify.*embed: no model"),
            (
                lambda: find(models, "writer", encoding("classify")),
                r"'writer', which is for task generate.*'moods', 'tempers'",
            ),
            (
                lambda: find(models, "", encoding("classify")),
                r"model is empty; allowed, for task classify: 'moods', 'tempers'",
            ),
            (
                lambda: find(models, "moods", GENERATE),
                r"'moods', which is for task classify; allowed, for task generate: 'writer'",
            ),
        ]
        for ask, message in cases:
            with pytest.raises(InvalidRequest, match=message) as caught:
                ask()
            assert caught.value.field == "model"
        for ask in (lambda: find(models, "other", encoding("classify")), lambda: find(models, "other", GENERATE)):
            with pytest.raises(ModelNotFound, match="loaded models: 'moods', 'tempers', 'writer'"):
                ask()
        with pytest.raises(ModelNotFound):
            find(models, "", encoding("embed"))

    def test_encoders_alone(self, tmp_path: Path) -> None:
        models = self.load(make_text_encoder(tmp_path / "moods"))
        assert [model for model in models if model.generator] == []
        assert find(models, "", encoding("classify")).name == "moods"
        with pytest.raises(ModelNotFound):
            find(models, "", GENERATE)

    def test_names_are_unique_among_both_kinds(self, tmp_path: Path) -> None:
        make_synthetic_bundle(tmp_path / "a", name="same")
        make_text_encoder(tmp_path / "b", name="same")
        with pytest.raises(BundleError, match=r"has the name 'same', which .* has too"):
            self.load(tmp_path)

    def test_gpus_that_are_named_need_a_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"gpu\.devices names GPU 0, but no bundle is for one"):
            self.load(make_text_encoder(tmp_path / "moods"), gpu=GpuSettings(devices=(0,)))
