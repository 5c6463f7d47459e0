"""What the makers' own libraries wrote is read to the bit as they read it (``makers/README.md``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attendant_export.source.folder import SourceFolder
from attendant_export.source.quantised.checkpoint import Checkpoint

SAMPLES = Path(__file__).parent / "makers"
NAMES = sorted(path.parent.name for path in SAMPLES.glob("*/expected.npz"))


@pytest.mark.parametrize("name", NAMES)
def test_a_makers_bytes_are_its_weights(name: str) -> None:
    found = SourceFolder(SAMPLES / name).pretrained("AutoModelForCausalLM").state_dict()
    with np.load(SAMPLES / name / "expected.npz") as expected:
        assert len(expected) >= 6  # projections of a layer, or those of attention and of all experts
        different = [key for key in expected if not np.array_equal(found[key].numpy(), expected[key])]
    assert not different


def test_there_are_samples_of_every_format() -> None:
    methods = {SourceFolder(SAMPLES / name).quantised.done[0].split(" weights of ")[1].split(" ")[0] for name in NAMES}
    assert methods == {"AWQ", "bitsandbytes", "compressed-tensors", "FP8", "GPTQ", "ModelOpt", "Quark", "torchao"}


def test_whole_numbers_of_makers_can_stay_as_they_are() -> None:
    """Zero points of 0 and all: the blocks that a graph gets stand for the same weights."""
    for name in ("gptqmodel-4", "autogptq-4", "autoawq-4", "compressed-tensors-words"):
        checkpoint = SourceFolder(SAMPLES / name).quantised
        assert isinstance(checkpoint, Checkpoint)
        assert checkpoint.precision == "int4"
        for key, weight in checkpoint.weights.items():
            if weight.blocks is not None:
                assert np.array_equal(weight.blocks().plain(), weight.read().numpy()), key
