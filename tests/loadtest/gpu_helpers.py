"""Sizes of the GPU kit's Llamas, worked out by hand."""

from __future__ import annotations

from attendant_loadtest.gpu.shapes import LlamaShape


def weight_bytes(shape: LlamaShape) -> int:
    """Of a step, in float32, without norms."""
    query, cache = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    layer = shape.hidden * (2 * query + 2 * cache + 3 * shape.intermediate)
    return 4 * (shape.layers * layer + shape.vocabulary * shape.hidden)
