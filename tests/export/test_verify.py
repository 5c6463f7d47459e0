"""An export is done only when its graph was seen to give the model's logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from attendant.bundle import ParityCase
from attendant_export import export
from attendant_export.decoders import graphs
from attendant_export.errors import ParityError
from attendant_export.parity import judge
from attendant_export.recipe import PRECISIONS, Recipe

from tests.bundles import make_llama, make_tokenizer


def _case(error: float = 1e-6, cosine: float = 1.0, agreement: float = 1.0, positions: int = 10) -> ParityCase:
    return ParityCase(
        name="prefill", max_abs_error=error, cosine=cosine, positions=positions, greedy_agreement=agreement
    )


def test_report_takes_the_worst_of_its_cases() -> None:
    parity = judge([_case(1e-6, 1.0, 1.0, 30), _case(2e-6, 0.999999, 0.5, 10)], 1.0, Recipe())
    assert parity.max_abs_error == 2e-6
    assert parity.cosine == 0.999999
    assert parity.greedy_agreement == pytest.approx(0.875)
    assert "0.001" in parity.tolerance


@pytest.mark.parametrize("precision", sorted({name for names in PRECISIONS.values() for name in names}))
@pytest.mark.parametrize("case", [_case(cosine=0.5), _case(cosine=float("nan"))], ids=["far", "nan"])
def test_every_precision_refuses_other_logits(precision: Any, case: ParityCase) -> None:
    target = next(target for target, precisions in PRECISIONS.items() if precision in precisions)
    with pytest.raises(ParityError, match=r"prefill.*cosine"):
        judge([case], 1.0, Recipe(target, precision))


def test_fp32_refuses_a_large_error_and_says_how_large() -> None:
    with pytest.raises(ParityError, match=r"largest logit error is 0\.01, fp32 allows 0\.002"):
        judge([_case(error=0.01)], 2.0, Recipe())
    with pytest.raises(ParityError):
        judge([_case(error=float("nan"))], 1.0, Recipe())


def _scale_a_weight(graph: ir.Graph) -> None:
    node = next(node for node in graph if node.op_type == "MatMul")
    value = node.inputs[1]
    assert value is not None
    assert value.const_value is not None
    weight = value.const_value.numpy()
    value.const_value = ir.Tensor((weight * np.float32(3)).astype(weight.dtype), name=value.name)


def _narrow_the_window(graph: ir.Graph) -> None:
    for node in graph:
        if node.op_type in ("GroupQueryAttention", "PagedAttention"):
            node.attributes["local_window_size"] = ir.AttrInt64("local_window_size", 5)


def _forget_rotation(graph: ir.Graph) -> None:
    for node in graph:
        node.attributes.pop("do_rotary", None)


@pytest.mark.parametrize("damage", [_scale_a_weight, _narrow_the_window, _forget_rotation])
@pytest.mark.parametrize(
    "recipe",
    [Recipe(), Recipe(precision="int8"), Recipe("cuda", "bf16"), Recipe("cuda", "fp16", "int8")],
    ids=lambda recipe: f"{recipe.target}-{recipe.precision}",
)
def test_a_broken_graph_is_refused_and_nothing_is_written(
    damage: Any, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite = graphs.rewrite  # type: ignore[attr-defined]

    def rewrite_and_damage(model: ir.Model, *args: Any, **keywords: Any) -> None:
        rewrite(model, *args, **keywords)
        damage(model.graph)

    monkeypatch.setattr(graphs, "rewrite", rewrite_and_damage)
    with pytest.raises(ParityError, match="verification failed in"):
        export.export_model(make_llama(), make_tokenizer().to_str(), tmp_path / "bundle", recipe=recipe)
    assert list(tmp_path.iterdir()) == []


def test_manifest_holds_the_report(tmp_path: Path) -> None:
    manifest = export.export_model(make_llama(), make_tokenizer().to_str(), tmp_path / "bundle")
    assert [case.name for case in manifest.parity.cases] == ["prefill", "chunk", "ragged_decode"]
    assert all(case.positions >= 24 for case in manifest.parity.cases)
    assert manifest.parity.max_abs_error < 1e-4
