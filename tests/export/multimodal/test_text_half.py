"""The language model of a checkpoint that reads more than text answers texts as the whole does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant.bundle import read_manifest
from attendant_export.cli import main
from attendant_export.decoders.source import load_decoder
from attendant_export.errors import UnsupportedModel
from attendant_export.source.folder import SourceFolder
from attendant_export.source.resolving import resolve
from attendant_export.source.text_half import text_half
from attendant_export.words import read_words

from tests.bundles import make_llama_source
from tests.export.adapters.folders import adapted, write_adapter
from tests.export.multimodal.folders import TEMPLATE, make_folder, save
from tests.export.multimodal.models import RIGHT, make_whole


def logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits
    return found


def texts() -> torch.Tensor:
    draw = torch.Generator().manual_seed(5)
    return torch.randint(3, 300, (2, 40), generator=draw)


@pytest.mark.parametrize("name", RIGHT)
def test_it_answers_texts_as_the_whole_does(tmp_path: Path, name: str) -> None:
    whole = make_folder(tmp_path / "m", name)
    half = load_decoder(resolve(str(tmp_path / "m"), part="text")).model
    wanted, found = logits(whole, texts()), logits(half, texts())
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert half.generation_config is not None


def test_it_is_exported_with_the_template_of_the_processor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "m", make_whole("qwen2_vl"))
    assert main([str(folder), str(tmp_path / "b"), "--part", "text", "--attention", "none"]) == 0
    manifest = read_manifest(tmp_path / "b")
    left_out = "images are left out: this is the language model of qwen2_vl alone"
    assert manifest.warnings[0] == left_out
    assert f"warning: {left_out}" in capsys.readouterr().err
    assert manifest.task == "generate"
    assert (manifest.architecture, manifest.chat_template) == ("qwen2_vl_text", TEMPLATE)


@pytest.mark.parametrize("task", ["generate", "embed"])
def test_a_model_of_texts_has_no_other_part(tmp_path: Path, task: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_llama_source(tmp_path / "m")
    assert main([str(folder), str(tmp_path / "b"), "--part", "text", "--task", task]) == 2
    assert "--part text is for models that" in capsys.readouterr().err


def test_an_adapter_of_the_whole_is_in_its_language_model(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", make_whole("llava"))
    whole = make_whole("llava")
    names = [name for name, _ in whole.named_modules() if "language_model" in name and name.endswith("q_proj")]
    adapter = write_adapter(tmp_path / "a", whole, names, target_modules=r".*language_model.*\.q_proj")
    half = load_decoder(resolve(str(folder), adapters=[adapter], part="text")).model
    before = logits(whole, texts())
    wanted = logits(adapted(whole, adapter, dict.fromkeys(names, 6.0)), texts())
    assert (before - wanted).abs().max() > 1e-2
    torch.testing.assert_close(logits(half, texts()), wanted, atol=1e-4, rtol=1e-4)


def test_one_that_answers_otherwise_within_the_whole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_whole("llava")
    plain = whole.forward
    monkeypatch.setattr(whole, "forward", lambda **given: changed(plain(**given)))
    with pytest.raises(UnsupportedModel, match=r"does not answer a text as the whole does \(logits differ by"):
        text_half(whole)


def changed(output: Any) -> Any:
    output.logits = output.logits * 1.5
    return output


def test_the_words_of_a_processor_do_not_go_before_the_tokenizers(tmp_path: Path) -> None:
    folder = make_llama_source(tmp_path / "m")
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    assert read_words(SourceFolder(folder)).chat_templates["default"] != TEMPLATE
