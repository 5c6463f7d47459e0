"""What is read from a model folder, and what is said of one that cannot be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from attendant_export.decoders.architectures import check_config, context_length
from attendant_export.decoders.source import load_decoder
from attendant_export.encoders.tasks import task_of
from attendant_export.errors import (
    SourceError,
    SourceNotFound,
    TokenizerError,
    UnknownArchitecture,
    UnsupportedModel,
)
from attendant_export.settings import generation_defaults
from attendant_export.source.folder import SourceFolder
from attendant_export.source.json_files import read_json
from attendant_export.source.resolving import resolve
from attendant_export.words.special_tokens import special_tokens

from tests.bundles import CHAT_TEMPLATE, EOS, make_llama, make_tokenizer
from tests.export.architectures import build


@pytest.fixture
def folder(llama_source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama_source, tmp_path / "model"))


def _edit(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}))


def test_a_folder_is_loaded(folder: Path) -> None:
    source = resolve(str(folder))
    loaded = load_decoder(source)
    assert source.id == "model"
    assert loaded.words.chat_templates == {"default": CHAT_TEMPLATE}
    assert loaded.model.config._attn_implementation == "eager"
    assert {str(parameter.dtype) for parameter in loaded.model.parameters()} == {"torch.float32"}
    assert not loaded.model.training


def test_each_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr("attendant_export.source.folder.read_json", lambda path, **how: _noted(read, path, **how))
    source = resolve(str(folder))
    assert task_of(source) == "generate"
    load_decoder(source)
    assert {"config.json", "tokenizer_config.json"} <= set(read)
    assert len(read) == len(set(read))


def _noted(read: list[str], path: Path, **how: Any) -> dict[str, Any]:
    read.append(path.name)
    return read_json(path, **how)


def test_a_file_that_may_be_missing_for_one_is_missed_by_another(folder: Path) -> None:
    source = SourceFolder(folder)
    assert source.json("nothing.json", missing_ok=True) == {}
    with pytest.raises(SourceError, match=r"nothing\.json is missing"):
        source.json("nothing.json")


def test_chat_template_file_wins(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert load_decoder(resolve(str(folder))).words.chat_templates == {"default": "{{ messages }}"}


def test_named_chat_templates_give_the_default_one(folder: Path) -> None:
    named = [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]
    _edit(folder / "tokenizer_config.json", chat_template=named)
    assert load_decoder(resolve(str(folder))).words.chat_templates == {"tool_use": "a", "default": "b"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("./nothing/here", "does not exist"),
        ("/nothing/here", "does not exist"),
        ("a/b/c", "does not exist"),
        ("nobody/nothing", "no model hub can be reached"),
        ("not a name!", "neither a folder nor a valid hub id"),
    ],
)
def test_a_source_that_is_not_there(source: str, message: str) -> None:
    with pytest.raises(SourceNotFound, match=message):
        resolve(source)


def test_a_file_and_an_empty_folder_are_no_source(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceNotFound, match="is a file"):
        resolve(str(tmp_path / "file"))
    with pytest.raises(SourceNotFound, match=r"no config\.json"):
        resolve(str(tmp_path))


def test_unknown_architecture_names_near_ones(folder: Path) -> None:
    _edit(folder / "config.json", model_type="lama3")
    with pytest.raises(UnknownArchitecture, match=r"'lama3'.*did you mean .*llama"):
        load_decoder(resolve(str(folder)))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "cpmant"}, "biases scores by segments"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "vit"}, "no causal language model"),
        ({"model_type": "lfm2", "layer_types": ["conv", "full_attention"]}, "it has conv layers"),
    ],
)
def test_unsupported_config_says_why(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        check_config(config)


def test_config_without_a_model_type() -> None:
    with pytest.raises(SourceError, match="no model_type"):
        check_config({})


def test_broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(SourceError, match=r"config\.json cannot be read as JSON"):
        load_decoder(resolve(str(folder)))


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json"):
        load_decoder(resolve(str(folder)))


def test_broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json cannot be read"):
        load_decoder(resolve(str(folder)))


def test_vocabulary_and_merges_make_a_tokenizer(folder: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    pairs = [" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(pairs))
    _edit(folder / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    text = "where is my order?"
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(load_decoder(resolve(str(folder))).words.tokenizer_json)
    assert made.encode(text, add_special_tokens=False).ids == make_tokenizer().encode(text).ids


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    _edit(folder / "config.json", num_hidden_layers=3)
    with pytest.raises(SourceError, match=r"the weights lack 9 tensors of the model, first 'model\.layers\.2"):
        load_decoder(resolve(str(folder)))


def test_no_weights_and_broken_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(SourceError, match="cannot be loaded"):
        load_decoder(resolve(str(folder)))
    (folder / "model.safetensors").unlink()
    with pytest.raises(SourceError, match="cannot be loaded"):
        load_decoder(resolve(str(folder)))


def test_special_tokens_and_their_order_of_sources() -> None:
    model, tokenizer = make_llama(), make_tokenizer()
    model.generation_config.eos_token_id = [2, 7]
    model.generation_config.pad_token_id = None
    model.config.pad_token_id = None
    found = special_tokens(model, tokenizer, {"pad_token": {"content": EOS}})
    assert (found.bos, found.eos, found.pad) == (1, (2, 7), 2)


def test_generation_defaults_are_greedy_unless_the_model_samples() -> None:
    model = make_llama()
    config = model.generation_config
    config.temperature, config.top_k, config.top_p, config.repetition_penalty = 0.7, 20, 0.9, 1.1
    config.do_sample = False
    found = generation_defaults(model)
    assert (found.temperature, found.top_k, found.top_p, found.repetition_penalty) == (0.0, 20, 0.9, 1.1)
    config.do_sample = True
    found = generation_defaults(model)
    assert (found.temperature, found.top_k, found.top_p) == (0.7, 20, 0.9)


def test_context_length_ends_where_frequencies_would_change() -> None:
    assert context_length(build("gpt2")) == 128
    assert context_length(build("mpt")) == 128
    assert context_length(build("bloom")) == 2048
    factors = {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "rope_theta": 1e4}
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 64, **factors}
    assert context_length(make_llama(max_position_embeddings=256, rope_parameters=rope), "cuda") == 64
