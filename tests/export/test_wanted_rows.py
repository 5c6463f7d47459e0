"""What follows the last attention works on the rows whose logits are wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from attendant_export.graph.nodes import nodes_of

from tests.export.architectures import build
from tests.export.measure import Subject


def _after_attention(graph: ir.Graph) -> list[ir.Node]:
    nodes = list(graph)
    last = max(i for i, node in enumerate(nodes) if node.op_type == "GroupQueryAttention")
    return nodes[last + 1 :]


@pytest.mark.parametrize("name", ["llama", "gemma2", "phi"])
def test_products_after_the_last_attention_are_of_chosen_rows(name: str, tmp_path: Path) -> None:
    products = [node for node in _after_attention(Subject(build(name), tmp_path).graph) if node.op_type == "MatMul"]
    known = [node.outputs[0].shape for node in products if node.outputs[0].shape is not None]  # not always the head's
    assert len(known) >= 2
    assert {len(shape) for shape in known} == {2}


def test_rows_are_chosen_after_the_attention_and_from_the_residual(tmp_path: Path) -> None:
    graph = Subject(build("llama"), tmp_path).graph
    choices = [node for node in nodes_of(graph, "Gather") if node.inputs[1].name == "logits_index"]
    assert len(choices) == 2
    makers = [choice.inputs[0].producer().inputs[0].producer().op_type for choice in choices]
    assert sorted(makers) == ["Add", "GroupQueryAttention"]


def test_a_run_that_wants_no_logits_and_one_that_wants_all_agree_on_the_cache(tmp_path: Path) -> None:
    subject = Subject(build("llama"), tmp_path)
    tokens = np.random.default_rng(0).integers(3, 500, (1, 12))
    for precision in ("fp32", "int8", "int4"):
        session = subject.at(precision).session()
        every = session.run(slice(0, 1), tokens, [0])
        none = session.run(slice(1, 2), tokens, [0], logits_index=[])
        one = session.run(slice(2, 3), tokens, [0], logits_index=[11])
        assert len(none) == 0
        assert np.array_equal(one[0], every[11])
        for keys, values in session.caches:
            for row in (1, 2):
                assert np.array_equal(keys[0], keys[row])
                assert np.array_equal(values[0], values[row])
