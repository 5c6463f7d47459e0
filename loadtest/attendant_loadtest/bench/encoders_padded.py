"""The same weights as a padded graph: what a packed graph gathers into a padded view and back stays where it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnxruntime as ort
from attendant.bundle import EncoderManifest
from attendant.bundle.graph_io import PACKED

_INDICES = (PACKED.pad_index.name, PACKED.unpad_index.name)


def padded_session(bundle: Path, manifest: EncoderManifest, threads: int) -> Any:
    """A session of a bundle's packed graph whose rows are all filled up to the longest, without its gathers.

    It takes the same inputs, of which it reads ``pad_index`` for its shape alone, and spins as the server's does.
    """
    import onnx

    path = bundle / manifest.graphs["encoder"].file
    model = onnx.load(path, load_external_data=False)
    nodes = list(_without_gathers(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(bundle))
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _without_gathers(nodes: Iterable[Any]) -> Iterable[Any]:
    from onnx import helper

    indices = set(_INDICES)
    for node in nodes:
        if node.op_type == "Reshape" and node.input[0] in indices:
            indices.add(node.output[0])
        if node.op_type != "Gather" or node.input[1] not in indices:
            yield node
        elif node.input[1] == _INDICES[0]:  # [rows, longest, ...] of [tokens, ...]
            rows, rest, shape = (f"{node.output[0]}/{part}" for part in ("rows", "rest", "shape"))
            yield helper.make_node("Shape", [_INDICES[0]], [rows])
            yield helper.make_node("Constant", [], [rest], value_ints=[-1])
            yield helper.make_node("Concat", [rows, rest], [shape], axis=0)
            yield helper.make_node("Reshape", [node.input[0], shape], list(node.output))
        else:
            yield helper.make_node("Identity", [node.input[0]], list(node.output))
