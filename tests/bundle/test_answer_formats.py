"""The formats that chat templates speak, and those that a bundle says."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.bundle import ChatTemplate, GeneratorManifest, formats_of, read_manifest
from attendant.core.answer_formats import AnswerFormats

from tests.frontend.answers.helpers import PARIS, TOOLS, tell_apart
from tests.synthetic import make_synthetic_bundle
from tests.templates import PUBLISHED


def test_templates_in_the_shape_of_published_ones_tell_their_formats() -> None:
    found = {name: formats_of({"default": each.source}) for name, each in PUBLISHED.items()}
    expected = {
        "command-rag": ("none", "none"),
        "deepseek-r1": ("none", "think"),
        "deepseek-v3": ("deepseek_v3", "none"),
        "gemma2": ("none", "none"),
        "gemma3": ("none", "none"),
        "gpt-oss": ("harmony", "harmony"),
        "granite33": ("granite", "think"),
        "hermes3": ("hermes", "none"),
        "llama3": ("llama3_json", "none"),
        "llama32-pythonic": ("llama_pythonic", "none"),
        "mistral-tekken": ("mistral_args", "mistral"),
        "mistral-v3": ("mistral", "none"),
        "mistral-v7": ("mistral", "none"),
        "phi4": ("none", "none"),
        "phi4-mini": ("phi4_mini", "none"),
        "qwen25": ("hermes", "none"),
        "qwen3": ("hermes", "think"),
        "smollm2": ("none", "none"),
        "smollm3": ("hermes", "think"),
    }
    assert found == {name: AnswerFormats(*formats) for name, formats in expected.items()}


@pytest.mark.parametrize("name", ["qwen3", "hermes3", "llama3", "llama32-pythonic", "mistral-v7", "granite33"])
def test_what_a_template_writes_of_a_call_is_read_again(name: str) -> None:
    """The assistant's turn as the template renders it is an answer in its format."""
    published = PUBLISHED[name]
    call = {"id": "abcdefghi", "type": "function", "function": {"name": PARIS[0], "arguments": PARIS[1]}}
    asked = {"role": "user", "content": "weather?"}
    template = ChatTemplate(published.source, {"bos_token": published.bos, "eos_token": published.eos})
    definitions = [
        {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in TOOLS.items()
    ]
    before = template.render([asked], tools=definitions, add_generation_prompt=True)
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    after = template.render([asked, turn], tools=definitions, add_generation_prompt=False)
    assert after.startswith(before)
    said = after[len(before) :]
    for token in published.special_tokens[:4]:
        said = said.split(token)[0] if token != "<tool_call>" else said
    formats = formats_of({"default": published.source})
    found = tell_apart(said, formats.tools, formats.reasoning)
    assert found.calls == (PARIS,), said


def test_a_template_of_the_bundle_says_how_answers_are_written(tmp_path: Path) -> None:
    manifest = read_manifest(make_synthetic_bundle(tmp_path / "m"))
    assert isinstance(manifest, GeneratorManifest)
    written = GeneratorManifest(**{**dict(manifest), "chat_template": "<tool_call></think>"})
    assert written.formats == AnswerFormats("hermes", "think")
    told = GeneratorManifest(**{**dict(written), "tool_format": "none", "reasoning_format": "granite"})
    assert told.formats == AnswerFormats("none", "granite")
    with pytest.raises(ValueError, match="allowed: hermes"):
        GeneratorManifest(**{**dict(written), "tool_format": "x"})
