"""What an adapter's folder says is honoured or refused by name, and told in the bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import read_manifest
from attendant_export.cli import main
from attendant_export.errors import SourceError
from attendant_export.source.adapters.files import read_adapter
from transformers import AutoModelForCausalLM

from tests.bundles import make_llama_source
from tests.export.adapters.folders import SETTINGS, write_adapter


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'; adapters of LORA are merged"),
        ({"peft_type": None}, "peft_type is None"),
        ({"layer_replication": [[0, 2], [1, 2]]}, r"layer_replication is \[\[0, 2\], \[1, 2\]\], which is not known"),
        ({"target_parameters": ["experts.down_proj"]}, "target_parameters is .*, which is not known"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices is"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is"),
        ({"of_next_year": True}, "of_next_year is True, which is not known"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4', which changed the weights"),
        ({"use_dora": True, "lora_bias": True}, "use_dora and lora_bias together"),
        ({"r": 0}, "r is 0, not a number above 0"),
        ({"lora_alpha": "8"}, "lora_alpha is '8', not a number"),
        ({"rank_pattern": ["x"]}, "rank_pattern is .*, not an object"),
        ({"target_modules": "("}, r"target_modules is '\(', which is no pattern"),
        ({"target_modules": [1]}, "target_modules is .*, not a list of names"),
        ({"layers_to_transform": ["a"]}, "layers_to_transform is .*, not a list of numbers"),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused_by_name(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({**SETTINGS, **settings}))
    with pytest.raises(SourceError, match=words):
        read_adapter(tmp_path)


def test_fields_of_training_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(
        json.dumps(
            {**SETTINGS, "lora_dropout": 0.1, "eva_config": {"rho": 2}, "init_lora_weights": "eva", "bias": "all"}
        )
    )
    with pytest.raises(SourceError, match=r"has no adapter_model.safetensors$"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_model.bin").write_text("x")
    with pytest.raises(SourceError, match=r"adapter_model.bin is pickled, which is not read; save it"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_text("x")
    with pytest.raises(SourceError, match=r"adapter_model.safetensors cannot be read: "):
        read_adapter(tmp_path)


def test_a_folder_without_settings_is_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is no folder of an adapter: it has no adapter_config.json"):
        read_adapter(tmp_path / "none")


def test_a_bundle_tells_of_its_adapters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_llama_source(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(source)
    names = [name for name, _ in model.named_modules() if name.endswith(("q_proj", "v_proj"))]
    adapter = write_adapter(tmp_path / "tone", model, names, base_model_name_or_path="acme/base")
    other = write_adapter(tmp_path / "facts", model, names, base_model_name_or_path="acme/another")
    (other / "tokenizer.json").write_text('{"version": "1.0"}')
    (other / "chat_template.jinja").write_text("{{ messages }}")
    arguments = ["--adapter", str(adapter), "--adapter", str(other), "--precision", "int8"]
    assert main([str(source), str(tmp_path / "bundle"), *arguments]) == 0
    manifest = read_manifest(tmp_path / "bundle")
    digest = hashlib.sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
    assert manifest.recipe[0] == (
        f"adapter tone merged in float32: {len(names)} weights, adapter_model.safetensors with SHA-256 {digest}"
    )
    assert manifest.recipe[1].startswith("adapter facts merged in float32")
    said = "\n".join(manifest.warnings)
    assert "adapter facts says that it was trained on acme/another; it is merged into base" in said
    assert "adapter facts brings a tokenizer and a chat template of its own, which is not served" in said
    assert "adapter tone" not in said
    assert said.splitlines()[0] in capsys.readouterr().err


def test_an_adapter_alone_names_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({**SETTINGS, "base_model_name_or_path": "acme/base"}))
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert (
        f"holds an adapter alone (LORA), no model: export acme/base, and have it merged with --adapter {tmp_path}"
        in (capsys.readouterr().err)
    )
