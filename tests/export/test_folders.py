"""Folders that hold no model to export are told what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attendant_export.cli import main
from attendant_export.decoders.architectures import check_config
from attendant_export.errors import SourceError, UnsupportedModel, failures_of, first_line, reading
from attendant_export.source.folder import SourceFolder
from attendant_export.source.formats import check_folder
from attendant_export.source.quantised.scheme import NAMES
from attendant_export.source.unserved import check_served

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
LORA = {"peft_type": "LORA", "base_model_name_or_path": "acme/base"}
LLAMA = {"model_type": "llama"}
UNREAD_METHODS = (
    *("eetq", "aqlm", "quanto", "fouroversix", "fp_quant", "hqq", "higgs", "bitnet", "vptq", "spqr", "nvfp4"),
    *("metal", "sinq", "gemma"),
)
"""Of transformers, by the names that config.json has for them."""


def make(folder: Path, **files: Any) -> Path:
    """Files by name, ``__`` for a point and ``___`` for a slash; JSON of what is no text."""
    for name, content in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no config.json: it is not a model folder"),
        (
            {"adapter_config__json": LORA, "adapter_model__safetensors": "x"},
            r"adapter alone \(LORA\).*export acme/base, and have it merged with --adapter",
        ),
        ({"config__json": LLAMA, "adapter_config__json": LORA, "adapter_model__bin": "x"}, "holds an adapter alone"),
        ({"config__json": LLAMA, "adapter_config__json": LORA, "model__safetensors": "x"}, "beside them an adapter"),
        ({"params__json": {}, "consolidated__00__pth": "x"}, r"its maker's own format \(consolidated.00.pth\)"),
        ({"params__json": {}, "consolidated__safetensors": "x", "tekken__json": {}}, "its maker's own format"),
        ({"config__json": LLAMA, "model__safetensors": POINTER}, "model.safetensors is a pointer of git-LFS"),
        ({"config__json": LLAMA, "model__safetensors": "x", "tokenizer__json": POINTER}, "tokenizer.json is a pointer"),
        ({"model__onnx": "x"}, "is ONNX already"),
        ({"config__json": LLAMA, "onnx___model__onnx": "x"}, r"no weights of transformers.*ONNX already \(onnx/model"),
        ({"model_index__json": {}, "unet___config__json": {}}, "a pipeline of diffusers"),
        ({"m-q4__gguf": "x"}, r"is GGUF \(m-q4.gguf\)"),
        ({"config__json": LLAMA, "tf_model__h5": "x"}, "of TensorFlow"),
        ({"config__json": LLAMA, "flax_model__msgpack": "x"}, "of Flax"),
        ({"config__json": LLAMA}, "there are no weights"),
        ({"bundle__json": {}}, "a bundle already"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_a_folder_is(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        check_folder(SourceFolder(make(tmp_path, **files)))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        *(({"quant_method": name}, name) for name in UNREAD_METHODS),
        ({"bits": 4}, "a method without a name"),
        ({"quant_method": "auto-round", "packing_format": "auto_round"}, "auto-round in the layout auto_round"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unknown_quantisation_is_refused_by_name(tmp_path: Path, config: dict[str, Any], words: str) -> None:
    whole = {"model_type": "x", "text_config": {"quantization_config": config}}
    for content in ({**LLAMA, "quantization_config": config}, whole):
        with pytest.raises(SourceError, match=rf"quantised with {words} \(config.json\), which is not read; what is"):
            check_folder(SourceFolder(make(tmp_path, config__json=content, model__safetensors="x")))


def test_every_method_of_transformers_is_read_or_refused_by_name() -> None:
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as KNOWN

    beside = {"gguf", "mxfp8", "fbgemm_fp8", "bitsandbytes_4bit", "bitsandbytes_8bit", "auto-round"}  # by other names
    assert set(KNOWN) - beside == (set(NAMES) - {"bitsandbytes", "modelopt"}) | set(UNREAD_METHODS)


def test_plain_weights_are_no_matter_of_quantisation(tmp_path: Path) -> None:
    make(tmp_path, config__json=LLAMA, model__safetensors="x")
    check_folder(SourceFolder(tmp_path))
    check_folder(SourceFolder(make(tmp_path, config__json={**LLAMA, "quantization_config": None})))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "layoutlmv3", "architectures": ["LayoutLMv3ForTokenClassification"]}, "boxes"),
        ({"model_type": "lilt"}, "boxes"),
        ({"model_type": "tapas"}, "tables"),
        ({"model_type": "markuplm"}, "xpaths"),
        ({"model_type": "vit_mae", "architectures": ["ViTMAEForPreTraining"]}, "random part of every image"),
        ({"model_type": "vivit", "architectures": ["VivitForVideoClassification"]}, "videos"),
        ({"model_type": "canine", "architectures": ["CanineForTokenClassification"]}, "characters"),
        ({"model_type": "xmod", "architectures": ["XmodForCausalLM"]}, "default_language"),
        ({"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForAudioFrameClassification"]}, "labels every frame"),
        ({"model_type": "wavlm", "architectures": ["WavLMForXVector"]}, "makes vectors of voices"),
        ({"model_type": "own", "auto_map": {"AutoModel": "modeling.Own"}}, "its own modelling code"),
    ],
)
def test_models_for_something_else(config: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words):
        check_served(config)


def test_models_that_are_served_pass() -> None:
    for architecture, name in (("bert", "BertForTokenClassification"), ("wav2vec2", "Wav2Vec2ForCTC")):
        check_served({"model_type": architecture, "architectures": [name]})
    check_served({"model_type": "llama", "auto_map": {"AutoModel": "modeling.Own"}})


def test_another_task_is_told() -> None:
    with pytest.raises(UnsupportedModel, match="DetrForObjectDetection has no other task that is served"):
        check_config({"model_type": "detr", "architectures": ["DetrForObjectDetection"]})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("\nX requires timm"), "a package is missing: X requires timm"),
        (KeyError("sillu"), "transformers does not know 'sillu', which its config.json names"),
        (ValueError("\n\n the heads do not fit\nmore"), "the heads do not fit"),
        (TypeError("no size"), "TypeError: no size"),
    ],
)
def test_failures_of_loading_are_one_sentence(error: Exception, words: str) -> None:
    with pytest.raises(SourceError) as caught, reading("m: the model cannot be loaded"):
        raise error
    assert str(caught.value) == f"m: the model cannot be loaded: {words}"


def test_failures_of_a_models_code_are_one_sentence() -> None:
    fails = r"its code fails on sample inputs \(ValueError: You have to specify"
    with pytest.raises(UnsupportedModel, match=fails), failures_of("x"):
        raise ValueError("You have to specify pixel_values")
    with pytest.raises(UnsupportedModel, match=r"'t5': its config has no eos_id, which is needed"), failures_of("t5"):
        raise AttributeError("'T5Config' object has no attribute 'eos_id'")
    with pytest.raises(UnsupportedModel, match="its output has no logits, which is needed"), failures_of("x"):
        raise AttributeError("'BaseModelOutput' object has no attribute 'logits'")
    with pytest.raises(UnsupportedModel, match="a package is missing: no module"), failures_of("x"):
        raise ImportError("no module")
    assert len(first_line(RuntimeError("x" * 5000))) == 303


def test_the_command_never_ends_in_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: Any) -> None:
        raise RecursionError("deep inside\nand deeper")

    monkeypatch.setattr("attendant_export.export.export_bundle", fails)
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "error: the export failed unexpectedly (RecursionError: deep inside); --debug shows where" in told
    assert "Traceback" not in told
    assert main([str(tmp_path), str(tmp_path / "out"), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
