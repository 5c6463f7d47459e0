"""The attention of a served graph, worked out in numpy from what its attention nodes take: nobody asks the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper
from onnx.utils import Extractor

Array = npt.NDArray[Any]
_NODES = ("GroupQueryAttention", "MultiHeadAttention")


@dataclass(frozen=True)
class Call:
    """One attention call: weights [heads, queries, keys] float64, each row a softmax."""

    cross: bool
    weights: Array


def open_model(model: onnx.ModelProto, folder: Path) -> ort.InferenceSession:
    """A session of a model whose weights lie in ``folder``."""
    onnx.load_external_data_for_model(model, str(folder))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def calls_of(path: Path, feeds: Mapping[str, Array]) -> list[Call]:
    """Every attention call of the graph at ``path`` over one whole sequence, in order; caches in ``feeds`` are those
    before it."""
    model = onnx.load(path, load_external_data=False)
    nodes = [node for node in model.graph.node if node.op_type in _NODES]
    known = {value.name for value in (*model.graph.input, *model.graph.initializer)}
    wanted = list(dict.fromkeys(name for node in nodes for name in node.input[:3] if name and name not in known))
    # Whatever else the graph gives stays: nodes of which less is wanted may take other kernels.
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    tables = {each.name: each for each in model.graph.initializer}
    session = open_model(model, path.parent)
    taken = {value.name for value in session.get_inputs()}
    found = dict(zip(wanted, session.run(wanted, {name: feeds[name] for name in taken}), strict=True))
    found |= {name: onnx.numpy_helper.to_array(tables[name]) for node in nodes for name in node.input[7:9] if name}
    return [_call(node, {**feeds, **found}) for node in nodes]


def head_of(path: Path, hidden_input: str) -> ort.InferenceSession:
    """What of the graph at ``path`` makes logits of the value ``hidden_input``."""
    model = onnx.load(path, load_external_data=True)
    return open_model(Extractor(model).extract_model([hidden_input], ["logits"]), path.parent)


def _call(node: onnx.NodeProto, known: Mapping[str, Array]) -> Call:
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    heads = attributes["num_heads"]
    kv_heads = attributes.get("kv_num_heads", heads)
    query = known[node.input[0]][0].astype(np.float64)  # [n, ...]
    cross = attributes.get("causal", 1) == 0
    if cross:  # keys come from the source, as the encoder made them
        query = query.reshape(len(query), heads, -1)
        key = known[node.input[3]][0].transpose(1, 0, 2).astype(np.float64)
    elif node.op_type == "GroupQueryAttention" and not node.input[1]:  # queries, keys and values in one
        size = query.shape[1] // (heads + 2 * kv_heads)
        parts = query.reshape(len(query), heads + 2 * kv_heads, size)
        query, key = parts[:, :heads], parts[:, heads : heads + kv_heads]
    else:
        query = query.reshape(len(query), heads, -1)
        key = known[node.input[1]][0].astype(np.float64).reshape(len(query), kv_heads, -1)
    if attributes.get("do_rotary"):
        tables = [known[name] for name in node.input[7:9]]
        query, key = _rotated(query, *tables), _rotated(key, *tables)
    scale = attributes.get("scale") or query.shape[-1] ** -0.5
    scores = np.einsum("qhd,khd->hqk", query, key.repeat(heads // kv_heads, axis=1)) * scale
    if node.op_type == "GroupQueryAttention" and not cross:
        scores = np.where(np.tri(len(query), dtype=bool), scores, -np.inf)
    return Call(cross, softmax(scores))


def _rotated(heads: Array, cos: Array, sin: Array) -> Array:
    """Halves turned against each other (Su et al. 2021, as transformers lays them out)."""
    cos, sin = cos[: len(heads), None].astype(np.float64), sin[: len(heads), None].astype(np.float64)
    first, second = np.split(heads, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def softmax(scores: Array) -> Array:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
