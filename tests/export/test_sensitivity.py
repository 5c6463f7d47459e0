"""Which products 4 bits hurt most is found by trial."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from attendant_export.calibration_runs import prompt_runs
from attendant_export.graph.nodes import Editor, array_of, attribute, nodes_of
from attendant_export.quantisation.plan import FOUR_BITS
from attendant_export.quantisation.products import product_groups
from attendant_export.quantisation.quantise import quantise
from attendant_export.quantisation.sensitivity import TRIAL_TOKENS, damage, shortened, worth_more_bits

from tests.export.architectures import build
from tests.export.measure import LENGTH, Subject
from tests.export.shapes import VOCAB


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(build("llama"), tmp_path_factory.mktemp("sensitivity"))


def _runs(subject: Subject) -> list[dict[str, np.ndarray]]:
    windows = np.random.default_rng(4).integers(3, VOCAB, (4, LENGTH))
    return [dict(run) for run in prompt_runs(subject.layers, windows)]  # type: ignore[arg-type]


def _with_a_spoilt_product(subject: Subject, number: int) -> ir.Model:
    """The graph with one weight whose blocks each have an enormous value, which leaves nothing of the others."""
    model = subject.model.clone()
    node = product_groups(model.graph)[number].nodes[0]
    weight = array_of(node.inputs[1]).copy()
    weight[::32] *= 60
    node.replace_input_with(1, Editor(model.graph).constant(weight, "spoilt"))
    return model


@pytest.mark.parametrize("number", [1, 3])
def test_the_product_that_suffers_is_found(subject: Subject, number: int) -> None:
    model = _with_a_spoilt_product(subject, number)
    groups = product_groups(model.graph)
    before = ir.to_proto(model).SerializeToString()
    damages = damage(model, groups, shortened(_runs(subject)[0]), FOUR_BITS)
    assert int(np.argmax(damages)) == number
    assert all(each > 0 for each in damages)
    assert ir.to_proto(model).SerializeToString() == before, "the trial leaves the graph as it was"


def test_a_shortened_run_is_the_beginning_of_the_prompt(subject: Subject) -> None:
    run = _runs(subject)[0]
    cut = shortened(run, 7)
    assert cut["input_ids"].tolist() == run["input_ids"][:, :7].tolist()
    assert (cut["seqlens_k"].item(), cut["total_sequence_length"].item()) == (6, 7)
    assert shortened(run, TRIAL_TOKENS)["input_ids"].shape[1] == min(LENGTH, TRIAL_TOKENS)


def test_bytes_go_where_they_gain_most(subject: Subject) -> None:
    groups = product_groups(subject.graph)[:4]
    sizes = [sum(array_of(node.inputs[1]).size for node in group.nodes) for group in groups]
    chosen = worth_more_bits(groups, [0.1, 5.0, 0.2, 0.0], sizes[1] + sizes[0], extra_bits=8)
    assert groups[1] in chosen
    assert groups[3] not in chosen, "what is not hurt gets nothing"
    assert sum(size for group, size in zip(groups, sizes, strict=True) if group in chosen) <= sizes[1] + sizes[0]
    assert not worth_more_bits(groups, [1.0] * 4, 0, extra_bits=8)


def test_int4_gives_8_bits_to_what_suffers(subject: Subject) -> None:
    model = _with_a_spoilt_product(subject, 1)
    shape = tuple(product_groups(model.graph)[1].nodes[0].inputs[1].shape)
    done = quantise(model, "int4", _runs(subject))
    bits = [
        attribute(node, "bits", 0)
        for node in nodes_of(model.graph, "MatMulNBits")
        if (attribute(node, "K", 0), attribute(node, "N", 0)) == shape
    ]
    assert bits[0] == 8, done
