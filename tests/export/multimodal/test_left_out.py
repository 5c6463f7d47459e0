"""Of a checkpoint that reads more than text only what a text goes through is built and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_export.decoders.source import load_decoder
from attendant_export.errors import SourceError
from attendant_export.source.resolving import resolve
from safetensors.torch import load_file, save_file

from tests.export.multimodal.folders import make_folder, save
from tests.export.multimodal.models import make_whole
from tests.export.multimodal.test_text_half import logits, texts
from tests.export.quantised.folders import Folder, quantised
from tests.export.quantised.test_awq import SETTINGS as AWQ
from tests.export.quantised.test_awq import in_awq
from tests.export.quantised.test_fp8 import BLOCKS, in_blocks

TOWERS = ("vision_tower", "visual", "audio_tower")


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "gemma3n"])
def test_the_tensors_of_towers_may_be_missing(tmp_path: Path, name: str) -> None:
    whole = make_whole(name)
    folder = save(tmp_path / "m", whole)
    assert rename(folder, lambda tensor: None if any(part in tensor for part in TOWERS) else tensor) > 0
    assert_like(half_of(folder), whole)


def test_nothing_is_said_of_tensors_that_are_not_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "m", make_whole("llava"))
    capfd.readouterr()
    half_of(folder)
    assert not any(capfd.readouterr())


def test_those_of_the_language_model_may_not(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", make_whole("llava"))
    assert rename(folder, lambda tensor: None if "layers.1.mlp.down_proj" in tensor else tensor) > 0
    with pytest.raises(SourceError, match=r"lack 1 tensors of the model, first .*layers\.1\.mlp\.down_proj"):
        half_of(folder)


@pytest.mark.parametrize("architecture", ["qwen2_5_omni", "qwen3_omni_moe"])
def test_of_one_that_speaks_the_part_that_thinks_is_taken(tmp_path: Path, architecture: str) -> None:
    whole = make_folder(tmp_path / "m", architecture)
    assert_like(half_of(tmp_path / "m"), whole)


@pytest.mark.parametrize(("settings", "pack"), [(BLOCKS, in_blocks), (AWQ, in_awq)], ids=["8 bits", "4 bits"])
def test_quantised_weights_are_read_as_they_are_of_any_model(tmp_path: Path, settings: Any, pack: Any) -> None:
    whole = make_whole("qwen2_5_vl")
    folder = quantised(tmp_path / "m", settings, pack, whole, of_layers)
    assert_like(half_of(folder.path), twin(whole, folder))


def of_layers(tensor: str) -> bool:
    """Whether a weight is of the projections of the language model."""
    return tensor.endswith("proj.weight") and "visual" not in tensor


def half_of(folder: Path) -> Any:
    """The language model of a folder."""
    return load_decoder(resolve(str(folder), part="text")).model


def twin(whole: Any, folder: Folder) -> Any:
    """``whole`` with the weights that a folder stands for."""
    write = folder.path.with_name("plain")
    whole.save_pretrained(write)
    save_file({name: tensor.contiguous() for name, tensor in folder.plain.items()}, write / "model.safetensors")
    return type(whole).from_pretrained(write, dtype=torch.float32, attn_implementation="eager").eval()


def assert_like(half: Any, whole: Any) -> None:
    """Whether both give the same logits for texts."""
    torch.testing.assert_close(logits(half, texts()), logits(whole, texts()), atol=1e-4, rtol=1e-4)


def rename(folder: Path, edit: Callable[[str], str | None]) -> int:
    """Gives tensors the names that ``edit`` makes of theirs, and drops those without; tells how many were dropped."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    kept = {new: tensor for name, tensor in tensors.items() if (new := edit(name)) is not None}
    save_file(kept, file, {"format": "pt"})
    return len(tensors) - len(kept)
