"""What becomes of each field of generation_config.json, and that none is forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attendant_export.errors import SourceError
from attendant_export.settings import SETTINGS, generation_defaults, markdown, setting_warnings
from transformers import GenerationConfig

from tests.bundles import make_llama

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings-of-checkpoints.md"


@pytest.fixture(scope="module")
def model() -> Any:
    return make_llama(num_hidden_layers=1)


def with_settings(model: Any, **settings: Any) -> Any:
    model.generation_config = GenerationConfig(eos_token_id=2, **settings)
    return model


def test_every_field_that_transformers_knows_is_in_the_table() -> None:
    names = [each.name for each in SETTINGS]
    assert len(names) == len(set(names))
    assert set(GenerationConfig().to_dict()) - set(names) == set()


def test_the_documentation_has_the_table() -> None:
    assert "\n".join(markdown()) in DOCUMENT.read_text()


def test_settings_that_are_honoured_need_no_warning(model: Any) -> None:
    with_settings(
        model, do_sample=True, top_k=5, typical_p=0.5, bad_words_ids=[[3, 4]], use_cache=False, dola_layers=None
    )
    assert setting_warnings(model) == ()
    with_settings(model, guidance_scale=1.0, num_beam_groups=1, diversity_penalty=0.0)
    assert setting_warnings(model) == ()


def test_what_is_not_honoured_is_named(model: Any) -> None:
    with_settings(model, guidance_scale=2.5, chat_format="chatml", do_sample=True, num_beams=4)
    lines = setting_warnings(model)
    assert all(line.startswith("generation_config.json: ") for line in lines)
    assert [line.split()[1] for line in lines] == ["guidance_scale", "chat_format", "num_beams"]


def test_tokens_that_the_model_has_not_are_named_and_left_out(model: Any) -> None:
    with_settings(model, suppress_tokens=[3, 5000, -1], bad_words_ids=[[7, 5001], [8]], forced_eos_token_id=9999)
    lines = " ".join(setting_warnings(model))
    assert all(token in lines for token in ("5000", "5001", "9999"))
    found = generation_defaults(model)
    assert (found.suppress_tokens, found.bad_words, found.forced_last) == ((3, 8), (), None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_bias": [[3, 4]]}, "sequence_bias is no list of pairs"),
        ({"exponential_decay_length_penalty": 3}, "takes a start and a factor"),
        ({"min_p": "much"}, "min_p is 'much', which is no number"),
    ],
)
def test_settings_of_another_shape_are_told(model: Any, settings: dict[str, Any], message: str) -> None:
    model.generation_config = GenerationConfig(eos_token_id=2)
    model.generation_config.update(**settings)
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    with pytest.raises(SourceError, match=message):
        generation_defaults(model)
