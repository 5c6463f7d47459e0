"""The names of graph inputs and outputs stand where they are declared, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import attendant.bundle.graph_io as graph_io
from attendant.bundle.graph_io import Port, all_signatures

ROOT = Path(__file__).parents[2]
ROOMS = ("server/attendant", "export/attendant_export", "export/attendant_demo", "loadtest/attendant_loadtest")
WORDS = {"logits", "rows", "source", "target", "picked", "drawn", "uniform", "embedding", "token_embeddings", "pooled"}
"""Names that are words with other meanings, too."""
TRANSFORMERS = {
    *("input_ids", "position_ids", "token_type_ids", "attention_mask"),
    *("pixel_values", "input_values", "input_features", "past_key_values", "decoder_input_ids"),
}
"""Names that transformers' own functions have for their arguments."""
OPERATOR = "export/attendant_export/paged/function.py"
"""The operator PagedAttention as a function: its parameters are named by ONNX Runtime, some as our inputs."""


def _ports() -> Iterator[Port]:
    for signature in all_signatures():
        yield from (*signature.inputs, *signature.outputs)


def _strings(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a file, and every fixed part of one that is formatted, but for docstrings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            yield node.lineno, node.value


def test_a_name_is_written_where_it_is_declared_and_nowhere_else() -> None:
    names = {port.name for port in _ports() if port.per is None} - WORDS - TRANSFORMERS
    starts = tuple(port.name.removesuffix("{i}") for port in _ports() if port.per in ("layer", "cross_layer"))
    assert {"seqlens_k", "block_table", "source_seqlens", "pad_index", "top_logits"} <= names
    declared = Path(graph_io.__file__).parent
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if declared not in path.parents and path != ROOT / OPERATOR
        for line, text in _strings(path)
        if text in names or (text.startswith(starts) and " " not in text and text not in TRANSFORMERS)
    ]
    assert not found, "ask attendant.bundle.graph_io for the port instead"
