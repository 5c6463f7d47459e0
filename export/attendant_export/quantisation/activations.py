"""What flows through a graph on sample inputs: the rows that its products read, channel by channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from attendant_export.graph.nodes import MICROSOFT, Transposed
from attendant_export.progress import Step, no_step
from attendant_export.session import open_session, session_options

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Feeds = Mapping[str, Array]

SAMPLED_ROWS = 384
"""Rows of each value that errors are measured on."""

SAMPLED_BYTES = 120 * 2**20
"""Of rows that are held at a time; a run holds as much again."""

_GLANCED_AT, _CORRELATED = 8, 13
"""Runs, spread over all, that are enough for rows and peaks, and for the correlations of channels."""

_PLACE = "memory"
_INT = int(ir.AttributeType.INT)
_SMALL = 1024  # bytes of a constant that may as well stay in the graph


@dataclass(frozen=True)
class Flow:
    """What one value [..., K] held over all runs: nothing where no token came to an expert.

    Attributes:
        rows: some of its rows, the same in every call, [n, K] float32; n may be 0.
        peaks: the largest magnitude of each channel in any row, [K] float32.
        gram: the mean of row' * row over all rows, [K, K] float32, if asked for and there are any.
    """

    rows: Floats
    peaks: Floats
    gram: Floats | None


class Activations:
    """A float32 graph as it is now, ready to run on ``runs``, its inputs of each run; later edits do not change it."""

    def __init__(
        self, model: ir.Model, runs: Sequence[Feeds], values: Sequence[ir.Value], step: Step = no_step
    ) -> None:
        self._step = step
        self._runs = runs
        self._session, self._weights = open_in_memory(model, values)
        self._takes = {spec.name for spec in self._session.get_inputs()}
        self._only = ort.RunOptions()
        self._only.add_run_config_entry("only_execute_path_to_fetches", "1")

    def of(self, values: Sequence[ir.Value], *, gram: bool = False) -> dict[ir.Value, Flow]:
        """The flow of ``values``, which are among those of the constructor; over some of the runs."""
        names = [str(value.name) for value in values]
        rows: list[list[Floats]] = [[] for _ in names]
        peaks: list[Floats | None] = [None] * len(names)
        grams: list[Any] = [0] * len(names)
        counts = [0] * len(names)
        runs = self._runs[:: -(-len(self._runs) // (_CORRELATED if gram else _GLANCED_AT))]
        share = -(-SAMPLED_ROWS // len(runs))
        for number, feeds in enumerate(runs):
            self._step(f"sample run {number + 1} of {len(runs)}")
            given = {name: array for name, array in feeds.items() if name in self._takes}
            for index, found in enumerate(self._session.run(names, given, self._only)):
                flat = found.reshape(-1, found.shape[-1])
                picked = np.random.default_rng(number).permutation(len(flat))[:share]
                rows[index].append(flat[picked])
                peak = np.abs(flat).max(axis=0, initial=0)  # of no rows, where an expert had no token
                before = peaks[index]
                peaks[index] = peak if before is None else np.maximum(before, peak)
                counts[index] += len(flat)
                if gram:
                    grams[index] = grams[index] + flat.T @ flat
        flows = {}
        for index, value in enumerate(values):
            peak = peaks[index]
            assert peak is not None
            mean = (grams[index] / counts[index]).astype(np.float32) if gram and counts[index] else None
            flows[value] = Flow(np.concatenate(rows[index]), peak, mean)
            rows[index].clear()
        return flows


class InMemory:
    """Runs a graph over its weights where they are in memory."""

    def __init__(self, model: ir.Model) -> None:
        self._session, self._weights = open_in_memory(model)
        self._takes = {spec.name for spec in self._session.get_inputs()}
        self._gives = [spec.name for spec in self._session.get_outputs()]

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Its outputs by name; ``feeds`` may have more than it takes."""
        given = {name: array for name, array in feeds.items() if name in self._takes}
        return dict(zip(self._gives, self._session.run(None, given), strict=True))


def open_in_memory(
    model: ir.Model, values: Sequence[ir.Value] = (), taken: Sequence[ir.Value] = ()
) -> tuple[ort.InferenceSession, Sequence[ort.OrtValue]]:
    """A session over the weights where they are in memory, without a copy.

    Args:
        values: are outputs besides the graph's own.
        taken: initializers that are inputs of the session, to be given to every run.

    Returns:
        The session, and the weights, which have to live as long as it does.
    """
    inputs, outputs, initializers = model.graph.inputs, model.graph.outputs, dict(model.graph.initializers)
    before = (len(inputs), len(outputs))
    weights: dict[str, ir.TensorProtocol] = {}
    rows: dict[str, ir.TensorProtocol] = {}  # transposed weights whose products can read them as they were
    try:
        outputs.extend([value for value in values if not value.is_graph_output() and not value.is_graph_input()])
        for value in taken:
            del model.graph.initializers[str(value.name)]
            inputs.append(value)
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            if tensor is None or not value.uses() or _stays(tensor):
                continue
            weights[name] = tensor
            if isinstance(tensor, Transposed) and _only_multiplied(value):
                rows[name] = tensor.source
            held = rows.get(name, tensor)
            value.const_value = ir.ExternalTensor(
                _PLACE, 0, held.nbytes, held.dtype, shape=ir.Shape(held.shape), name=name
            )
        proto = ir.to_proto(model)
    finally:
        for container, length in ((inputs, before[0]), (outputs, before[1])):
            while len(container) > length:  # a slice deleted would leave the values marked as inputs or outputs
                container.pop()
        for name, tensor in weights.items():
            initializers[name].const_value = tensor
        model.graph.initializers.clear()
        for value in initializers.values():  # in their old order
            model.graph.register_initializer(value)
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it would look into the file
    options.add_session_config_entry("session.disable_prepacking", "1")
    tensors = (weights | rows).values()
    arrays = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor.numpy())) for tensor in tensors]
    for name, array in zip(weights, arrays, strict=True):
        options.add_initializer(name, array)
    _multiply_by_rows(proto, set(rows))
    with TemporaryDirectory() as folder:  # ONNX Runtime asks for the file, and reads nothing of it
        with (Path(folder) / _PLACE).open("wb") as file:
            file.truncate(max((tensor.nbytes for tensor in tensors), default=0))
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
        return open_session(proto.SerializeToString(), options=options), arrays


def _stays(tensor: ir.TensorProtocol) -> bool:
    """Whether a constant is written into the graph that a session opens; one of a file is not, as the file is not."""
    small = tensor.nbytes <= _SMALL or tensor.dtype != ir.DataType.FLOAT
    return small and not isinstance(tensor, ir.ExternalTensor)


def _only_multiplied(weight: ir.Value) -> bool:
    """Whether all that a weight is for is to be the right side of products."""
    return all(use.node.op_type == "MatMul" and use.idx == 1 for use in weight.uses())


def _multiply_by_rows(model: Any, names: set[str]) -> None:
    """The products of a proto with the weights ``names``, [K, N], read them as [N, K]."""
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in names:
            node.op_type, node.domain = "FusedMatMul", MICROSOFT
            node.attribute.add(name="transB", type=_INT, i=1)
    if names and MICROSOFT not in {each.domain for each in model.opset_import}:
        model.opset_import.add(domain=MICROSOFT, version=1)
