"""An export is done only when its graph was seen to give the model's logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from attendant.bundle import ParityCase
from attendant_export import export
from attendant_export.errors import ParityError
from attendant_export.verify import TOLERANCES, judge

from tests.bundles import make_llama, make_llama_bundle, make_tokenizer


def _case(error: float = 1e-6, cosine: float = 1.0, agreement: float = 1.0, positions: int = 10) -> ParityCase:
    return ParityCase(
        name="prefill", max_abs_error=error, cosine=cosine, positions=positions, greedy_agreement=agreement
    )


def test_report_takes_the_worst_of_its_cases() -> None:
    parity = judge([_case(1e-6, 1.0, 1.0, 30), _case(2e-6, 0.999999, 0.5, 10)], 1.0, "fp32")
    assert parity.max_abs_error == 2e-6
    assert parity.cosine == 0.999999
    assert parity.greedy_agreement == pytest.approx(0.875)
    assert "0.001" in parity.tolerance


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("case", [_case(cosine=0.5), _case(cosine=float("nan"))], ids=["far", "nan"])
def test_every_precision_refuses_other_logits(precision: Any, case: ParityCase) -> None:
    with pytest.raises(ParityError, match=r"prefill.*cosine"):
        judge([case], 1.0, precision)


def test_fp32_refuses_a_large_error_and_says_how_large() -> None:
    with pytest.raises(ParityError, match=r"largest logit error is 0\.01, fp32 allows 0\.002"):
        judge([_case(error=0.01)], 2.0, "fp32")
    with pytest.raises(ParityError):
        judge([_case(error=float("nan"))], 1.0, "fp32")


def _scale_a_weight(graph: ir.Graph) -> None:
    node = next(node for node in graph if node.op_type == "MatMul")
    value = node.inputs[1]
    assert value is not None
    assert value.const_value is not None
    value.const_value = ir.Tensor(value.const_value.numpy() * np.float32(3), name=value.name)


def _narrow_the_window(graph: ir.Graph) -> None:
    for node in graph:
        if node.op_type == "GroupQueryAttention":
            node.attributes["local_window_size"] = ir.AttrInt64("local_window_size", 5)


def _forget_rotation(graph: ir.Graph) -> None:
    for node in graph:
        node.attributes.pop("do_rotary", None)


@pytest.mark.parametrize("damage", [_scale_a_weight, _narrow_the_window, _forget_rotation])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_broken_graph_is_refused_and_nothing_is_written(
    damage: Any, precision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite = export.rewrite

    def rewrite_and_damage(model: ir.Model, context_length: int) -> None:
        rewrite(model, context_length)
        damage(model.graph)

    monkeypatch.setattr(export, "rewrite", rewrite_and_damage)
    with pytest.raises(ParityError, match="verification failed in"):
        make_llama_bundle(tmp_path / "bundle", precision)
    assert list(tmp_path.iterdir()) == []


def test_manifest_holds_the_report(tmp_path: Path) -> None:
    manifest = export.export_model(make_llama(), make_tokenizer().to_str(), tmp_path / "bundle")
    assert [case.name for case in manifest.parity.cases] == ["prefill", "chunk", "ragged_decode"]
    assert all(case.positions >= 24 for case in manifest.parity.cases)
    assert manifest.parity.max_abs_error < 1e-4
