"""`--precision auto` takes the fastest precision that is faithful enough; `--calibration` takes texts only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attendant_export.auto import Auto
from attendant_export.calibration_file import check_calibration, read_calibration
from attendant_export.cli import main
from attendant_export.drafts import Order
from attendant_export.encoders.export import Encoder
from attendant_export.encoders.text_plan import EncoderSource, plan_text
from attendant_export.errors import CalibrationError, ExportError
from attendant_export.export import export_model
from attendant_export.pipeline import export
from attendant_export.recipe import ENCODER_PRECISIONS, PRECISIONS, Recipe

from tests.bundles import make_llama, make_tokenizer
from tests.export.encoder_families import make_model


def test_four_bits_are_tried_only_where_they_may_do() -> None:
    precisions = [recipe.precision for recipe in Auto(max_kl=0.01).recipes(PRECISIONS["cpu"])]
    assert precisions[0] == "int8"
    assert precisions[-1] == "fp32"
    assert "int4" not in precisions
    assert Auto(max_kl=0.05).recipes(PRECISIONS["cpu"])[0].precision == "mixed"
    assert [recipe.precision for recipe in Auto().recipes(ENCODER_PRECISIONS["cpu"], "embed")] == ["int8", "fp32"]
    assert [recipe.precision for recipe in Auto("cuda").recipes(PRECISIONS["cuda"])] == ["bf16", "fp16"]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_divergence_is_a_positive_number(value: float) -> None:
    with pytest.raises(ExportError, match="must be a positive number of nats"):
        Auto(max_kl=value)


@pytest.mark.parametrize(("max_kl", "taken", "refused"), [(0.3, "mixed", 0), (0.01, "int8", 0)])
def test_the_fastest_that_is_faithful_enough_is_taken(max_kl: float, taken: str, refused: int, tmp_path: Path) -> None:
    told: list[str] = []
    manifest = export_model(
        make_llama(), make_tokenizer().to_str(), tmp_path / "b", recipe=Auto(max_kl=max_kl), tell=told.append
    )
    assert manifest.precision == taken
    assert manifest.parity.fidelity is not None
    assert manifest.parity.fidelity.kl <= max_kl
    assert len(told) == refused + 1
    assert told[-1].startswith(f"{taken}: KL ")


def test_the_last_is_fp32_and_the_others_say_why_not(tmp_path: Path) -> None:
    told: list[str] = []
    manifest = export_model(
        make_llama(), make_tokenizer().to_str(), tmp_path / "b", recipe=Auto(max_kl=1e-7), tell=told.append
    )
    assert manifest.precision == "fp32"
    assert told[0].startswith("int8: not faithful enough")
    assert "asked for 1e-07" in told[0]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_the_command_takes_auto_and_tells_what_it_found(
    llama_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(llama_source), str(tmp_path / "b"), "--precision", "auto"]) == 0
    shown = capsys.readouterr()
    assert "int8: KL 0.00" in shown.err
    assert "on natural text (no trained model of natural text), prompts: KL 0.00" in shown.out


def test_an_encoder_is_compared_on_sentences_vector_by_vector(tmp_path: Path) -> None:
    plan = plan_text(EncoderSource(make_model("bert", "embed"), "embed", tokenizer_json=make_tokenizer().to_str()))
    found = export(Encoder(plan), [Recipe(precision="int8")], Order(tmp_path / "b", "b")).parity.vectors
    assert found is not None
    assert found.vectors > 10  # one for each sentence
    assert 0.995 < found.least_cosine <= found.cosine < 1


def test_max_kl_needs_auto(llama_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(llama_source), str(tmp_path / "b"), "--max-kl", "0.1"]) == 2
    assert "--max-kl goes with --precision auto" in capsys.readouterr().err


# -- calibration


def test_a_calibration_file_is_utf8_text(tmp_path: Path) -> None:
    path = tmp_path / "text"
    with pytest.raises(CalibrationError, match=r"text cannot be read: No such file"):
        read_calibration(path)
    with pytest.raises(CalibrationError, match="cannot be read: Is a directory"):
        read_calibration(tmp_path)
    path.write_bytes(b"abc\xff")
    with pytest.raises(CalibrationError, match="is no UTF-8 text: byte 3 is 0xff"):
        read_calibration(path)
    path.write_text("Grüße", encoding="utf-8")
    assert read_calibration(path) == "Grüße"


def test_a_calibration_text_has_enough_tokens() -> None:
    def encode(text: str) -> list[int]:
        return [0] * len(text)

    check_calibration("a" * 256, encode)
    check_calibration(None, None)
    with pytest.raises(CalibrationError, match="has 255 tokens; at least 256 are needed"):
        check_calibration("a" * 255, encode)
    with pytest.raises(CalibrationError, match="models that read text"):
        check_calibration("a" * 256, None)


@pytest.mark.parametrize("arguments", [["--calibration", "missing.txt"], ["--calibration", __file__]])
def test_the_command_refuses_a_bad_calibration_file(
    arguments: Any, llama_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("Too short.")
    given = [arguments[0], str(short) if arguments[1] == __file__ else arguments[1]]
    assert main([str(llama_source), str(tmp_path / "b"), *given]) == 2
    assert "calibration" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
