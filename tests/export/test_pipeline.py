"""The pipeline needs to know nothing of a model but how to plan, write and verify it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from attendant.bundle import MANIFEST_FILE, EncoderManifest, Parity, TextInput, read_any_manifest, verify_files
from attendant_export.drafts import Common, Order, Written
from attendant_export.errors import CalibrationError, ParityError
from attendant_export.graph.files import save_graphs
from attendant_export.pipeline import export
from attendant_export.prompts import Encode
from attendant_export.recipe import Recipe
from attendant_export.writer import write_manifest

from tests.bundles import make_tokenizer

INT8, FP32 = Recipe(precision="int8"), Recipe()


@dataclass(frozen=True)
class Stand:
    """A model of a kind of its own: one graph, faithful in the precisions that are given."""

    faithful: tuple[str, ...]
    tokenizer_json: str | None = None
    known_ids: int | None = None
    encode: Encode | None = None

    def drafts(self, recipes: Sequence[Recipe], order: Order) -> Iterator[StandDraft]:
        return (StandDraft(recipe, recipe.precision in self.faithful) for recipe in recipes)


@dataclass(frozen=True)
class StandDraft:
    recipe: Recipe
    faithful: bool

    def write(self, folder: Path) -> Written:
        model = ir.Model(_table(), ir_version=10)
        return Written(save_graphs({"encoder": model}, folder), ("nothing",))

    def verify(self, folder: Path, written: Written) -> Parity:
        assert (folder / written.graphs["encoder"].file).is_file()
        if not self.faithful:
            raise ParityError("far off")
        return Parity(max_abs_error=0.0, cosine=1.0, greedy_agreement=1.0, tolerance="none", cases=())

    def look(self, written: Written) -> None:
        return None

    def manifest(self, written: Written, common: Common) -> EncoderManifest:
        rows = TextInput(max_tokens=8, pad_id=0)
        return EncoderManifest(
            **common, task="classify", architecture="stand", input=rows, layout="packed", labels=("a", "b")
        )


def _table() -> ir.Graph:
    """Two logits of each token, out of a table."""
    ids = ir.Value(name="input_ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([1, "num_tokens"]))
    table = ir.Value(name="table", const_value=ir.tensor(np.eye(8, 2, dtype=np.float32), name="table"))
    gather = ir.node("Gather", [table, ids])
    squeeze = ir.node("Squeeze", [gather.outputs[0]])
    logits = squeeze.outputs[0]
    logits.name, logits.dtype, logits.shape = "logits", ir.DataType.FLOAT, ir.Shape(["num_rows", 2])
    return ir.Graph([ids], [logits], nodes=[gather, squeeze], initializers=[table], opset_imports={"": 21})


def test_a_kind_that_the_exporter_never_heard_of_becomes_a_bundle(tmp_path: Path) -> None:
    words = make_tokenizer().to_str()
    manifest = export(Stand(("fp32",), words), [FP32], Order(tmp_path / "b", "stand"))
    assert manifest == read_any_manifest(tmp_path / "b")
    verify_files(tmp_path / "b", manifest)
    assert sorted(manifest.files) == ["encoder.onnx", "encoder.onnx.data", "tokenizer.json"]
    assert (manifest.name, manifest.architecture, manifest.recipe) == ("stand", "stand", ("nothing",))
    assert (manifest.source.id, manifest.parity.cosine) == ("stand", 1.0)


def test_a_manifest_names_further_capabilities_only_where_there_are_some(tmp_path: Path) -> None:
    """Servers of before there were any refuse fields that they do not know."""
    plain = export(Stand(("fp32",)), [FP32], Order(tmp_path / "b", "stand"))
    assert "further_capabilities" not in (tmp_path / "b" / MANIFEST_FILE).read_text(encoding="utf-8")
    more = plain.model_copy(update={"further_capabilities": ("embed",)})
    write_manifest(tmp_path / "b", more)
    assert read_any_manifest(tmp_path / "b") == more


def test_only_where_the_fastest_is_sought_is_a_second_recipe_tried(tmp_path: Path) -> None:
    told: list[str] = []
    order = Order(tmp_path / "b", "stand", max_kl=0.1, tell=told.append, attention="none")
    assert export(Stand(("fp32",)), [INT8, FP32], order).precision == "fp32"
    assert told == ["int8: not faithful enough: far off", "fp32: cosine 1.00000; taken"]
    with pytest.raises(ParityError, match=r"^far off$"):
        export(Stand(("fp32",)), [INT8], Order(tmp_path / "c", "stand"))
    with pytest.raises(ParityError, match=r"no precision is faithful enough: int8: far off; fp32: far off"):
        export(Stand(()), [INT8, FP32], Order(tmp_path / "c", "stand", max_kl=0.1))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_what_is_asked_is_checked_before_anything_is_planned(tmp_path: Path) -> None:
    told: list[str] = []
    words = make_tokenizer()
    with pytest.raises(CalibrationError, match="for models that read text"):
        export(Stand(("fp32",)), [FP32], Order(tmp_path / "b", "stand", calibration="a text"))
    order = Order(tmp_path / "b", "stand", tell=told.append, attention="none")
    export(Stand(("fp32",), words.to_str(), known_ids=299), [FP32], order)
    assert [line[:44] for line in told] == ["warning: the tokenizer has tokens that the m"]
