"""What says no to a model that reads more than text, and why; without reading any weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attendant_export.cli import main

from tests.export.multimodal.folders import add_words, make_config
from tests.export.multimodal.models import RIGHT, classes

FLAG = "--part text exports its language model without the rest"
ENCODER_DECODERS = ("florence2", "pix2struct", "t5gemma2", "pp_formulanet", "udop", "vision-encoder-decoder")
REASONS = {
    "blip-2": "its code takes no text without one",
    "idefics": "its code takes no text without one",
    "kosmos-2": "its code takes no text without one",
    "kosmos-2.5": "counts the positions of a text from two on",
    "diffusion_gemma": "writes whole blocks of text by removing noise",
    "evolla": "proteins",
    "kyutai_speech_to_text": "codes of sound beside a token of text",
    "pi0": "movements of a robot",
    "shieldgemma2": "it judges images",
    "voxtral_realtime": "it adds sound to the token at each position",
    "qwen3_5": "it has linear_attention layers",
    "dots3_note": "it has indexed_attention layers",
    "mistral_large4": "it has indexed_attention layers",
    "unlimited_ocr": "it has reference_sliding_attention layers",
    "inkling_mm_model": "it has hybrid, hybrid_sliding layers",
    "qwen4_exp": "it has indexed_attention, linear_attention layers",
    "nemo_speechlm": "linear_attention",
}


@pytest.mark.parametrize(("name", "what"), [("llava", "images"), ("gemma3", "images"), ("vibevoice_asr", "sound")])
def test_without_the_flag_the_error_names_it(
    tmp_path: Path, name: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = told(name, tmp_path, capsys)
    assert f"cannot export {name!r}: it reads {what} beside text" in error
    assert FLAG in error


@pytest.mark.parametrize("name", ENCODER_DECODERS[:4])
def test_an_encoder_decoder_has_no_such_part(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = told(name, tmp_path, capsys, "--part", "text")
    assert "--part text is for models that read images or sound beside text and continue it" in error


@pytest.mark.parametrize("name", REASONS)
def test_with_the_flag_the_error_says_what_the_model_does(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert REASONS[name] in told(name, tmp_path, capsys, "--part", "text")


@pytest.mark.parametrize("name", sorted({*classes()} - {*ENCODER_DECODERS, "mistral4"}))
def test_without_it_every_type_is_told_the_flag_or_the_reason(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = told(name, tmp_path, capsys)
    assert FLAG in error or REASONS.get(name, "its code takes no text without one") in error


def told(name: str, place: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """What the command line says of a model of this type."""
    (place / "m").mkdir()
    make_config(name, place / "m")
    add_words(place / "m")
    assert main([str(place / "m"), str(place / "b"), *flags]) == 2
    return capsys.readouterr().err


def test_the_page_names_every_type() -> None:
    page = (Path(__file__).parents[3] / "docs" / "multimodal.md").read_text(encoding="utf-8")
    works, refused = page.partition("## What works")[2].split("## What is refused")
    right = {name.partition("/")[0] for name in RIGHT}
    assert named(works) >= right
    assert named(refused) >= {*REASONS, *ENCODER_DECODERS}
    assert named(works) & {*classes()} == right | {"mistral4"}
    assert named(works) | named(refused) >= {*classes()}


def named(text: str) -> set[str]:
    """What may be names of types."""
    return set(re.findall(r"[a-z0-9][a-z0-9_.-]*[a-z0-9]", text))
