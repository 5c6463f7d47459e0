"""Where ONNX Runtime puts the nodes of the graphs that a program opens."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

_CPU = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Placement:
    """Of one graph: its nodes, those on the CPU by operator, and copies that were added, from and to the host."""

    num_nodes: int
    on_cpu: dict[str, int]
    from_host: int
    to_host: int

    @classmethod
    def of(cls, session: ort.InferenceSession, optimized: Path) -> Placement:
        """``session`` was opened with the options that :func:`watch` sets."""
        assigned = [
            (part.ep_name, node.op_type)
            for part in session.get_provider_graph_assignment_info()
            for node in part.get_nodes()
        ]
        operators = Counter(_operators(onnx.load(optimized, load_external_data=False).graph))
        on_cpu = Counter(operator for provider, operator in assigned if provider == _CPU)
        return cls(len(assigned), dict(on_cpu), operators["MemcpyFromHost"], operators["MemcpyToHost"])


def watch() -> dict[str, Placement]:
    """From now on every session opened from a file enters its placement here, under the file's name.

    ``onnxruntime.InferenceSession`` is replaced: for child processes only.
    """
    placements: dict[str, Placement] = {}

    class Watched(ort.InferenceSession):  # type: ignore[misc]
        def __init__(self, path: str, settings: ort.SessionOptions, **options: Any) -> None:
            with tempfile.TemporaryDirectory() as scratch:
                optimized = Path(scratch) / "optimized.onnx"
                settings.optimized_model_filepath = str(optimized)
                external = "session.optimized_model_external_initializers_file_name"
                settings.add_session_config_entry(external, "optimized.data")
                settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
                super().__init__(path, settings, **options)
                placements[Path(path).name] = Placement.of(self, optimized)

    ort.InferenceSession = Watched
    return placements


def _operators(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _operators(attribute.g)
