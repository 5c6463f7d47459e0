"""Blocks that llama.cpp itself packed are read as it reads them (``by_llama_cpp.py`` made them)."""

from __future__ import annotations

import numpy as np
import pytest
from attendant_export.source.gguf.blocks import STORED, stored_blocks
from attendant_export.source.gguf.file import TYPES, GgufTensor

from tests.export.gguf.by_llama_cpp import PATH, PLAIN


@pytest.mark.parametrize("name", [name for name in TYPES if name not in PLAIN])
def test_blocks_of_a_type_are_its_values(name: str) -> None:
    with np.load(PATH) as made:
        data, values = made[f"{name}.bytes"], made[f"{name}.values"]
    tensor = GgufTensor("x", name, values.shape, data)
    assert np.array_equal(tensor.values(), values)
    if name in STORED:
        kept = stored_blocks(tensor).plain()
        np.testing.assert_allclose(kept, values, rtol=1e-6, atol=1e-7)
